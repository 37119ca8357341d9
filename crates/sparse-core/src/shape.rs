//! Errors of sizes and shapes that dense containers share.

use crate::memory::{OutOfMemory, room_for};

/// A buffer or a shape that does not describe a dense array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The number of elements overflows `usize`.
    #[error("shape {shape:?} has more elements than this machine can address")]
    TooLarge {
        /// The shape asked for.
        shape: Vec<usize>,
    },
    /// There is no memory for the elements.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// The data does not have as many elements as the shape says.
    #[error("shape {shape:?} needs {expected} elements, the data has {actual}")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Elements that the shape needs.
        expected: usize,
        /// Elements given.
        actual: usize,
    },
    /// A strided view reaches past the end of its data.
    #[error(
        "a {rows} x {cols} view with strides ({row_stride}, {col_stride}) reaches element {last}, \
         the data has {actual}"
    )]
    Strides {
        /// Rows of the view.
        rows: usize,
        /// Columns of the view.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
        /// The highest element that the view touches.
        last: usize,
        /// Elements given.
        actual: usize,
    },
}

/// The number of elements of `shape`.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, ShapeError> {
    shape
        .iter()
        .try_fold(1_usize, |product, &n| product.checked_mul(n))
        .ok_or_else(|| ShapeError::TooLarge {
            shape: shape.to_vec(),
        })
}

/// An empty list with room for the elements of `shape`.
pub(crate) fn room_for_elements<T>(shape: &[usize]) -> Result<Vec<T>, ShapeError> {
    Ok(room_for_counted(shape, element_count(shape)?)?)
}

/// As [`room_for_elements`], where the elements of `shape` are known to be `count`.
pub(crate) fn room_for_counted<T>(shape: &[usize], count: usize) -> Result<Vec<T>, OutOfMemory> {
    let what = || format!("the elements of shape {shape:?}");
    room_for(count, what, "take a smaller shape, or a part at a time")
}

/// The elements of `shape`, all of them `value`.
pub(crate) fn filled_elements<T: Clone>(shape: &[usize], value: T) -> Result<Vec<T>, ShapeError> {
    let count = element_count(shape)?;
    let mut data = room_for_counted(shape, count)?;
    data.resize(count, value);
    Ok(data)
}

/// Checks that `len` elements fill `shape`.
pub(crate) fn check_len(shape: &[usize], len: usize) -> Result<(), ShapeError> {
    let expected = element_count(shape)?;
    if expected == len {
        Ok(())
    } else {
        Err(ShapeError::Length {
            shape: shape.to_vec(),
            expected,
            actual: len,
        })
    }
}
