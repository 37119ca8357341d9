//! Errors of XAttention: one variant per rule.

use crate::OutOfMemory;
use crate::attention::{AttentionError, AttentionShapeError, MaskHeads};
use crate::mask::MaskError;

/// What helps where scores are too many.
pub(super) const LARGER_BLOCKS_SMALLER_CHUNKS: &str =
    "give a larger block, or a smaller chunk in Reference mode";

/// Options, shapes or scores that XAttention cannot work with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum XAttentionError {
    /// The tensors do not make an attention problem.
    #[error(transparent)]
    Shape(#[from] AttentionShapeError),
    /// The attention over the selected blocks refused its input.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// An item of packed sequences.
    #[error("item {item}: {error}")]
    Item {
        /// The item.
        item: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// The mask cannot be built.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The block is empty or longer than any sequence can be.
    #[error("block is {block}; give 1 to {max} tokens (128 is usual)")]
    Block {
        /// Tokens asked for.
        block: usize,
        /// The largest block.
        max: usize,
    },
    /// The stride does not divide the block.
    #[error(
        "stride {stride} does not divide block {block}; give a divisor of the block, such as {}",
        nearest_divisors(*stride, *block)
    )]
    Stride {
        /// Stride asked for.
        stride: usize,
        /// Block asked for.
        block: usize,
    },
    /// A threshold that is no share.
    #[error("threshold {threshold} is not a share of the mass; give a number from 0 to 1")]
    Threshold {
        /// The threshold asked for.
        threshold: f64,
    },
    /// Thresholds per head, but not one for each.
    #[error("{given} thresholds for {heads} {}", heads_with_thresholds(*of))]
    ThresholdCount {
        /// Thresholds given.
        given: usize,
        /// Heads of the mask.
        heads: usize,
        /// Which heads those are.
        of: MaskHeads,
    },
    /// Rows of no block.
    #[error(
        "top_k 0 selects nothing; give the number of blocks of a row, or none for a share of the mass"
    )]
    TopK,
    /// Reference mode has no fixed count.
    #[error(
        "top_k {top_k} belongs to Exact mode: the public code raises an error for a fixed count; leave it out, or use Mode::Exact"
    )]
    TopKInReference {
        /// Blocks of a row asked for.
        top_k: usize,
    },
    /// Forced blocks of another problem.
    #[error(
        "the forced blocks have shape {given:?} (batch, mask heads, query blocks, key blocks), this problem needs {expected:?}"
    )]
    ForcedShape {
        /// Shape of the mask given.
        given: [usize; 4],
        /// Shape that the problem has.
        expected: [usize; 4],
    },
    /// Forced blocks that no head takes.
    #[error(
        "blocks are forced and no head is Sparse, so none takes them; leave them out, or make a head Sparse"
    )]
    ForcedWithoutSparse,
    /// A softmax scale that is not a positive finite number.
    #[error(
        "softmax scale {scale} is not positive and finite; leave it out for 1 / sqrt(head_dim)"
    )]
    Scale {
        /// The scale asked for.
        scale: f64,
    },
    /// A norm that is not a positive finite number.
    #[error("norm {norm} is not positive and finite; 1 is usual")]
    Norm {
        /// The norm asked for.
        norm: f64,
    },
    /// Reference mode: the block does not divide the chunk.
    #[error(
        "block {block} does not divide chunk {chunk}; give a chunk that is a multiple of the block (without one it is a power of two from 2048 up)"
    )]
    Chunk {
        /// Chunk asked for, or what the wrapper's rule gives.
        chunk: usize,
        /// Block asked for.
        block: usize,
    },
    /// Reference mode: a chunk longer than any sequence can be.
    #[error("chunk {chunk} is longer than the longest sequence, {max} tokens; give a smaller one")]
    ChunkTooLong {
        /// Chunk asked for.
        chunk: usize,
        /// The largest chunk.
        max: usize,
    },
    /// Reference mode: more query chunks than key chunks.
    #[error(
        "{q_len} query tokens fill more chunks of {chunk} than {k_len} key tokens do; Reference mode cannot score \
         that, use Exact"
    )]
    MoreQueryChunks {
        /// Query tokens.
        q_len: usize,
        /// Key tokens.
        k_len: usize,
        /// Chunk in use.
        chunk: usize,
    },
    /// Reference mode has no sink columns and no recent window.
    #[error(
        "sink_blocks {sink_blocks} and recent_blocks {recent_blocks} belong to Exact mode; in Reference mode set both to 0 (its own \
         switches are keep_sink and keep_recent)"
    )]
    ForcedColumnsInReference {
        /// Sink blocks asked for.
        sink_blocks: usize,
        /// Recent blocks asked for.
        recent_blocks: usize,
    },
    /// There is no memory for the scores, or for what they are made of.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// More blocks than can be counted.
    #[error(
        "scores of shape {shape:?} are too many to address on this machine; {LARGER_BLOCKS_SMALLER_CHUNKS}"
    )]
    ScoresTooLarge {
        /// `[batch, q_heads, q_blocks, k_blocks]`.
        shape: [usize; 4],
    },
    /// Scores whose length does not fit their shape.
    #[error("scores of shape {shape:?} need {expected} values, {actual} were given")]
    ScoreCount {
        /// `[batch, q_heads, q_blocks, k_blocks]`.
        shape: [usize; 4],
        /// Values that the shape needs.
        expected: usize,
        /// Values given.
        actual: usize,
    },
    /// Heads that cannot be divided into groups.
    #[error("{heads} heads cannot be divided into groups of {group}; give a divisor of {heads}")]
    HeadGroups {
        /// Heads.
        heads: usize,
        /// Heads of a group.
        group: usize,
    },
    /// Scores of another problem.
    #[error("the scores have shape {scores:?}, this problem and mode have {expected:?}")]
    ScoreShape {
        /// Shape of the scores.
        scores: [usize; 4],
        /// Shape that the problem has.
        expected: [usize; 4],
    },
    /// A score that is no mass.
    #[error(
        "the score at {position:?} (item, head, query block, key block) is {value}; a mass is finite and not \
         negative, so q or k holds NaN or infinite or far too large values"
    )]
    NotAMass {
        /// Item, head, query block, key block.
        position: [usize; 4],
        /// The score.
        value: f64,
    },
}

impl XAttentionError {
    pub(super) fn of_item(item: usize, error: Self) -> Self {
        Self::Item {
            item,
            error: Box::new(error),
        }
    }
}

const fn heads_with_thresholds(of: MaskHeads) -> &'static str {
    match of {
        MaskHeads::Query => "query heads; give one for each query head",
        MaskHeads::Key => {
            "key/value heads; give one for each of these, whose query heads share a mask"
        }
    }
}

/// The divisors of `block` next to `stride`, in words: the largest below and the smallest above it, where there are both.
fn nearest_divisors(stride: usize, block: usize) -> String {
    // The smaller of two factors is at most the root; blocks have fewer than 2^32 tokens.
    let small = (1..=block.isqrt()).filter(|d| block.is_multiple_of(*d));
    let divisors: Vec<usize> = small.flat_map(|d| [d, block / d]).collect();
    let below = divisors.iter().filter(|d| **d < stride).max();
    let above = divisors.iter().filter(|d| **d > stride).min();
    let words: Vec<String> = below
        .into_iter()
        .chain(above)
        .map(usize::to_string)
        .collect();
    words.join(" or ")
}
