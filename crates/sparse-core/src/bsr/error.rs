//! What can be wrong with a block-sparse matrix.

use crate::OutOfMemory;

/// Why a block-sparse matrix was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BsrError {
    /// A block without elements.
    #[error("a block of {rows} x {cols} has no elements: both sides must be at least 1")]
    EmptyBlock {
        /// Block rows asked for.
        rows: usize,
        /// Block columns asked for.
        cols: usize,
    },
    /// Sizes whose dense form no memory can hold, blocks that none can hold, or more block columns than `u32` indices reach.
    #[error(
        "a {rows} x {cols} matrix in blocks of {block_rows} x {block_cols} is too large: a block and the padded \
         matrix must be addressable, with fewer than 2^32 blocks"
    )]
    TooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Rows of a block.
        block_rows: usize,
        /// Columns of a block.
        block_cols: usize,
    },
    /// There is no memory for the blocks, or for the list of them.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The row pointers have the wrong length.
    #[error(
        "{block_rows} block rows need {expected} row pointers (one more), but {actual} were given",
        expected = block_rows + 1
    )]
    IndptrLength {
        /// Block rows of the matrix.
        block_rows: usize,
        /// Row pointers given.
        actual: usize,
    },
    /// The row pointers do not start at zero.
    #[error("the first row pointer is {first}, it must be 0")]
    IndptrStart {
        /// The first row pointer.
        first: u32,
    },
    /// A row pointer below the one before it.
    #[error(
        "block row {block_row} starts at block {start} and ends at {end}: row pointers must not decrease"
    )]
    IndptrDecreasing {
        /// The block row.
        block_row: usize,
        /// Where it starts.
        start: u32,
        /// Where it ends.
        end: u32,
    },
    /// The last row pointer and the number of indices differ.
    #[error(
        "the last row pointer says {end} blocks, but {indices} block column indices were given"
    )]
    IndptrEnd {
        /// The last row pointer.
        end: u32,
        /// Indices given.
        indices: usize,
    },
    /// A block column that does not exist.
    #[error(
        "block {position} of block row {block_row} has block column {index}, the matrix has {block_cols} block columns"
    )]
    IndexOutOfRange {
        /// The block row.
        block_row: usize,
        /// Position in the list of all blocks.
        position: usize,
        /// The index given.
        index: u32,
        /// Block columns of the matrix.
        block_cols: usize,
    },
    /// Block columns of one block row that are unsorted or repeated.
    #[error(
        "block {position} of block row {block_row} has block column {index} after {previous}: block columns of a row \
         must strictly increase"
    )]
    IndexNotIncreasing {
        /// The block row.
        block_row: usize,
        /// Position in the list of all blocks.
        position: usize,
        /// The index before it.
        previous: u32,
        /// The index given.
        index: u32,
    },
    /// Too few or too many values.
    #[error(
        "{blocks} blocks of {block_rows} x {block_cols} need {blocks} * {block_rows} * {block_cols} values, \
         but {actual} were given"
    )]
    ValuesLength {
        /// Blocks stored.
        blocks: usize,
        /// Rows of a block.
        block_rows: usize,
        /// Columns of a block.
        block_cols: usize,
        /// Values given.
        actual: usize,
    },
    /// A nonzero in the part of an edge block that lies outside of the matrix.
    #[error(
        "block {position} has a nonzero at ({row}, {col}), outside of the {rows} x {cols} matrix: padding must be zero"
    )]
    NonzeroPadding {
        /// Position in the list of all blocks.
        position: usize,
        /// Row of the element.
        row: usize,
        /// Column of the element.
        col: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
    /// A selection made for a matrix of another shape.
    #[error(
        "the selection is for a {selected_rows} x {selected_cols} matrix, the matrix given is {rows} x {cols}"
    )]
    SelectionShape {
        /// Rows the selection is for.
        selected_rows: usize,
        /// Columns the selection is for.
        selected_cols: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
}
