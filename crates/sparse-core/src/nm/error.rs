//! What can be wrong with an N:M pattern or matrix.

use crate::OutOfMemory;
use crate::nm::Nm;
use crate::prune::NmViolation;

/// Why an N:M pattern or matrix was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NmError {
    /// A pattern that keeps nothing.
    #[error(
        "pattern 0:{m} keeps nothing: n must be at least 1; an all-zero matrix obeys any pattern"
    )]
    NothingKept {
        /// Group length asked for.
        m: usize,
    },
    /// A pattern that drops nothing.
    #[error(
        "pattern {n}:{m} drops nothing: n must be below m; keep the matrix dense to keep all of it"
    )]
    NothingDropped {
        /// Weights kept per group.
        n: usize,
        /// Group length asked for.
        m: usize,
    },
    /// A group longer than [`Nm::MAX_M`].
    #[error("pattern {n}:{m} has groups of {m} weights, the longest supported group has 32")]
    GroupTooLong {
        /// Weights kept per group.
        n: usize,
        /// Group length asked for.
        m: usize,
    },
    /// No rows share a pattern.
    #[error("pattern 0:{n}:{m} shares its indices among 0 rows: v must be at least 1")]
    NoRowsPerStrip {
        /// Weights kept per group.
        n: usize,
        /// Group length.
        m: usize,
    },
    /// A text that is no pattern.
    #[error(
        "cannot read {text:?} as a pattern: write N:M as in 2:4, or V:N:M (V first) as in 8:2:4"
    )]
    Unreadable {
        /// The text given.
        text: String,
    },
    /// Sizes whose dense form no memory can hold.
    #[error(
        "a {rows} x {cols} matrix of pattern {pattern} is too large to address on this machine"
    )]
    TooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Pattern asked for.
        pattern: Nm,
    },
    /// There is no memory for the kept weights or their indices.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// Too few or too many kept values.
    #[error(
        "pattern {pattern} keeps {kept_per_row} weights in each of {rows} rows, {expected} values in all, \
         but {actual} were given"
    )]
    ValuesLength {
        /// The pattern.
        pattern: Nm,
        /// Rows of the matrix.
        rows: usize,
        /// Slots of each row.
        kept_per_row: usize,
        /// Values needed.
        expected: usize,
        /// Values given.
        actual: usize,
    },
    /// Too few or too many indices.
    #[error(
        "pattern {pattern} needs {kept_per_row} indices for each of {strips} strips of rows, {expected} in all, \
         but {actual} were given"
    )]
    IndicesLength {
        /// The pattern.
        pattern: Nm,
        /// Strips of rows that share a pattern.
        strips: usize,
        /// Slots of each row.
        kept_per_row: usize,
        /// Indices needed.
        expected: usize,
        /// Indices given.
        actual: usize,
    },
    /// Too few or too many words of packed indices.
    #[error(
        "pattern {pattern} packs the indices of each of {strips} strips of rows into {words_per_strip} words, {expected} in all, \
         but {actual} were given"
    )]
    PackedLength {
        /// The pattern.
        pattern: Nm,
        /// Strips of rows that share a pattern.
        strips: usize,
        /// Words of each strip.
        words_per_strip: usize,
        /// Words needed.
        expected: usize,
        /// Words given.
        actual: usize,
    },
    /// Packed indices with something behind the last one of a strip.
    #[error(
        "the last word of packed indices of strip {strip} has bits that belong to no slot: they must be zero"
    )]
    UnusedBits {
        /// The strip.
        strip: usize,
    },
    /// An index past the end of its group.
    #[error(
        "index {index} of slot {kept} in strip {strip} is outside of its group: it must be below {m}"
    )]
    IndexOutOfRange {
        /// The strip.
        strip: usize,
        /// The slot within the strip.
        kept: usize,
        /// The index given.
        index: u8,
        /// Group length.
        m: usize,
    },
    /// Indices of one group that are unsorted or repeated.
    #[error(
        "index {index} of slot {kept} in strip {strip} follows {previous} in the same group: indices of a group \
         must strictly increase"
    )]
    IndexNotIncreasing {
        /// The strip.
        strip: usize,
        /// The slot within the strip.
        kept: usize,
        /// The index before it.
        previous: u8,
        /// The index given.
        index: u8,
    },
    /// A nonzero value in a slot that lies past the last column.
    #[error(
        "slot {kept} of row {row} lies at column {column}, past the {cols} columns of the matrix: its value must be \
         zero"
    )]
    NonzeroPadding {
        /// The row.
        row: usize,
        /// The slot within the row.
        kept: usize,
        /// The column that the slot stands for.
        column: usize,
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
    /// A dense matrix that does not have the pattern.
    #[error("{0}; prune the matrix first to give it the pattern")]
    Violation(NmViolation),
}
