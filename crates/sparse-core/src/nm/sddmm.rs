//! A dense product of which only the slots of N:M weights are computed: the CPU twin of the GPU's `nm_sddmm`.

use crate::matmul::{column_product, scaled_and_added};
use crate::nm::selection::LET_ROWS_SHARE;
use crate::{Element, MatmulError, MatmulReference, MatrixView, NmMatrix, NmSelection};

/// `out[i, s] = alpha * sum_t dy[t, i] * x[t, j] + beta * previous[i, s]`, `dy^T x`, at the slots `s` of `selection` only, `j` the column of slot `s`
/// in row `i`: the gradient of N:M weights `[n_out, k_in]`, of `dy [tokens, n_out]` and `x [tokens, k_in]`.
///
/// The result is `[n_out, kept_per_row]`, as the values of an [`NmMatrix`]; slots of the tail group past the last column are zero. `beta` times a
/// `previous` matrix of the same slots is added where it is given.
///
/// ```
/// use sparse_core::{Matrix, Nm, NmMatrix, NmSelection, nm::nm_sddmm};
/// let dy = Matrix::new(2, 1, vec![1.0_f32, 2.0]); // [tokens, n_out]
/// let x = Matrix::new(2, 4, vec![3.0_f32, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]); // [tokens, k_in]
/// let selection = NmSelection::new(1, 4, Nm::TWO_FOUR, vec![0, 3]);
/// let none = None::<&NmMatrix<f32>>;
/// assert_eq!(nm_sddmm(&dy, &x, &selection, 1.0, 0.0, none)?.y, [17.0, 26.0]);
/// # Ok::<(), sparse_core::MatmulError>(())
/// ```
///
/// # Errors
/// [`MatmulError::SampledShape`] where dy, x, the selection and the previous matrix do not fit together; [`MatmulError::OutOfMemory`].
pub fn nm_sddmm<'a, Y: Element, X: Element, W: Element>(
    dy: impl Into<MatrixView<'a, Y>>,
    x: impl Into<MatrixView<'a, X>>,
    selection: &NmSelection,
    alpha: f32,
    beta: f32,
    previous: Option<&NmMatrix<W>>,
) -> Result<MatmulReference, MatmulError> {
    let (dy, x, layout) = (dy.into(), x.into(), selection.layout());
    let same_slots = match previous {
        Some(previous) => previous.selection()? == *selection,
        None => true,
    };
    let fits = dy.rows() == x.rows() && (dy.cols(), x.cols()) == (layout.rows, layout.cols);
    if !(fits && same_slots) {
        return Err(MatmulError::SampledShape {
            dy: (dy.rows(), dy.cols()),
            x: (x.rows(), x.cols()),
            selected: (layout.rows, layout.cols),
        });
    }
    let kept = layout.kept_per_row();
    let what = || format!("{} rows of {kept} slots in f64", layout.rows);
    let epilogue = scaled_and_added(
        alpha,
        beta,
        previous.map(NmMatrix::values),
        (layout.rows, kept),
        what,
        LET_ROWS_SHARE,
    )?;
    let mut reference = MatmulReference::zeros(layout.rows, kept, &epilogue)?;
    for row in layout.filled_rows() {
        let strip = row / layout.pattern.v();
        let positions = &selection.indices()[strip * kept..][..kept];
        for (slot, &position) in positions.iter().enumerate() {
            let column = layout.column(slot, position.into());
            if column < layout.cols {
                let sum = column_product(dy, x, [row, column]);
                reference.set(row * kept + slot, [row, slot], 0.0, sum, &epilogue);
            }
        }
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matmul::{Epilogue, dense_matmul};
    use crate::synthetic::integer_matrix;
    use crate::{Matrix, Nm};

    proptest! {
        /// Any pattern and shape: strips that are cut, tail groups with slots past the last column, no rows, columns or tokens.
        #[test]
        fn sampled_products_are_those_of_the_dense_product(
            (m, n) in (2_usize..12).prop_flat_map(|m| (Just(m), 1..m)),
            v in 1_usize..6,
            (rows, cols, tokens) in (0_usize..9, 0_usize..30, 0_usize..5),
            (alpha, beta) in (prop::sample::select(vec![1.0_f32, 2.0, 0.0]), prop::sample::select(vec![0.0_f32, -3.0])),
            seed in any::<u64>(),
        ) {
            let numbers = |rows, cols, seed| integer_matrix::<f32>(rows, cols, 4, seed).unwrap();
            // dy^T [n_out, tokens] and x^T [k_in, tokens].
            let (dy_t, x_t) = (numbers(rows, tokens, seed), numbers(cols, tokens, !seed));
            let (dy, x) = (dy_t.view().transposed(), x_t.view().transposed());
            let dense = dense_matmul(&dy_t, &x_t, &Epilogue::NONE).unwrap();
            let previous = NmMatrix::prune(&numbers(rows, cols, seed ^ 5), Nm::new(n, m, v)).unwrap();
            let selection = previous.selection().unwrap();
            let sampled = nm_sddmm(dy, x, &selection, alpha, beta, Some(&previous)).unwrap();
            let (alpha, beta) = (f64::from(alpha), f64::from(beta));
            let kept = previous.kept_per_row();
            prop_assert_eq!((sampled.tokens, sampled.n_out), (rows, kept));
            for (at, &value) in previous.values().iter().enumerate() {
                let (row, column) = (at / kept, previous.column(at / kept / v, at % kept));
                let (mut y, mut magnitude) = (0.0, 0.0);
                if column < cols {
                    let added = beta * f64::from(value);
                    y = alpha * dense.y[row * cols + column] + added;
                    magnitude = alpha * dense.magnitude[row * cols + column] + added.abs();
                }
                prop_assert_eq!((sampled.y[at], sampled.magnitude[at]), (y, magnitude));
            }
        }
    }

    #[test]
    fn slots_past_the_last_column_are_zero() {
        // Five columns: of the second group only column 4 is there, and slot 3 stands for column 5.
        let selection = NmSelection::new(2, 5, Nm::new(2, 4, 2), vec![1, 3, 0, 1]);
        let dy = Matrix::new(1, 2, vec![f32::INFINITY, 2.0]);
        let x = Matrix::new(1, 5, vec![f32::NAN, 3.0, f32::NAN, 5.0, 7.0]);
        let none = None::<&NmMatrix<f32>>;
        let out = nm_sddmm(&dy, &x, &selection, 1.0, 0.0, none).unwrap();
        let endless = f64::INFINITY;
        assert_eq!(
            out.y,
            [endless, endless, endless, 0.0, 6.0, 10.0, 14.0, 0.0]
        );
        assert_eq!(out.magnitude, out.y);
    }

    #[test]
    fn operands_that_do_not_fit_together_are_refused() {
        let zeros = |rows, cols| Matrix::<f32>::zeros(rows, cols).unwrap();
        let selection = |indices| NmSelection::new(2, 4, Nm::new(2, 4, 2), indices);
        let refused = |dy: (usize, usize), x: (usize, usize), indices: Option<Vec<u8>>| {
            let previous = indices.map(|indices| {
                NmMatrix::from_selection(&zeros(2, 4), &selection(indices)).unwrap()
            });
            let (left, right) = (zeros(dy.0, dy.1), zeros(x.0, x.1));
            let (of, selected) = (selection(vec![0, 2]), (2, 4));
            nm_sddmm(&left, &right, &of, 1.0, 1.0, previous.as_ref())
                == Err(MatmulError::SampledShape { dy, x, selected })
        };
        assert!(!refused((3, 2), (3, 4), Some(vec![0, 2])));
        // Other tokens, rows, columns, slots.
        assert!(refused((5, 2), (3, 4), None));
        assert!(refused((3, 4), (3, 4), None));
        assert!(refused((3, 2), (3, 2), None));
        assert!(refused((3, 2), (3, 4), Some(vec![0, 3])));
    }
}
