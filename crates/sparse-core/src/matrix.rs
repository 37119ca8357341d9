//! Dense matrices: owned row-major ones and strided views.

use crate::shape::{ShapeError, check_len, filled_elements, room_for_counted, room_for_elements};
use crate::{Element, OutOfMemory};

/// A dense matrix, row-major and contiguous.
///
/// ```
/// use sparse_core::Matrix;
/// let m = Matrix::try_new(2, 3, vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(m.get(1, 0), 4.0);
/// assert_eq!(m.view().transposed().get(0, 1), 4.0);
/// # Ok::<(), sparse_core::ShapeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

impl<T: Element> Matrix<T> {
    /// Wraps row-major `data`.
    ///
    /// # Errors
    /// [`ShapeError::Length`] where `data` is not `rows * cols` long, [`ShapeError::TooLarge`] where that overflows.
    pub fn try_new(rows: usize, cols: usize, data: Vec<T>) -> Result<Self, ShapeError> {
        check_len(&[rows, cols], data.len())?;
        Ok(Self { rows, cols, data })
    }

    /// As [`Matrix::try_new`].
    ///
    /// # Panics
    /// Where `try_new` gives an error.
    #[track_caller]
    pub fn new(rows: usize, cols: usize, data: Vec<T>) -> Self {
        Self::try_new(rows, cols, data).unwrap_or_else(|e| panic!("{e}"))
    }

    /// All zeros.
    ///
    /// # Errors
    /// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice.
    pub fn zeros(rows: usize, cols: usize) -> Result<Self, ShapeError> {
        let data = filled_elements(&[rows, cols], T::ZERO)?;
        Ok(Self { rows, cols, data })
    }

    /// As [`Matrix::zeros`], of sizes that a format has found addressable.
    pub(crate) fn allocate_zeros(rows: usize, cols: usize) -> Result<Self, OutOfMemory> {
        let mut data = room_for_counted(&[rows, cols], rows * cols)?;
        data.resize(rows * cols, T::ZERO);
        Ok(Self { rows, cols, data })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The elements, row-major.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements, row-major.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// One row.
    ///
    /// # Panics
    /// Where `row` is out of range.
    #[track_caller]
    pub fn row(&self, row: usize) -> &[T] {
        assert!(
            row < self.rows,
            "row {row} is outside of a matrix of {} rows",
            self.rows
        );
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// One element.
    ///
    /// # Panics
    /// Where the position is out of range.
    #[track_caller]
    pub fn get(&self, row: usize, col: usize) -> T {
        self.row(row)[col]
    }

    /// The whole matrix as a view.
    pub fn view(&self) -> MatrixView<'_, T> {
        MatrixView {
            data: &self.data,
            rows: self.rows,
            cols: self.cols,
            row_stride: self.cols,
            col_stride: 1,
        }
    }

    /// A copy with rows and columns exchanged; [`MatrixView::transposed`] moves no element.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let view = self.view().transposed();
        let rows = view.filled_rows();
        let data = rows.flat_map(|row| (0..self.rows).map(move |col| view.get(row, col)));
        Self {
            rows: self.cols,
            cols: self.rows,
            data: data.collect(),
        }
    }

    /// The same numbers in another storage type, each rounded to nearest.
    pub fn cast<U: Element>(&self) -> Matrix<U> {
        let data = self.data.iter().map(|x| U::from_f32(x.to_f32())).collect();
        Matrix {
            rows: self.rows,
            cols: self.cols,
            data,
        }
    }
}

