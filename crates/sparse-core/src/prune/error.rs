//! Why a matrix could not be pruned, or failed a prune-check of blocks.

use crate::{BsrError, NmError, OutOfMemory};

/// Why a matrix could not be pruned, or failed a prune-check of blocks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A NaN among the weights or scores.
    #[error(
        "the element at ({row}, {col}) is NaN and cannot be ranked: repair the matrix, or prune by scores without NaN"
    )]
    NotANumber {
        /// Row of the NaN.
        row: usize,
        /// Its column.
        col: usize,
    },
    /// Scores of both infinite signs that are summed.
    #[error(
        "the scores that are summed from ({row}, {col}) on hold both infinities and have no sum: use finite scores"
    )]
    NoSum {
        /// First row of those that are summed.
        row: usize,
        /// First column of those that are summed.
        col: usize,
    },
    /// A density that is no share.
    #[error("density {density} is not a share of the blocks: it must be within 0..=1")]
    DensityRange {
        /// The density asked for.
        density: f64,
    },
    /// More blocks than there are.
    #[error("{count} blocks were to be kept of each {scope}, which has {available}")]
    CountRange {
        /// Blocks asked for.
        count: usize,
        /// Blocks there are.
        available: usize,
        /// `matrix` or `block row`.
        scope: &'static str,
    },
    /// A dense matrix with more nonzero blocks than a budget allows.
    #[error(
        "block ({block_row}, {block_col}) is the first nonzero block too many: {allowed} are allowed for each {scope}"
    )]
    BlockViolation {
        /// Block row of the first block too many.
        block_row: usize,
        /// Its block column.
        block_col: usize,
        /// Nonzero blocks allowed.
        allowed: usize,
        /// `matrix` or `block row`.
        scope: &'static str,
    },
    /// There is no memory to choose what to keep.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The sizes do not make an N:M matrix.
    #[error(transparent)]
    Nm(#[from] NmError),
    /// The sizes do not make a block-sparse matrix.
    #[error(transparent)]
    Bsr(#[from] BsrError),
}
