//! Errors of attention: one variant per rule.

use super::{AttentionShape, MAX_HEADS, MAX_TOKENS};

/// Shapes that do not make an attention problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionShapeError {
    /// A tensor is not `[batch, heads, tokens, head_dim]`.
    #[error("{tensor} has shape {shape:?}; attention needs [batch, heads, tokens, head_dim]")]
    Rank {
        /// `q`, `k` or `v`.
        tensor: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// q and k have different batch sizes.
    #[error("q has {q} batch items and k has {k}; give both the same")]
    Batch {
        /// Batch items of q.
        q: usize,
        /// Batch items of k.
        k: usize,
    },
    /// q and k have different head dimensions.
    #[error("q has head dimension {q} and k has {k}; give both the same")]
    HeadDim {
        /// Head dimension of q.
        q: usize,
        /// Head dimension of k.
        k: usize,
    },
    /// v is not shaped as k.
    #[error("k has shape {k:?} and v has {v:?}; give both the same")]
    ValueShape {
        /// Shape of k.
        k: Vec<usize>,
        /// Shape of v.
        v: Vec<usize>,
    },
    /// A head without dimensions.
    #[error("the head dimension is 0; give at least 1")]
    EmptyHead,
    /// The key/value heads cannot be shared evenly by the query heads.
    #[error(
        "{q_heads} query heads cannot share {kv_heads} key/value heads evenly; q_heads must be a multiple of kv_heads, \
         and both at least 1"
    )]
    Heads {
        /// Query heads.
        q_heads: usize,
        /// Key/value heads.
        kv_heads: usize,
    },
    /// q and k are packed from different numbers of items.
    #[error("q is packed from {q} items and k from {k}; give both the same")]
    Items {
        /// Items of q.
        q: usize,
        /// Items of k.
        k: usize,
    },
    /// Queries that do not fill the room of their item.
    #[error("queries do not fill the rooms of their items; only keys may have room behind them")]
    RoomForQueries,
    /// A packed tensor is not `[tokens, heads, head_dim]` of its packing.
    #[error("{tensor} has shape {shape:?}; these packed sequences need {expected:?}")]
    Packed {
        /// `q`, `k` or `v`.
        tensor: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// The shape that it needs.
        expected: [usize; 3],
    },
    /// A sequence is longer than [`MAX_TOKENS`].
    #[error(
        "{tokens} tokens are more than the {MAX_TOKENS} that attention accepts; split the sequence"
    )]
    TooLong {
        /// Tokens asked for.
        tokens: usize,
    },
    /// More query heads than [`MAX_HEADS`], those of all batch items together.
    #[error(
        "{batch} batch items of {q_heads} query heads are more than the {MAX_HEADS} heads in all that attention accepts; split the batch \
         or the heads"
    )]
    TooManyHeads {
        /// Batch items.
        batch: usize,
        /// Query heads of each.
        q_heads: usize,
    },
    /// The tensors have more elements than this machine can address.
    #[error(
        "q of {} items x {} heads x {} tokens x {} numbers, or k of {} tokens, has more elements than this machine can address; \
         split the batch or the sequence",
        .0.batch(), .0.q_heads(), .0.q_len(), .0.head_dim(), .0.k_len()
    )]
    TooLarge(AttentionShape),
}

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
    /// Not one mask for each packed sequence.
    #[error("there are {masks} masks of {items} items; give one for each")]
    MaskCount {
        /// Masks.
        masks: usize,
        /// Items.
        items: usize,
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
    /// A soft cap that is not a positive finite number.
    #[error("soft cap {soft_cap} is not positive and finite; leave it out for uncapped logits")]
    SoftCap {
        /// The soft cap asked for.
        soft_cap: f64,
    },
    /// Not one kind per query head.
    #[error("{kinds} head kinds are given for {q_heads} query heads; give one per query head")]
    HeadKinds {
        /// Kinds given.
        kinds: usize,
        /// Query heads.
        q_heads: usize,
    },
    /// A head of kind Streaming without blocks.
    #[error(
        "head {head} is Streaming with 0 sink blocks and 0 recent blocks, so it attends to nothing; give at least one of either"
    )]
    EmptyStreaming {
        /// The query head.
        head: usize,
    },
    /// A head of kind Sparse, and no mask.
    #[error(
        "head {head} is Sparse and there is no mask; give one, or make the head Dense or Streaming"
    )]
    SparseWithoutMask {
        /// The query head.
        head: usize,
    },
    /// A mask that no head reads.
    #[error(
        "a mask is given and no head is Sparse, so none reads it; leave it out, or make a head Sparse"
    )]
    MaskWithoutSparse,
    /// There is no memory for the results.
    #[error(transparent)]
    OutOfMemory(#[from] crate::OutOfMemory),
    /// The mask that the kinds mean cannot be made.
    #[error(transparent)]
    Mask(#[from] crate::mask::MaskError),
    /// A sampled query that does not exist.
    #[error("query token {query} was asked for, q has {q_len}")]
    Query {
        /// The token asked for.
        query: usize,
        /// Query tokens.
        q_len: usize,
    },
}
