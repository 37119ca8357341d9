//! A weight matrix pruned to a pattern.

use sparse_core::bsr::{bsr_matmul_elements, bsr_matmul_tokens};
use sparse_core::matmul::{dense_matmul_elements, dense_matmul_tokens};
use sparse_core::nm::{nm_matmul_elements, nm_matmul_tokens};
use sparse_core::{
    BlockBudget, BsrMatrix, DType, Element, Epilogue, MatmulError, MatmulReference, Matrix,
    NmMatrix, OutOfMemory, PruneError,
};

use crate::Pattern;

/// Weights `[n_out, k_in]`, pruned by magnitude.
#[derive(Clone, Debug)]
pub enum PrunedWeights<T> {
    /// Nothing is pruned.
    Dense(Matrix<T>),
    /// N of every M.
    Nm(NmMatrix<T>),
    /// Whole blocks.
    Bsr(BsrMatrix<T>),
}

impl<T: Element> PrunedWeights<T> {
    /// Prunes `w` to `pattern` by magnitude.
    ///
    /// # Errors
    /// [`PruneError`]: where a weight is NaN or the sizes overflow.
    pub fn prune(w: Matrix<T>, pattern: Pattern) -> Result<Self, PruneError> {
        Ok(match pattern {
            Pattern::Dense => Self::Dense(w),
            Pattern::Nm(nm) => Self::Nm(NmMatrix::prune(&w, nm)?),
            Pattern::Bsr {
                block_rows,
                block_cols,
                density,
            } => Self::Bsr(BsrMatrix::prune(
                &w,
                (block_rows, block_cols),
                BlockBudget::Density(density),
            )?),
        })
    }

