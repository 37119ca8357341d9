//! What can be wrong with the operands of a matmul.

use crate::OutOfMemory;

/// Why operands cannot be multiplied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatmulError {
    /// The operands disagree about the input features.
    #[error("x has {x_cols} columns and w has {w_cols}: both must be the number of input features")]
    InputFeatures {
        /// Columns of `x`.
        x_cols: usize,
        /// Columns of `w`.
        w_cols: usize,
    },
    /// The bias does not have one number per output feature.
    #[error("w has {n_out} rows, so bias must have {n_out} numbers, but it has {actual}")]
    BiasLength {
        /// Output features.
        n_out: usize,
        /// Numbers given.
        actual: usize,
    },
    /// What is added does not have the shape of the outputs.
    #[error(
        "x has {tokens} rows and w has {n_out}, so what is added must be {tokens} x {n_out}, but it is {} x {}",
        actual.0, actual.1
    )]
    AddendShape {
        /// Rows of `x`.
        tokens: usize,
        /// Output features.
        n_out: usize,
        /// Rows and columns given.
        actual: (usize, usize),
    },
    /// Operands of a sampled product that do not fit its blocks or slots, or blocks or slots that differ.
    #[error(
        "blocks or slots of a {} x {} matrix want dy with {} and x with {} columns and as many rows each, and a previous matrix of the \
         same ones; dy is {} x {}, x is {} x {}",
        selected.0, selected.1, selected.0, selected.1, dy.0, dy.1, x.0, x.1
    )]
    SampledShape {
        /// Rows and columns of dy.
        dy: (usize, usize),
        /// Rows and columns of x.
        x: (usize, usize),
        /// Rows and columns of the matrix that has the blocks or slots.
        selected: (usize, usize),
    },
    /// A sampled token that does not exist.
    #[error("token {token} was asked for, but x has {tokens} rows")]
    TokenOutOfRange {
        /// The token asked for.
        token: usize,
        /// Rows of `x`.
        tokens: usize,
    },
    /// A sampled output that does not exist.
    #[error("output {output} was asked for, but w has {n_out} rows")]
    OutputOutOfRange {
        /// The output asked for.
        output: usize,
        /// Rows of `w`.
        n_out: usize,
    },
    /// There is no memory for the outputs, or for the operands in f64.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// More outputs than can be addressed.
    #[error(
        "an output of {tokens} tokens x {n_out} features is too large to address on this machine"
    )]
    TooLarge {
        /// Tokens asked for.
        tokens: usize,
        /// Output features.
        n_out: usize,
    },
}
