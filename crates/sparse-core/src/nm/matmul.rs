//! `y = act(alpha * x w^T + beta * c + bias)` with N:M weights, the CPU twin of the GPU's `nm_matmul`.

use crate::matmul::{columns, multiply, multiply_elements, multiply_tokens};
use crate::{Element, Epilogue, MatmulError, MatmulReference, MatrixView, NmMatrix};

/// `y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o])` over the stored `k` of row `o`.
///
/// Explicit zeros are stored and take part (`0 * inf` is NaN); weights that are not stored, and slots of the tail
/// group past the last column, never touch `x`.
///
/// ```
/// use sparse_core::{Epilogue, Matrix, Nm, NmMatrix, nm::nm_matmul};
/// let x = Matrix::new(1, 4, vec![f32::INFINITY, 2.0, 3.0, 4.0]); // [tokens, k_in]
/// let w = NmMatrix::new(1, 4, Nm::TWO_FOUR, vec![10.0_f32, 1.0], &[1, 3]); // [n_out, k_in]
/// assert_eq!(nm_matmul(&x, &w, &Epilogue::NONE)?.y, [24.0]);
/// # Ok::<(), sparse_core::MatmulError>(())
/// ```
///
/// # Errors
/// [`MatmulError::InputFeatures`], [`MatmulError::BiasLength`], [`MatmulError::AddendShape`], [`MatmulError::TooLarge`] and
/// [`MatmulError::OutOfMemory`].
pub fn nm_matmul<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &NmMatrix<W>,
    epilogue: &Epilogue,
) -> Result<MatmulReference, MatmulError> {
    multiply::<X, W, _>(x.into(), (w.rows(), w.cols()), epilogue, |o| terms(w, o))
}

/// `y = act(alpha * x w + beta * c + bias)`: as [`nm_matmul`] with `w [k_in, n_out]`, whose rows have the pattern along `n_out`.
///
/// # Errors
/// Those of [`nm_matmul`].
pub fn nm_matmul_transposed<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &NmMatrix<W>,
    epilogue: &Epilogue,
) -> Result<MatmulReference, MatmulError> {
    let columns = columns(w.rows(), w.cols(), |row| terms(w, row))?;
    multiply::<X, W, _>(x.into(), (w.cols(), w.rows()), epilogue, |o| {
        columns[o].iter().copied()
    })
}

/// As [`nm_matmul`], of the rows `tokens` of `x` only, in this order.
///
/// # Errors
/// Those of [`nm_matmul`] and [`MatmulError::TokenOutOfRange`].
pub fn nm_matmul_tokens<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &NmMatrix<W>,
    epilogue: &Epilogue,
    tokens: &[usize],
) -> Result<MatmulReference, MatmulError> {
    multiply_tokens::<X, W, _>(x.into(), tokens, (w.rows(), w.cols()), epilogue, |o| {
        terms(w, o)
    })
}

/// As [`nm_matmul`], of single elements `[token, output]` only, in this order: a column of as many numbers. Fast where those of an output
/// follow each other.
///
/// # Errors
/// Those of [`nm_matmul_tokens`] and [`MatmulError::OutputOutOfRange`].
pub fn nm_matmul_elements<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: &NmMatrix<W>,
    epilogue: &Epilogue,
    elements: &[[usize; 2]],
) -> Result<MatmulReference, MatmulError> {
    let shape = (w.rows(), w.cols());
    multiply_elements::<X, W, _>(x.into(), elements, shape, epilogue, |o| terms(w, o))
}

fn terms<W: Element>(w: &NmMatrix<W>, o: usize) -> impl Iterator<Item = (usize, f64)> {
    w.row(o).map(|(k, weight)| (k, weight.to_f64()))
}