    /// `(n_out, k_in)`.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Dense(w) => (w.rows(), w.cols()),
            Self::Nm(w) => (w.rows(), w.cols()),
            Self::Bsr(w) => (w.rows(), w.cols()),
        }
    }

    /// Share of the weights that is kept. What is stored beyond the last row and the last column, of blocks and of groups that reach past them, is no
    /// weight.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share that is shown with three digits"
    )]
    pub fn density(&self) -> f64 {
        let (rows, cols) = self.shape();
        let kept = match self {
            Self::Dense(_) => return 1.0,
            Self::Nm(w) => {
                let (n, m) = (w.pattern().n(), w.pattern().m());
                rows * (cols / m * n + n.min(cols % m))
            }
            Self::Bsr(w) => {
                let (block_rows, block_cols) = w.block();
                let inside = |((row, col), _)| {
                    let of = |at: usize, side: usize, all: usize| side.min(all - at * side);
                    of(row, block_rows, rows) * of(col, block_cols, cols)
                };
                w.blocks().map(inside).sum()
            }
        };
        match rows * cols {
            0 => 0.0,
            all => kept as f64 / all as f64,
        }
    }

    /// Whether all stored values are finite.
    pub(crate) fn is_finite(&self) -> bool {
        let values = match self {
            Self::Dense(w) => w.data(),
            Self::Nm(w) => w.values(),
            Self::Bsr(w) => w.values(),
        };
        values.iter().all(|x| x.to_f32().is_finite())
    }

    /// Which weights are kept, row by row. Those that are may be zero.
    pub fn kept(&self) -> Vec<bool> {
        let (rows, cols) = self.shape();
        let mut kept = vec![matches!(self, Self::Dense(_)); rows * cols];
        match self {
            Self::Dense(_) => {}
            Self::Nm(w) => {
                for row in 0..rows {
                    for (col, _) in w.row(row) {
                        kept[row * cols + col] = true;
                    }
                }
            }
            Self::Bsr(w) => {
                let (block_rows, block_cols) = w.block();
                for ((block_row, block_col), _) in w.blocks() {
                    let col = block_col * block_cols;
                    let col_end = (col + block_cols).min(cols);
                    let row_end = ((block_row + 1) * block_rows).min(rows);
                    for row in block_row * block_rows..row_end {
                        kept[row * cols + col..row * cols + col_end].fill(true);
                    }
                }
            }
        }
        kept
    }

    /// Bytes of values and index arrays.
    pub fn bytes(&self) -> usize {
        self.bytes_stored_as(T::DTYPE)
    }

    /// The same with values of another type.
    pub fn bytes_stored_as(&self, dtype: DType) -> usize {
        let values = |count: usize| count * dtype.bytes();
        match self {
            Self::Dense(w) => values(w.data().len()),
            Self::Nm(w) => values(w.values().len()) + 4 * w.packed_indices().len(),
            Self::Bsr(w) => values(w.values().len()) + 4 * (w.indices().len() + w.indptr().len()),
        }
    }

    /// The weights as multiplied, zeros included.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn to_dense(&self) -> Result<Matrix<T>, OutOfMemory> {
        match self {
            Self::Dense(w) => Ok(w.clone()),
            Self::Nm(w) => w.to_dense(),
            Self::Bsr(w) => w.to_dense(),
        }
    }

    /// The CPU reference of `x w^T` at the rows `tokens` of x.
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn reference(
        &self,
        x: &Matrix<T>,
        epilogue: &Epilogue,
        tokens: &[usize],
    ) -> Result<MatmulReference, MatmulError> {
        match self {
            Self::Dense(w) => dense_matmul_tokens(x, w, epilogue, tokens),
            Self::Nm(w) => nm_matmul_tokens(x, w, epilogue, tokens),
            Self::Bsr(w) => bsr_matmul_tokens(x, w, epilogue, tokens),
        }
    }

    /// The same at single elements `[token, output]`, as a column.
    ///
    /// # Errors
    /// Where the shapes do not fit.
    pub fn reference_of_elements(
        &self,
        x: &Matrix<T>,
        epilogue: &Epilogue,
        elements: &[[usize; 2]],
    ) -> Result<MatmulReference, MatmulError> {
        match self {
            Self::Dense(w) => dense_matmul_elements(x, w, epilogue, elements),
            Self::Nm(w) => nm_matmul_elements(x, w, epilogue, elements),
            Self::Bsr(w) => bsr_matmul_elements(x, w, epilogue, elements),
        }
    }

    /// Most products of one output: how many rounding errors can add up.
    pub fn most_terms(&self) -> usize {
        match self {
            Self::Dense(w) => w.cols(),
            Self::Nm(w) => w.kept_per_row(),
            Self::Bsr(w) => {
                let blocks = w.indptr().windows(2).map(|p| (p[1] - p[0]) as usize).max();
                blocks.unwrap_or(0) * w.block().1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::synthetic::normal_matrix;

    use super::*;

    #[test]
    fn what_is_stored_beyond_the_edges_is_no_kept_weight() {
        let density = |rows, cols, text: &str| {
            let w: Matrix<f32> = normal_matrix(rows, cols, 1).unwrap();
            let pruned = PrunedWeights::prune(w, text.parse().unwrap()).unwrap();
            // Normal numbers are not zero: what is zero is not kept.
            let dense = pruned.to_dense().unwrap();
            let kept = dense.data().iter().filter(|w| **w != 0.0).count();
            let is_kept = pruned.kept();
            assert!(dense.data().iter().map(|w| *w != 0.0).eq(is_kept));
            assert_eq!(
                pruned.density(),
                kept as f64 / (rows * cols) as f64,
                "{text}"
            );
            pruned.density()
        };
        // Of 9 columns the last group of four has one.
        assert_eq!(density(4, 9, "2:4"), 5.0 / 9.0);
        assert_eq!(density(3, 11, "2:2:4"), 6.0 / 11.0);
        // Of 5 x 5 weights blocks of 4 x 4 hold 16, 4, 4 and 1.
        let shares = [16.0, 4.0, 1.0].map(|kept| kept / 25.0);
        assert!(shares.contains(&density(5, 5, "bsr:4x4@0.25")));
        assert_eq!(density(5, 5, "bsr:4x4@1"), 1.0);
    }

    #[test]
    fn of_no_weights_none_are_kept() {
        let w: Matrix<f32> = normal_matrix(0, 5, 1).unwrap();
        for text in ["2:4", "bsr:4x4@1"] {
            let pruned = PrunedWeights::prune(w.clone(), text.parse().unwrap()).unwrap();
            assert_eq!(pruned.density(), 0.0, "{text}");
        }
    }

    #[test]
    fn every_pattern_keeps_its_share_and_multiplies_what_it_shows() {
        let w: Matrix<f32> = normal_matrix(16, 32, 1).unwrap();
        let x: Matrix<f32> = normal_matrix(3, 32, 2).unwrap();
        for (text, terms) in [
            ("dense", 32),
            ("2:4", 16),
            ("8:2:8", 8),
            ("bsr:8x8@0.25", 8),
        ] {
            let pattern: Pattern = text.parse().unwrap();
            let pruned = PrunedWeights::prune(w.clone(), pattern).unwrap();
            assert_eq!(pruned.density(), pattern.density(), "{text}");
            assert!(pruned.most_terms() >= terms, "{text}");
            let dense = pruned.to_dense().unwrap();
            let shown = dense_matmul_tokens(&x, &dense, &Epilogue::NONE, &[2, 0]);
            let own = pruned.reference(&x, &Epilogue::NONE, &[2, 0]);
            let shown = shown.unwrap().y;
            assert_eq!(own.unwrap().y, shown, "{text}");
            let element = pruned.reference_of_elements(&x, &Epilogue::NONE, &[[0, 5]]);
            assert_eq!(element.unwrap().y, [shown[16 + 5]], "{text}");
        }
    }
}
