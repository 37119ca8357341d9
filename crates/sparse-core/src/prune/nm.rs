//! N:M and V:N:M selections: by magnitude, by scores, at random.

use crate::nm::NmLayout;
use crate::prune::random::Chooser;
use crate::prune::score::{check_numbers, highest, sum};
use crate::prune::{Norm, PruneError};
use crate::{Element, MatrixView, Nm, NmMatrix, NmSelection};

impl NmSelection {
    /// In each strip of `v` rows and group of `m` columns, the `n` columns of largest magnitude. With `v = 1` that
    /// is the N largest `|w|` of each group, whatever the `norm`; otherwise a column's magnitude is the norm of its
    /// `v` weights.
    ///
    /// # Errors
    /// [`PruneError::NotANumber`], [`PruneError::OutOfMemory`], and [`PruneError::Nm`] where the sizes overflow.
    pub fn by_magnitude<'a, T: Element>(
        weights: impl Into<MatrixView<'a, T>>,
        pattern: Nm,
        norm: Norm,
    ) -> Result<Self, PruneError> {
        best_columns(weights.into(), pattern, |weight| norm.score(weight))
    }

    /// In each strip of `v` rows and group of `m` columns, the `n` columns with the largest sum of `scores` over the
    /// rows. `scores` has the shape of the weights; scores may be negative.
    ///
    /// With `scores[o, k] = |w[o, k]| * norm(activations of feature k)` this is Wanda's criterion.
    ///
    /// ```
    /// use sparse_core::{Matrix, Nm, NmMatrix, NmSelection};
    /// let weights = Matrix::new(1, 4, vec![1.0_f32, -4.0, 2.0, 3.0]);
    /// let scores = Matrix::new(1, 4, vec![9.0_f32, 4.0, 2.0, 3.0]);
    /// let selection = NmSelection::by_scores(&scores, Nm::ONE_FOUR)?;
    /// let pruned = NmMatrix::from_selection(&weights, &selection)?;
    /// assert_eq!(pruned.to_dense()?.data(), [1.0, 0.0, 0.0, 0.0]);
    /// # Ok::<(), sparse_core::PruneError>(())
    /// ```
    ///
    /// # Errors
    /// [`PruneError::NotANumber`], [`PruneError::NoSum`], [`PruneError::OutOfMemory`], and [`PruneError::Nm`] where the sizes overflow.
    pub fn by_scores<'a, S: Element>(
        scores: impl Into<MatrixView<'a, S>>,
        pattern: Nm,
    ) -> Result<Self, PruneError> {
        best_columns(scores.into(), pattern, Element::to_f64)
    }

    /// In each strip and group, `n` columns drawn from a seeded generator (`ChaCha8`), all sets equally likely; all of
    /// a tail group's columns where it has no more than `n`.
    ///
    /// # Errors
    /// [`PruneError::Nm`] where the sizes overflow; [`PruneError::OutOfMemory`].
    pub fn at_random(rows: usize, cols: usize, pattern: Nm, seed: u64) -> Result<Self, PruneError> {
        let layout = NmLayout::try_new(rows, cols, pattern)?;
        let mut chooser = Chooser::new(seed);
        let selection = Self::choose(layout, |_, _, width, kept| {
            let chosen = chooser.choose(width, pattern.n());
            kept.extend(
                pattern
                    .positions()
                    .filter(|&p| chosen.contains(&usize::from(p))),
            );
        })?;
        Ok(selection)
    }
}

impl<T: Element> NmMatrix<T> {
    /// Keeps the weights of largest magnitude that `pattern` allows and compresses to them: the short way to
    /// [`NmSelection::by_magnitude`] with [`Norm::L1`] and [`NmMatrix::from_selection`].
    ///
    /// ```
    /// use sparse_core::{Matrix, Nm, NmMatrix};
    /// let dense = Matrix::new(1, 4, vec![1.0_f32, -4.0, 2.0, 3.0]);
    /// let pruned = NmMatrix::prune(&dense, Nm::TWO_FOUR)?;
    /// assert_eq!(pruned.to_dense()?.data(), [0.0, -4.0, 0.0, 3.0]);
    /// # Ok::<(), sparse_core::prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    /// [`PruneError::NotANumber`], [`PruneError::OutOfMemory`], and [`PruneError::Nm`] where the sizes overflow.
    pub fn prune<'a>(dense: impl Into<MatrixView<'a, T>>, pattern: Nm) -> Result<Self, PruneError> {
        let dense = dense.into();
        let selection = NmSelection::by_magnitude(dense, pattern, Norm::L1)?;
        Ok(Self::from_selection(dense, &selection)?)
    }
}

fn best_columns<T: Element>(
    matrix: MatrixView<'_, T>,
    pattern: Nm,
    score: impl Fn(T) -> f64,
) -> Result<NmSelection, PruneError> {
    let layout = NmLayout::try_new(matrix.rows(), matrix.cols(), pattern)?;
    check_numbers(matrix)?;
    let mut no_sum = None;
    let selection = NmSelection::choose(layout, |rows, first_column, width, kept| {
        let scores: Result<Vec<f64>, PruneError> = (first_column..first_column + width)
            .map(|column| sum(matrix, rows.clone(), column..column + 1, &score))
            .collect();
        match scores {
            Ok(scores) => {
                let best = highest(&scores, pattern.n());
                kept.extend(
                    pattern
                        .positions()
                        .filter(|&p| best.contains(&usize::from(p))),
                );
            }
            Err(error) => no_sum = no_sum.take().or(Some(error)),
        }
    })?;
    no_sum.map_or(Ok(selection), Err)
}
