//! The sizes that follow from rows, columns and block, checked once.

use std::ops::Range;

use crate::bsr::BsrError;

/// What helps where there is no memory for a list of blocks.
pub(crate) const TAKE_LARGER_BLOCKS: &str = "take larger blocks, or split the matrix";

/// Rows, columns and block, known not to overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BsrLayout {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) block: (usize, usize),
}

impl BsrLayout {
    pub(crate) fn try_new(
        rows: usize,
        cols: usize,
        block: (usize, usize),
    ) -> Result<Self, BsrError> {
        if block.0 == 0 || block.1 == 0 {
            return Err(BsrError::EmptyBlock {
                rows: block.0,
                cols: block.1,
            });
        }
        let layout = Self { rows, cols, block };
        layout
            .fits_in_memory()
            .map(|()| layout)
            .ok_or(BsrError::TooLarge {
                rows,
                cols,
                block_rows: block.0,
                block_cols: block.1,
            })
    }

    fn fits_in_memory(&self) -> Option<()> {
        let blocks = self.block_rows().checked_mul(self.block_cols())?;
        u32::try_from(blocks).ok()?;
        u32::try_from(self.block_rows()).ok()?;
        u32::try_from(self.block_cols()).ok()?;
        // The padded form bounds everything that is stored. A block is no larger, unless the matrix is empty.
        let padded_rows = self.block_rows().checked_mul(self.block.0)?;
        let padded_cols = self.block_cols().checked_mul(self.block.1)?;
        for (rows, cols) in [(padded_rows, padded_cols), self.block] {
            // Eight bytes are the widest element (f64, references).
            let bytes = rows.checked_mul(cols)?.checked_mul(size_of::<f64>())?;
            isize::try_from(bytes).ok()?;
        }
        Some(())
    }

    pub(crate) fn block_rows(&self) -> usize {
        self.rows.div_ceil(self.block.0)
    }

    pub(crate) fn block_cols(&self) -> usize {
        self.cols.div_ceil(self.block.1)
    }

    /// What a list of the blocks is called where there is no memory for it.
    pub(crate) fn describe_list(&self) -> String {
        let (blocks, (br, bc)) = (self.block_count(), self.block);
        format!("a list of blocks of {br} x {bc}, {blocks} of them")
    }

    /// All blocks, stored or not.
    pub(crate) fn block_count(&self) -> usize {
        self.block_rows() * self.block_cols()
    }

    pub(crate) fn block_len(&self) -> usize {
        self.block.0 * self.block.1
    }

    /// The real rows of a block row; the last may be shorter.
    pub(crate) fn rows_of(&self, block_row: usize) -> Range<usize> {
        let start = block_row * self.block.0;
        start..(start + self.block.0).min(self.rows)
    }

    /// The real columns of a block column; the last may be shorter.
    pub(crate) fn cols_of(&self, block_col: usize) -> Range<usize> {
        let start = block_col * self.block.1;
        start..(start + self.block.1).min(self.cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_overflow_are_refused() {
        for (rows, cols, block) in [
            (usize::MAX, 1, (usize::MAX, 2)),
            (1 << 33, 1, (1, 1)),
            (1 << 33, 0, (1, 1)),
            (1 << 16, 1 << 16, (1, 1)),
            (1 << 40, 1 << 40, (1 << 20, 1 << 30)),
            // Empty, of blocks that cannot be.
            (0, 0, (1 << 32, 1 << 32)),
            (0, 5, (1 << 32, 1 << 29)),
            (5, 0, (usize::MAX, 2)),
        ] {
            assert!(
                matches!(
                    BsrLayout::try_new(rows, cols, block),
                    Err(BsrError::TooLarge { .. })
                ),
                "{rows} x {cols} in {block:?}"
            );
        }
        assert_eq!(
            BsrLayout::try_new(1 << 16, 1 << 16, (1, 1))
                .unwrap_err()
                .to_string(),
            "a 65536 x 65536 matrix in blocks of 1 x 1 is too large: a block and the padded matrix must be addressable, \
             with fewer than 2^32 blocks"
        );
        assert_eq!(
            BsrLayout::try_new(4, 4, (0, 2)).unwrap_err().to_string(),
            "a block of 0 x 2 has no elements: both sides must be at least 1"
        );
        assert!(BsrLayout::try_new(0, 0, (1 << 20, 1 << 20)).is_ok());
    }
}
