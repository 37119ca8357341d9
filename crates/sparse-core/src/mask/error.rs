//! What can be wrong with a block mask.

use crate::OutOfMemory;

/// Why a block mask was refused. Shapes are `[batch, heads, q_blocks, k_blocks]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// More blocks than can be addressed.
    #[error(
        "a mask of {shape:?} blocks (batch, heads, query blocks, key blocks) is too large to address on this machine"
    )]
    TooLarge {
        /// The shape asked for.
        shape: [usize; 4],
    },
    /// There is no memory for the mask.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// Too few or too many words.
    #[error(
        "a mask of {shape:?} blocks needs {expected} words ({words_per_row} for each row of key blocks), \
         but {actual} were given"
    )]
    WordsLength {
        /// The shape asked for.
        shape: [usize; 4],
        /// Words of one row.
        words_per_row: usize,
        /// Words needed.
        expected: usize,
        /// Words given.
        actual: usize,
    },
    /// A bit past the last key block is set.
    #[error(
        "the last word of mask row {row} is {word:#010x}, but only {k_blocks} key blocks exist: bits past them must \
         be zero"
    )]
    UnusedBits {
        /// The row, `(b * heads + h) * q_blocks + i`.
        row: usize,
        /// Its last word.
        word: u32,
        /// Key blocks of the mask.
        k_blocks: usize,
    },
    /// Too few or too many truth values.
    #[error("a mask of {shape:?} blocks needs {expected} truth values, but {actual} were given")]
    BoolsLength {
        /// The shape asked for.
        shape: [usize; 4],
        /// Values needed.
        expected: usize,
        /// Values given.
        actual: usize,
    },
    /// Two masks of different shapes.
    #[error("masks of {left:?} and {right:?} blocks cannot be combined: the shapes must be equal")]
    ShapesDiffer {
        /// Shape of the first mask.
        left: [usize; 4],
        /// Shape of the second mask.
        right: [usize; 4],
    },
    /// Blocks without tokens.
    #[error("blocks of 0 tokens cannot cover a sequence: block must be at least 1")]
    EmptyBlock,
    /// A dilation of zero.
    #[error("dilation 0 never leaves its block: it must be at least 1 (1 is a plain window)")]
    NoDilation,
}
