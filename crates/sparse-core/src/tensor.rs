//! A dense array of any rank, row-major and contiguous.

use crate::shape::{ShapeError, check_len, filled_elements};
use crate::{Element, Matrix};

/// A dense array of any rank, row-major and contiguous: `q [batch, heads, tokens, head_dim]` and the like.
///
/// ```
/// use sparse_core::Tensor;
/// let t = Tensor::try_new(vec![1, 2, 3], vec![0.0_f32; 6])?;
/// assert_eq!(t.shape(), [1, 2, 3]);
/// # Ok::<(), sparse_core::ShapeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T: Element> Tensor<T> {
    /// Wraps row-major `data`.
    ///
    /// # Errors
    /// [`ShapeError::Length`] where `data` does not fill `shape`, [`ShapeError::TooLarge`] where its element count overflows.
    pub fn try_new(shape: Vec<usize>, data: Vec<T>) -> Result<Self, ShapeError> {
        check_len(&shape, data.len())?;
        Ok(Self { shape, data })
    }

    /// As [`Tensor::try_new`].
    ///
    /// # Panics
    /// Where `try_new` gives an error.
    #[track_caller]
    pub fn new(shape: Vec<usize>, data: Vec<T>) -> Self {
        Self::try_new(shape, data).unwrap_or_else(|e| panic!("{e}"))
    }

    /// All zeros.
    ///
    /// # Errors
    /// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice.
    pub fn zeros(shape: Vec<usize>) -> Result<Self, ShapeError> {
        let data = filled_elements(&shape, T::ZERO)?;
        Ok(Self { shape, data })
    }

    /// Sizes, slowest dimension first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The elements, row-major.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, Vec<T>) {
        (self.shape, self.data)
    }

    /// The same numbers in another storage type, each rounded to nearest.
    pub fn cast<U: Element>(&self) -> Tensor<U> {
        let data = self.data.iter().map(|x| U::from_f32(x.to_f32())).collect();
        Tensor {
            shape: self.shape.clone(),
            data,
        }
    }
}

impl<T: Element> From<Matrix<T>> for Tensor<T> {
    fn from(matrix: Matrix<T>) -> Self {
        let shape = vec![matrix.rows(), matrix.cols()];
        Self {
            shape,
            data: matrix.into_data(),
        }
    }
}
