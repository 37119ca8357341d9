//! The sizes that follow from rows, columns and pattern, checked once.

use crate::memory::{OutOfMemory, room_for};
use crate::nm::packing;
use crate::nm::{Nm, NmError};

/// Rows, columns and pattern, known not to overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NmLayout {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) pattern: Nm,
}

impl NmLayout {
    pub(crate) fn try_new(rows: usize, cols: usize, pattern: Nm) -> Result<Self, NmError> {
        let layout = Self {
            rows,
            cols,
            pattern,
        };
        layout
            .fits_in_memory()
            .map(|()| layout)
            .ok_or(NmError::TooLarge {
                rows,
                cols,
                pattern,
            })
    }

    /// `None` where a size that any method here computes, or the decompressed form, cannot be allocated.
    fn fits_in_memory(&self) -> Option<()> {
        // A row padded to whole groups is the longest thing a row is ever turned into; eight bytes are the widest
        // element (f64, in the references), so they also bound index bits and words.
        let padded_cols = self
            .cols
            .div_ceil(self.pattern.m())
            .checked_mul(self.pattern.m())?;
        padded_cols
            .checked_mul(self.rows.max(1))?
            .checked_mul(size_of::<f64>())
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .map(|_| ())
    }

    /// An empty list with room for `len` of the matrix's `parts`.
    pub(crate) fn room_for<T>(
        &self,
        len: usize,
        parts: &str,
        remedy: &'static str,
    ) -> Result<Vec<T>, OutOfMemory> {
        let Self {
            rows,
            cols,
            pattern,
        } = self;
        let what = || format!("the {len} {parts} of a {rows} x {cols} matrix of pattern {pattern}");
        room_for(len, what, remedy)
    }

    pub(crate) fn groups(&self) -> usize {
        self.cols.div_ceil(self.pattern.m())
    }

    pub(crate) fn kept_per_row(&self) -> usize {
        self.groups() * self.pattern.n()
    }

    pub(crate) fn strips(&self) -> usize {
        self.rows.div_ceil(self.pattern.v())
    }

    /// The rows of one strip; the last strip may be shorter.
    pub(crate) fn strip_rows(&self, strip: usize) -> std::ops::Range<usize> {
        let start = strip * self.pattern.v();
        start..start.saturating_add(self.pattern.v()).min(self.rows)
    }

    /// The rows that have any element: none where there are no columns, however many rows are asked for.
    pub(crate) fn filled_rows(&self) -> std::ops::Range<usize> {
        0..if self.cols == 0 { 0 } else { self.rows }
    }

    /// The strips that have any element.
    pub(crate) fn filled_strips(&self) -> std::ops::Range<usize> {
        0..if self.cols == 0 { 0 } else { self.strips() }
    }

    pub(crate) fn index_bits(&self) -> u32 {
        packing::index_bits(self.pattern.m())
    }

    pub(crate) fn words_per_strip(&self) -> usize {
        packing::word_count(self.kept_per_row(), self.index_bits())
    }

    /// Length of the indices before packing: `[strips, kept_per_row]`.
    pub(crate) fn indices_len(&self) -> usize {
        self.strips() * self.kept_per_row()
    }

    /// Length of the values: `[rows, kept_per_row]`.
    pub(crate) fn values_len(&self) -> usize {
        self.rows * self.kept_per_row()
    }

    /// The column that position `index` of the group of slot `kept` stands for.
    pub(crate) fn column(&self, kept: usize, index: usize) -> usize {
        kept / self.pattern.n() * self.pattern.m() + index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_overflow_are_refused() {
        for (rows, cols) in [
            (usize::MAX, 2),
            (2, usize::MAX),
            (1 << 40, 1 << 40),
            (1 << 31, 1 << 31),
        ] {
            assert_eq!(
                NmLayout::try_new(rows, cols, Nm::TWO_FOUR)
                    .unwrap_err()
                    .to_string(),
                format!(
                    "a {rows} x {cols} matrix of pattern 2:4 is too large to address on this machine"
                )
            );
        }
        assert!(NmLayout::try_new(usize::MAX, 0, Nm::TWO_FOUR).is_ok());
        assert!(NmLayout::try_new(0, 1 << 20, Nm::TWO_FOUR).is_ok());
    }

    #[test]
    fn the_last_strip_may_be_shorter() {
        let layout = NmLayout::try_new(10, 9, Nm::new(2, 4, 4)).unwrap();
        assert_eq!((layout.groups(), layout.kept_per_row()), (3, 6));
        assert_eq!(layout.strips(), 3);
        assert_eq!(layout.strip_rows(2), 8..10);
        let wide = NmLayout::try_new(10, 9, Nm::new(2, 4, usize::MAX)).unwrap();
        assert_eq!((wide.strips(), wide.strip_rows(0)), (1, 0..10));
    }
}
