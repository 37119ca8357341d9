//! A dense product of which only some blocks are computed: the CPU twin of the GPU's `bsr_sddmm`.

use crate::matmul::{column_product, scaled_and_added};
use crate::{BlockSelection, BsrMatrix, Element, MatmulError, MatmulReference, MatrixView};

/// `out[i, j] = alpha * sum_t dy[t, i] * x[t, j] + beta * previous[i, j]`, `dy^T x`, at the blocks of `selection` only: the gradient of
/// block-sparse weights `[n_out, k_in]`, of `dy [tokens, n_out]` and `x [tokens, k_in]`.
///
/// The result has the blocks' elements `[count * br, bc]` as its rows, in storage order; those outside of the matrix are zero. `beta` times
/// a `previous` matrix of the same blocks is added where it is given.
///
/// ```
/// use sparse_core::{BlockSelection, BsrMatrix, Matrix, bsr::bsr_sddmm};
/// let dy = Matrix::new(2, 2, vec![1.0_f32, 2.0, 3.0, 4.0]); // [tokens, n_out]
/// let x = Matrix::new(2, 4, vec![0.0_f32, 0.0, 5.0, 6.0, 0.0, 0.0, 7.0, 8.0]); // [tokens, k_in]
/// let selection = BlockSelection::new(2, 4, (2, 2), vec![0, 1], vec![1]);
/// let none = None::<&BsrMatrix<f32>>;
/// assert_eq!(bsr_sddmm(&dy, &x, &selection, 1.0, 0.0, none)?.y, [26.0, 30.0, 38.0, 44.0]);
/// # Ok::<(), sparse_core::MatmulError>(())
/// ```
///
/// # Errors
/// [`MatmulError::SampledShape`] where dy, x, the selection and the previous matrix do not fit together; [`MatmulError::OutOfMemory`].
pub fn bsr_sddmm<'a, Y: Element, X: Element, W: Element>(
    dy: impl Into<MatrixView<'a, Y>>,
    x: impl Into<MatrixView<'a, X>>,
    selection: &BlockSelection,
    alpha: f32,
    beta: f32,
    previous: Option<&BsrMatrix<W>>,
) -> Result<MatmulReference, MatmulError> {
    let (dy, x) = (dy.into(), x.into());
    let same_blocks = previous.is_none_or(|previous| previous.selection() == selection);
    let fits =
        dy.rows() == x.rows() && (dy.cols(), x.cols()) == (selection.rows(), selection.cols());
    if !(fits && same_blocks) {
        return Err(MatmulError::SampledShape {
            dy: (dy.rows(), dy.cols()),
            x: (x.rows(), x.cols()),
            selected: (selection.rows(), selection.cols()),
        });
    }
    let (layout, (br, bc)) = (selection.layout(), selection.block());
    let count = selection.count();
    let epilogue = scaled_and_added(
        alpha,
        beta,
        previous.map(BsrMatrix::values),
        (count * br, bc),
        || format!("blocks of {br} x {bc} in f64, {count} of them"),
        "take some of the blocks at a time",
    )?;
    let mut reference = MatmulReference::zeros(count * br, bc, &epilogue)?;
    for (block, (block_row, block_col)) in selection.blocks().enumerate() {
        for (a, row) in layout.rows_of(block_row).enumerate() {
            for (b, col) in layout.cols_of(block_col).enumerate() {
                let sum = column_product(dy, x, [row, col]);
                let row = block * br + a;
                reference.set(row * bc + b, [row, b], 0.0, sum, &epilogue);
            }
        }
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;
    use crate::matmul::{Epilogue, dense_matmul};

    /// Cut blocks at both edges, more rows than columns.
    #[test]
    fn sampled_products_are_those_of_the_dense_product() {
        let numbers = |rows: usize, cols: usize, seed: usize| {
            let number = |i: usize| ((i * 7 + seed) % 11) as f32 - 5.0;
            Matrix::new(rows, cols, (0..rows * cols).map(number).collect())
        };
        // dy^T [n_out, tokens] and x^T [k_in, tokens].
        let (dy_t, x_t) = (numbers(7, 3, 1), numbers(5, 3, 4));
        let (dy, x) = (dy_t.view().transposed(), x_t.view().transposed());
        let dense = dense_matmul(&dy_t, &x_t, &Epilogue::NONE).unwrap();
        let previous = BsrMatrix::from_dense(&numbers(7, 5, 2), (3, 2)).unwrap();
        let selection = previous.selection();
        let sampled = bsr_sddmm(dy, x, selection, 2.0, -3.0, Some(&previous)).unwrap();
        let mut at = 0;
        for ((block_row, block_col), values) in previous.blocks() {
            for (i, value) in values.iter().enumerate() {
                let (row, col) = (block_row * 3 + i / 2, block_col * 2 + i % 2);
                let (mut y, mut magnitude) = (0.0, 0.0);
                if row < 7 && col < 5 {
                    let own = 3.0 * f64::from(*value);
                    y = 2.0 * dense.y[row * 5 + col] - own;
                    magnitude = 2.0 * dense.magnitude[row * 5 + col] + own.abs();
                }
                assert_eq!((sampled.y[at], sampled.magnitude[at]), (y, magnitude));
                at += 1;
            }
        }
        assert_eq!(sampled.y.len(), at);
    }

    #[test]
    fn operands_that_do_not_fit_together_are_refused() {
        let zeros = |rows, cols| Matrix::<f32>::zeros(rows, cols).unwrap();
        let selection = BlockSelection::new(3, 4, (2, 2), vec![0, 1, 2], vec![1, 0]);
        let refused = |dy: (usize, usize), x: (usize, usize), previous: Option<Vec<u32>>| {
            let previous = previous.map(|indices| {
                BsrMatrix::new(3, 4, (2, 2), vec![0, 1, 2], indices, vec![0.0_f32; 8])
            });
            let (left, right) = (zeros(dy.0, dy.1), zeros(x.0, x.1));
            let selected = (3, 4);
            bsr_sddmm(&left, &right, &selection, 1.0, 1.0, previous.as_ref())
                == Err(MatmulError::SampledShape { dy, x, selected })
        };
        assert!(!refused((2, 3), (2, 4), Some(vec![1, 0])));
        // Other tokens, rows, columns, blocks.
        assert!(refused((5, 3), (2, 4), None));
        assert!(refused((2, 4), (2, 4), None));
        assert!(refused((2, 3), (2, 3), None));
        assert!(refused((2, 3), (2, 4), Some(vec![1, 1])));
    }
}
