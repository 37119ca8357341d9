//! Why a result was not checked.

use sparse_core::attention::AttentionError;
use sparse_core::xattention::XAttentionError;
use sparse_core::{MaskError, MatmulError, ShapeError};

/// Why a result cannot be compared with its reference.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The operands make no product.
    #[error(transparent)]
    Product(#[from] MatmulError),
    /// The operands make no attention problem.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// The operands or the scores make no problem of XAttention.
    #[error(transparent)]
    XAttention(#[from] XAttentionError),
    /// The part of a mask that belongs to a head cannot be cut out.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// A part of the operands cannot be cut out.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The result of a product has another size.
    #[error("a result of {numbers} numbers is not one of {tokens} tokens x {n_out} outputs")]
    ProductSize {
        /// Numbers of the result.
        numbers: usize,
        /// Rows of x.
        tokens: usize,
        /// Rows of w.
        n_out: usize,
    },
    /// The queries are not `[batch, heads, q_len, head_dim]`.
    #[error("q has shape {shape:?}, not four sizes")]
    QuerySizes {
        /// What they are.
        shape: Vec<usize>,
    },
    /// A result of attention or of its score has another size.
    #[error("{what} of {numbers} numbers is not one of shape {shape:?}")]
    ResultSize {
        /// `an output`, `a log-sum-exp`, `a score`.
        what: &'static str,
        /// Numbers of the result.
        numbers: usize,
        /// What the problem asks for.
        shape: Vec<usize>,
    },
    /// Queries, keys or a mask are those of another problem.
    #[error("{what} has shape {given:?}, but that of the problem has {shape:?}")]
    OtherProblem {
        /// `q`, `k` or `the mask`.
        what: &'static str,
        /// What was given.
        given: Vec<usize>,
        /// What the problem asks for.
        shape: Vec<usize>,
    },
}
