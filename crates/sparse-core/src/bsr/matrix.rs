//! A matrix of which only whole blocks are stored.

use crate::bsr::{BlockSelection, BsrError, BsrLayout};
use crate::memory::filled;
use crate::{Element, Matrix, MatrixView, OutOfMemory};

/// A `rows x cols` matrix stored as the `br x bc` blocks that are not absent. Memory layout: `docs/FORMATS.md`.
///
/// Any block shape works and the sizes need not be multiples of it: blocks of the last block row and block column are
/// stored whole, and their elements outside of the matrix (padding) are zero and no part of it.
///
/// ```
/// use sparse_core::{BsrMatrix, Matrix};
/// let dense = Matrix::new(2, 4, vec![0.0_f32, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0]);
/// let compressed = BsrMatrix::from_dense(&dense, (2, 2))?;
/// assert_eq!((compressed.indptr(), compressed.indices()), (&[0, 1][..], &[1][..]));
/// assert_eq!(compressed.values(), [1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(compressed.to_dense()?, dense);
/// # Ok::<(), sparse_core::BsrError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BsrMatrix<T> {
    selection: BlockSelection,
    values: Vec<T>,
}

impl<T: Element> BsrMatrix<T> {
    /// Wraps `indptr [block_rows + 1]`, `indices [nnz_blocks]` and `values [nnz_blocks, br, bc]`, with
    /// `block = (br, bc)`. Block row `i` holds the blocks `indptr[i]..indptr[i + 1]`, at strictly increasing block
    /// columns.
    ///
    /// # Errors
    /// Those of [`BlockSelection::try_new`], [`BsrError::ValuesLength`] and [`BsrError::NonzeroPadding`].
    pub fn try_new(
        rows: usize,
        cols: usize,
        block: (usize, usize),
        indptr: Vec<u32>,
        indices: Vec<u32>,
        values: Vec<T>,
    ) -> Result<Self, BsrError> {
        let selection = BlockSelection::try_new(rows, cols, block, indptr, indices)?;
        // Strictly increasing indices in range: there are no more blocks than the layout found addressable.
        if values.len() != selection.count() * selection.layout().block_len() {
            return Err(BsrError::ValuesLength {
                blocks: selection.count(),
                block_rows: block.0,
                block_cols: block.1,
                actual: values.len(),
            });
        }
        let matrix = Self { selection, values };
        matrix.check_padding()?;
        Ok(matrix)
    }

