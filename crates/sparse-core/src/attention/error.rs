//! Errors of the attention reference: one variant per rule.

use super::AttentionShapeError;

/// Inputs that attention cannot work with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionError {
    /// The tensors do not make an attention problem.
    #[error(transparent)]
    Shape(#[from] AttentionShapeError),
    /// A mask that is not one of this problem.
    #[error(
        "the mask has shape {mask:?} (batch, heads, query blocks, key blocks); with blocks of {block} tokens this problem \
         needs {expected:?}"
    )]
    MaskShape {
        /// Shape of the mask.
        mask: [usize; 4],
        /// Shape that the problem needs.
        expected: [usize; 4],
        /// Tokens of a block.
        block: usize,
    },
    /// An empty block.
    #[error("block is 0; give the tokens of a mask block, at least 1")]
    Block,
    /// A softmax scale that is not a positive finite number.
    #[error(
        "softmax scale {scale} is not positive and finite; leave it out for 1 / sqrt(head_dim)"
    )]
    Scale {
        /// The scale asked for.
        scale: f64,
    },
    /// A sampled query that does not exist.
    #[error("query token {query} was asked for, q has {q_len}")]
    Query {
        /// The token asked for.
        query: usize,
        /// Query tokens.
        q_len: usize,
    },
}
