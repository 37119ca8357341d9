//! `y = act(alpha * x w^T + beta * c + bias)` with block-sparse weights, the CPU twin of the GPU's `bsr_matmul`.

use crate::matmul::{columns, multiply, multiply_elements, multiply_tokens};
use crate::{BsrMatrix, Element, Epilogue, MatmulError, MatmulReference, MatrixView};

/// `y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o])` over the `k` of the blocks stored in the block row of `o`.
///
/// Zeros inside of a stored block take part (`0 * inf` is NaN); absent blocks, and the part of an edge block outside
/// of the matrix, never touch `x`.
///
/// ```
/// use sparse_core::{BsrMatrix, Epilogue, Matrix, bsr::bsr_matmul};
/// let x = Matrix::new(1, 4, vec![f32::INFINITY, f32::NAN, 3.0, 4.0]); // [tokens, k_in]
/// let w = BsrMatrix::new(2, 4, (2, 2), vec![0, 1], vec![1], vec![1.0_f32, 2.0, 0.0, -1.0]); // [n_out, k_in]
/// assert_eq!(bsr_matmul(&x, &w, &Epilogue::NONE)?.y, [11.0, -4.0]);
/// # Ok::<(), sparse_core::MatmulError>(())
/// ```
///
/// # Errors
/// [`MatmulError::InputFeatures`], [`MatmulError::BiasLength`], [`MatmulError::AddendShape`], [`MatmulError::TooLarge`] and
/// [`MatmulError::OutOfMemory`].
pub fn bsr_matmul<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &BsrMatrix<W>,
    epilogue: &Epilogue,
) -> Result<MatmulReference, MatmulError> {
    multiply::<X, W, _>(x.into(), (w.rows(), w.cols()), epilogue, |o| terms(w, o))
}

/// `y = act(alpha * x w + beta * c + bias)`: as [`bsr_matmul`] with `w [k_in, n_out]`, whose blocks are what a column has.
///
/// # Errors
/// Those of [`bsr_matmul`].
pub fn bsr_matmul_transposed<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &BsrMatrix<W>,
    epilogue: &Epilogue,
) -> Result<MatmulReference, MatmulError> {
    let columns = columns(w.rows(), w.cols(), |row| terms(w, row))?;
    multiply::<X, W, _>(x.into(), (w.cols(), w.rows()), epilogue, |o| {
        columns[o].iter().copied()
    })
}

/// As [`bsr_matmul`], of the rows `tokens` of `x` only, in this order.
///
/// # Errors
/// Those of [`bsr_matmul`] and [`MatmulError::TokenOutOfRange`].
pub fn bsr_matmul_tokens<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &BsrMatrix<W>,
    epilogue: &Epilogue,
    tokens: &[usize],
) -> Result<MatmulReference, MatmulError> {
    multiply_tokens::<X, W, _>(x.into(), tokens, (w.rows(), w.cols()), epilogue, |o| {
        terms(w, o)
    })
}

/// As [`bsr_matmul`], of single elements `[token, output]` only, in this order: a column of as many numbers. Fast where those of an output
/// follow each other.
///
/// # Errors
/// Those of [`bsr_matmul_tokens`] and [`MatmulError::OutputOutOfRange`].
pub fn bsr_matmul_elements<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &BsrMatrix<W>,
    epilogue: &Epilogue,
    elements: &[[usize; 2]],
) -> Result<MatmulReference, MatmulError> {
    let shape = (w.rows(), w.cols());
    multiply_elements::<X, W, _>(x.into(), elements, shape, epilogue, |o| terms(w, o))
}

fn terms<W: Element>(w: &BsrMatrix<W>, o: usize) -> impl Iterator<Item = (usize, f64)> {
    w.row(o).map(|(k, weight)| (k, weight.to_f64()))
}
