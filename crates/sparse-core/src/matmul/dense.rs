//! `y = act(alpha * x w^T + beta * c + bias)` with all weights: the baseline of the sparse matmuls.

use crate::matmul::{multiply, multiply_elements, multiply_tokens};
use crate::{Element, Epilogue, MatmulError, MatmulReference, MatrixView};

/// `y[t, o] = act(alpha * sum_k x[t, k] * w[o, k] + beta * c[t, o] + bias[o])` over all `k`, zeros too: `0 * inf` is NaN here.
///
/// ```
/// use sparse_core::{Epilogue, Matrix, matmul::dense_matmul};
/// let x = Matrix::new(1, 3, vec![1.0_f32, 2.0, 3.0]); // [tokens, k_in]
/// let w = Matrix::new(2, 3, vec![1.0_f32, 0.0, 0.0, 4.0, 5.0, -6.0]); // [n_out, k_in]
/// let product = dense_matmul(&x, &w, &Epilogue::NONE)?;
/// assert_eq!(product.y, [1.0, -4.0]);
/// assert_eq!(product.magnitude, [1.0, 32.0]);
/// # Ok::<(), sparse_core::MatmulError>(())
/// ```
///
/// # Errors
/// [`MatmulError::InputFeatures`], [`MatmulError::BiasLength`], [`MatmulError::AddendShape`], [`MatmulError::TooLarge`] and
/// [`MatmulError::OutOfMemory`].
pub fn dense_matmul<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: impl Into<MatrixView<'a, W>>,
    epilogue: &Epilogue,
) -> Result<MatmulReference, MatmulError> {
    let w = w.into();
    multiply::<X, W, _>(x.into(), (w.rows(), w.cols()), epilogue, |o| terms(w, o))
}

/// As [`dense_matmul`], of the rows `tokens` of `x` only, in this order.
///
/// # Errors
/// Those of [`dense_matmul`] and [`MatmulError::TokenOutOfRange`].
pub fn dense_matmul_tokens<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: impl Into<MatrixView<'a, W>>,
    epilogue: &Epilogue,
    tokens: &[usize],
) -> Result<MatmulReference, MatmulError> {
    let w = w.into();
    multiply_tokens::<X, W, _>(x.into(), tokens, (w.rows(), w.cols()), epilogue, |o| {
        terms(w, o)
    })
}

/// As [`dense_matmul`], of single elements `[token, output]` only, in this order: a column of as many numbers. Fast where those of an output
/// follow each other.
///
/// # Errors
/// Those of [`dense_matmul_tokens`] and [`MatmulError::OutputOutOfRange`].
pub fn dense_matmul_elements<'a, X: Element, W: Element>(
    x: impl Into<MatrixView<'a, X>>,
    w: impl Into<MatrixView<'a, W>>,
    epilogue: &Epilogue,
    elements: &[[usize; 2]],
) -> Result<MatmulReference, MatmulError> {
    let w = w.into();
    let shape = (w.rows(), w.cols());
    multiply_elements::<X, W, _>(x.into(), elements, shape, epilogue, |o| terms(w, o))
}

fn terms<W: Element>(w: MatrixView<'_, W>, o: usize) -> impl Iterator<Item = (usize, f64)> {
    (0..w.cols()).map(move |k| (k, w.get(o, k).to_f64()))
}