/// A borrowed matrix with any strides: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatrixView<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Element> MatrixView<'a, T> {
    /// A view of `data`. Strides are in elements and may be zero (a broadcast row or column).
    ///
    /// # Errors
    /// [`ShapeError::Strides`] where the last element lies past the end of `data`, [`ShapeError::TooLarge`] where
    /// its position overflows.
    pub fn try_new(
        data: &'a [T],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, ShapeError> {
        if rows > 0 && cols > 0 {
            let too_large = || ShapeError::TooLarge {
                shape: vec![rows, cols],
            };
            let reach = |n: usize, stride: usize| (n - 1).checked_mul(stride).ok_or_else(too_large);
            let last = reach(rows, row_stride)?
                .checked_add(reach(cols, col_stride)?)
                .ok_or_else(too_large)?;
            if last >= data.len() {
                return Err(ShapeError::Strides {
                    rows,
                    cols,
                    row_stride,
                    col_stride,
                    last,
                    actual: data.len(),
                });
            }
        }
        Ok(Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// One element.
    ///
    /// # Panics
    /// Where the position is out of range.
    #[track_caller]
    pub fn get(&self, row: usize, col: usize) -> T {
        assert!(
            row < self.rows && col < self.cols,
            "({row}, {col}) is outside of a {} x {} view",
            self.rows,
            self.cols
        );
        self.data[row * self.row_stride + col * self.col_stride]
    }

    /// Rows and columns exchanged; no element moves.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// A contiguous copy.
    ///
    /// # Errors
    /// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice:
    /// a view that repeats a row or a column may have any number of elements.
    pub fn to_matrix(&self) -> Result<Matrix<T>, ShapeError> {
        let mut data = room_for_elements(&[self.rows, self.cols])?;
        for row in self.filled_rows() {
            data.extend((0..self.cols).map(|col| self.get(row, col)));
        }
        Matrix::try_new(self.rows, self.cols, data)
    }

    /// The rows that have any element: none where there are no columns, however many rows there are.
    pub(crate) fn filled_rows(&self) -> std::ops::Range<usize> {
        0..if self.cols == 0 { 0 } else { self.rows }
    }
}

impl<'a, T: Element> From<&'a Matrix<T>> for MatrixView<'a, T> {
    fn from(matrix: &'a Matrix<T>) -> Self {
        matrix.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_reaches_past_its_data_is_refused() {
        let data = [0.0_f32; 11];
        assert_eq!(
            MatrixView::try_new(&data, 3, 4, 4, 1)
                .unwrap_err()
                .to_string(),
            "a 3 x 4 view with strides (4, 1) reaches element 11, the data has 11"
        );
        assert!(MatrixView::try_new(&data, 3, 3, 4, 1).is_ok());
        assert!(MatrixView::try_new(&data, 0, 4, 4, 1).is_ok());
        assert!(matches!(
            MatrixView::try_new(&data, 3, 4, usize::MAX, 1),
            Err(ShapeError::TooLarge { .. })
        ));
    }

    #[test]
    #[should_panic(expected = "row 7 is outside of a matrix of 2 rows")]
    fn a_matrix_without_columns_has_no_more_rows_either() {
        Matrix::<f32>::new(2, 0, Vec::new()).row(7);
    }

    /// Whose first element has a number that wraps to 0.
    #[test]
    #[should_panic(expected = "is outside of a matrix of 2 rows")]
    fn no_row_is_another_one() {
        Matrix::new(2, 2, vec![0.0_f32; 4]).row(1 << (usize::BITS - 1));
    }

    #[test]
    fn zeros_beyond_all_memory_are_refused() {
        // More elements than usize holds, more bytes than an allocation may have, more than any machine has.
        assert!(matches!(
            Matrix::<f32>::zeros(usize::MAX, 2),
            Err(ShapeError::TooLarge { .. })
        ));
        for rows in [usize::MAX, usize::MAX / 16] {
            assert_eq!(
                Matrix::<f32>::zeros(rows, 1).unwrap_err().to_string(),
                format!(
                    "there is no memory for the elements of shape [{rows}, 1], {} bytes; take a smaller shape, or a part at a \
                     time",
                    (rows as u64).saturating_mul(4)
                )
            );
            assert!(crate::Tensor::<f32>::zeros(vec![rows]).is_err());
        }
    }

    #[test]
    fn a_transposed_view_swaps_indices() {
        let m = Matrix::new(2, 3, vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let t = m.view().transposed().to_matrix().unwrap();
        assert_eq!(t, Matrix::new(3, 2, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(m.transposed(), t);
        let rows = usize::MAX;
        let (tall, wide) = (
            Matrix::<f32>::new(rows, 0, vec![]),
            Matrix::new(0, rows, vec![]),
        );
        assert_eq!((tall.transposed(), wide.transposed()), (wide, tall));
    }

    #[test]
    fn a_copy_of_a_view_that_repeats_is_no_larger_than_memory() {
        let one = [1.0_f32];
        let of = |rows, cols| MatrixView::try_new(&one, rows, cols, 0, 0).unwrap();
        let error = of(1 << 30, 1 << 30).to_matrix().unwrap_err();
        assert!(
            matches!(error, ShapeError::OutOfMemory(_))
                && error.to_string().contains("[1073741824, 1073741824]"),
            "{error}"
        );
        assert!(matches!(
            of(1 << 40, 1 << 40).to_matrix(),
            Err(ShapeError::TooLarge { .. })
        ));
        assert_eq!(of(2, 3).to_matrix(), Ok(Matrix::new(2, 3, vec![1.0; 6])));
        // No element, whatever the rows.
        let rows = usize::MAX;
        assert_eq!(of(rows, 0).to_matrix(), Ok(Matrix::new(rows, 0, vec![])));
    }

    #[test]
    fn a_wrong_length_names_shape_and_counts() {
        assert_eq!(
            Matrix::try_new(2, 3, vec![0.0_f32; 5])
                .unwrap_err()
                .to_string(),
            "shape [2, 3] needs 6 elements, the data has 5"
        );
    }
}