    /// As [`BsrMatrix::try_new`].
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
        values: Vec<T>,
    ) -> Self {
        Self::try_new(rows, cols, block, indptr, indices, values).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Stores the blocks that have any nonzero, bit by bit (NaN payloads and the signs of zeros too). `-0.0` counts
    /// as zero, NaN does not.
    ///
    /// # Errors
    /// [`BsrError::EmptyBlock`], [`BsrError::TooLarge`] and [`BsrError::OutOfMemory`].
    pub fn from_dense<'a>(
        dense: impl Into<MatrixView<'a, T>>,
        block: (usize, usize),
    ) -> Result<Self, BsrError> {
        let dense = dense.into();
        let selection = BlockSelection::of_nonzeros(dense, block)?;
        Self::from_selection(dense, &selection)
    }

    /// Stores the blocks of `selection`, zero or not, and drops everything else.
    ///
    /// # Errors
    /// [`BsrError::SelectionShape`] where the selection is for another shape; [`BsrError::OutOfMemory`].
    pub fn from_selection<'a>(
        dense: impl Into<MatrixView<'a, T>>,
        selection: &BlockSelection,
    ) -> Result<Self, BsrError> {
        let dense = dense.into();
        let layout = selection.layout();
        if (dense.rows(), dense.cols()) != (layout.rows, layout.cols) {
            return Err(BsrError::SelectionShape {
                selected_rows: layout.rows,
                selected_cols: layout.cols,
                rows: dense.rows(),
                cols: dense.cols(),
            });
        }
        let (blocks, (br, bc)) = (selection.count(), layout.block);
        let what = || format!("blocks of {br} x {bc}, {blocks} of them");
        let remedy = "choose smaller blocks or keep fewer";
        let mut values = filled(blocks * layout.block_len(), T::ZERO, what, remedy)?;
        for ((block_row, block_col), block) in selection
            .blocks()
            .zip(values.chunks_mut(layout.block_len()))
        {
            for (i, row) in layout.rows_of(block_row).enumerate() {
                for (j, col) in layout.cols_of(block_col).enumerate() {
                    block[i * layout.block.1 + j] = dense.get(row, col);
                }
            }
        }
        Ok(Self {
            selection: selection.clone(),
            values,
        })
    }

    /// The matrix with its zeros written out.
    ///
    /// # Errors
    /// [`OutOfMemory`]: a few blocks may belong to a matrix of any size.
    pub fn to_dense(&self) -> Result<Matrix<T>, OutOfMemory> {
        let layout = self.layout();
        let mut dense = Matrix::allocate_zeros(layout.rows, layout.cols)?;
        let data = dense.data_mut();
        for ((block_row, block_col), block) in self.blocks() {
            for (i, row) in layout.rows_of(block_row).enumerate() {
                for (j, col) in layout.cols_of(block_col).enumerate() {
                    data[row * layout.cols + col] = block[i * layout.block.1 + j];
                }
            }
        }
        Ok(dense)
    }

    /// The stored weights of one row as `(column, value)`, ascending; zeros of a stored block belong to them, padding
    /// does not.
    ///
    /// # Panics
    /// Where `row` is out of range.
    #[track_caller]
    pub fn row(&self, row: usize) -> impl Iterator<Item = (usize, T)> {
        let layout = self.layout();
        assert!(
            row < layout.rows,
            "row {row} is outside of a matrix of {} rows",
            layout.rows
        );
        let (block_row, i) = (row / layout.block.0, row % layout.block.0);
        let stored = self.indptr()[block_row] as usize..self.indptr()[block_row + 1] as usize;
        stored.flat_map(move |position| {
            let start = position * layout.block_len() + i * layout.block.1;
            layout
                .cols_of(self.indices()[position] as usize)
                .zip(self.values[start..start + layout.block.1].iter().copied())
        })
    }

    fn check_padding(&self) -> Result<(), BsrError> {
        let layout = self.layout();
        for (position, ((block_row, block_col), block)) in self.blocks().enumerate() {
            for (offset, value) in block.iter().enumerate() {
                let row = block_row * layout.block.0 + offset / layout.block.1;
                let col = block_col * layout.block.1 + offset % layout.block.1;
                if (row >= layout.rows || col >= layout.cols) && !value.is_zero() {
                    return Err(BsrError::NonzeroPadding {
                        position,
                        row,
                        col,
                        rows: layout.rows,
                        cols: layout.cols,
                    });
                }
            }
        }
        Ok(())
    }
}

impl<T> BsrMatrix<T> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.selection.rows()
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.selection.cols()
    }

    /// Rows and columns of a block.
    pub fn block(&self) -> (usize, usize) {
        self.selection.block()
    }

    /// `ceil(rows / br)`.
    pub fn block_rows(&self) -> usize {
        self.layout().block_rows()
    }

    /// `ceil(cols / bc)`.
    pub fn block_cols(&self) -> usize {
        self.layout().block_cols()
    }

    /// Which blocks are stored.
    pub fn selection(&self) -> &BlockSelection {
        &self.selection
    }

    /// Where each block row starts in [`indices`](Self::indices); `block_rows + 1` entries.
    pub fn indptr(&self) -> &[u32] {
        self.selection.indptr()
    }

    /// Block columns, strictly increasing within a block row.
    pub fn indices(&self) -> &[u32] {
        self.selection.indices()
    }

    /// The stored blocks `[nnz_blocks, br, bc]`, each row-major.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Blocks stored.
    pub fn nnz_blocks(&self) -> usize {
        self.selection.count()
    }

    /// Share of the blocks that is stored; 0 for a matrix without blocks.
    pub fn density(&self) -> f64 {
        self.selection.density()
    }

    /// The stored blocks as `((block row, block column), elements)`, in storage order.
    pub fn blocks(&self) -> impl Iterator<Item = ((usize, usize), &[T])> {
        self.selection
            .blocks()
            .zip(self.values.chunks(self.layout().block_len()))
    }

    pub(crate) fn layout(&self) -> BsrLayout {
        self.selection.layout()
    }
}
