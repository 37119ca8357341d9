//! Which blocks of a matrix are kept, before any value is moved.

use crate::bsr::{BsrError, BsrLayout, TAKE_LARGER_BLOCKS};
use crate::memory::{push, room_for};
use crate::{Element, MatrixView, OutOfMemory};

/// The blocks that are kept of a `rows x cols` matrix, the outcome of a pruning method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSelection {
    layout: BsrLayout,
    indptr: Vec<u32>,
    indices: Vec<u32>,
}

impl BlockSelection {
    /// Wraps `indptr [block_rows + 1]` and `indices [blocks kept]`: block row `i` keeps the block columns
    /// `indices[indptr[i]..indptr[i + 1]]`, strictly increasing.
    ///
    /// # Errors
    /// [`BsrError::EmptyBlock`], [`BsrError::TooLarge`], [`BsrError::IndptrLength`], [`BsrError::IndptrStart`],
    /// [`BsrError::IndptrDecreasing`], [`BsrError::IndptrEnd`], [`BsrError::IndexOutOfRange`] and
    /// [`BsrError::IndexNotIncreasing`].
    pub fn try_new(
        rows: usize,
        cols: usize,
        block: (usize, usize),
        indptr: Vec<u32>,
        indices: Vec<u32>,
    ) -> Result<Self, BsrError> {
        let layout = BsrLayout::try_new(rows, cols, block)?;
        check_indptr(&layout, &indptr, indices.len())?;
        let selection = Self {
            layout,
            indptr,
            indices,
        };
        selection.check_indices()?;
        Ok(selection)
    }

    /// As [`BlockSelection::try_new`].
    ///
    /// # Panics
    /// Where `try_new` gives an error.
    #[track_caller]
    pub fn new(
        rows: usize,
        cols: usize,
        block: (usize, usize),
        indptr: Vec<u32>,
        indices: Vec<u32>,
    ) -> Self {
        Self::try_new(rows, cols, block, indptr, indices).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The blocks that have any nonzero. `-0.0` counts as zero, NaN does not.
    ///
    /// # Errors
    /// [`BsrError::EmptyBlock`], [`BsrError::TooLarge`] and [`BsrError::OutOfMemory`].
    pub fn of_nonzeros<'a, T: Element>(
        dense: impl Into<MatrixView<'a, T>>,
        block: (usize, usize),
    ) -> Result<Self, BsrError> {
        let dense = dense.into();
        let layout = BsrLayout::try_new(dense.rows(), dense.cols(), block)?;
        let is_nonzero = |row, col| !dense.get(row, col).is_zero();
        Ok(Self::choose(layout, |block_row, block_col| {
            let cols = layout.cols_of(block_col);
            layout
                .rows_of(block_row)
                .any(|row| cols.clone().any(|col| is_nonzero(row, col)))
        })?)
    }

    /// Keeps the blocks `(block row, block column)` for which `keep` says so.
    pub(crate) fn choose(
        layout: BsrLayout,
        mut keep: impl FnMut(usize, usize) -> bool,
    ) -> Result<Self, OutOfMemory> {
        let what = || layout.describe_list();
        let mut indptr = room_for(layout.block_rows() + 1, what, TAKE_LARGER_BLOCKS)?;
        let mut indices = Vec::new();
        indptr.push(0);
        let mut count = 0_u32;
        for block_row in 0..layout.block_rows() {
            for (block_col, index) in (0..layout.block_cols()).zip(0_u32..) {
                if keep(block_row, block_col) {
                    push(&mut indices, index, what, TAKE_LARGER_BLOCKS)?;
                    count += 1;
                }
            }
            indptr.push(count);
        }
        Ok(Self {
            layout,
            indptr,
            indices,
        })
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    /// Rows and columns of a block.
    pub fn block(&self) -> (usize, usize) {
        self.layout.block
    }

    /// Where each block row starts in [`indices`](Self::indices); `block_rows + 1` entries.
    pub fn indptr(&self) -> &[u32] {
        &self.indptr
    }

    /// Block columns, strictly increasing within a block row.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Blocks kept.
    pub fn count(&self) -> usize {
        self.indices.len()
    }

    /// Share of the blocks that is kept; 0 for a matrix without blocks.
    pub fn density(&self) -> f64 {
        match self.layout.block_count() {
            0 => 0.0,
            all => self.count() as f64 / all as f64,
        }
    }

    /// The kept blocks as `(block row, block column)`, in storage order.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        self.indptr
            .windows(2)
            .enumerate()
            .flat_map(|(block_row, ends)| {
                self.indices[ends[0] as usize..ends[1] as usize]
                    .iter()
                    .map(move |&block_col| (block_row, block_col as usize))
            })
    }

    pub(crate) fn layout(&self) -> BsrLayout {
        self.layout
    }

    fn check_indices(&self) -> Result<(), BsrError> {
        let mut previous = None;
        for (position, (block_row, block_col)) in self.blocks().enumerate() {
            let index = self.indices[position];
            if block_col >= self.layout.block_cols() {
                return Err(BsrError::IndexOutOfRange {
                    block_row,
                    position,
                    index,
                    block_cols: self.layout.block_cols(),
                });
            }
            match previous {
                Some((row_before, previous)) if row_before == block_row && previous >= index => {
                    return Err(BsrError::IndexNotIncreasing {
                        block_row,
                        position,
                        previous,
                        index,
                    });
                }
                _ => previous = Some((block_row, index)),
            }
        }
        Ok(())
    }
}

/// Checks row pointers: one more than block rows, from zero, never decreasing, up to `indices`.
fn check_indptr(layout: &BsrLayout, indptr: &[u32], indices: usize) -> Result<(), BsrError> {
    let (true, Some(&first), Some(&end)) = (
        indptr.len() == layout.block_rows() + 1,
        indptr.first(),
        indptr.last(),
    ) else {
        return Err(BsrError::IndptrLength {
            block_rows: layout.block_rows(),
            actual: indptr.len(),
        });
    };
    if first != 0 {
        return Err(BsrError::IndptrStart { first });
    }
    if let Some(block_row) = indptr.windows(2).position(|ends| ends[0] > ends[1]) {
        return Err(BsrError::IndptrDecreasing {
            block_row,
            start: indptr[block_row],
            end: indptr[block_row + 1],
        });
    }
    if end as usize != indices {
        return Err(BsrError::IndptrEnd { end, indices });
    }
    Ok(())
}
