//! Scores of weights that are kept or dropped together.

use std::ops::Range;

use crate::prune::PruneError;
use crate::{Element, MatrixView};

/// How the magnitudes of weights that are kept or dropped together are put into one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Norm {
    /// The sum of `|w|`.
    #[default]
    L1,
    /// The square root of the sum of `w * w` (ranked without the root).
    L2,
}

impl Norm {
    pub(crate) fn score<T: Element>(self, weight: T) -> f64 {
        let weight = weight.to_f64();
        match self {
            Self::L1 => weight.abs(),
            Self::L2 => weight * weight,
        }
    }
}

/// The first NaN is an error.
pub(crate) fn check_numbers<T: Element>(matrix: MatrixView<'_, T>) -> Result<(), PruneError> {
    if matrix.cols() == 0 {
        return Ok(());
    }
    for row in 0..matrix.rows() {
        for col in 0..matrix.cols() {
            if matrix.get(row, col).to_f32().is_nan() {
                return Err(PruneError::NotANumber { row, col });
            }
        }
    }
    Ok(())
}

/// The sum of `score` over `rows x cols`, which hold no NaN.
pub(crate) fn sum<T: Element>(
    matrix: MatrixView<'_, T>,
    rows: Range<usize>,
    cols: Range<usize>,
    score: impl Fn(T) -> f64,
) -> Result<f64, PruneError> {
    let (row, col) = (rows.start, cols.start);
    // Starting at +0.0, the sum is never -0.0, which the total order of `highest` would put below 0.0.
    let sum = rows
        .flat_map(|row| cols.clone().map(move |col| (row, col)))
        .fold(0.0, |sum, (row, col)| sum + score(matrix.get(row, col)));
    if sum.is_nan() {
        Err(PruneError::NoSum { row, col })
    } else {
        Ok(sum)
    }
}

/// The indices of the `count` highest scores, best first; among equal scores the lower index is first.
pub(crate) fn highest(scores: &[f64], count: usize) -> Vec<usize> {
    highest_of((0..scores.len()).collect(), scores, count)
}

/// As [`highest`], of the indices `order`.
pub(crate) fn highest_of(mut order: Vec<usize>, scores: &[f64], count: usize) -> Vec<usize> {
    // In place: a stable sort takes memory.
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    #[test]
    fn equal_scores_keep_the_lower_index() {
        assert_eq!(highest(&[1.0; 5], 3), [0, 1, 2]);
        assert_eq!(highest(&[1.0, 3.0, 2.0, 3.0], 3), [1, 3, 2]);
        assert_eq!(highest(&[f64::NEG_INFINITY, -1.0], 1), [1]);
        assert_eq!(highest(&[1.0], 5), [0]);
    }

    #[test]
    fn negative_zeros_sum_to_zero() {
        let zeros = Matrix::new(1, 2, vec![-0.0_f32, -0.0]);
        let total = sum(zeros.view(), 0..1, 0..2, f64::from).unwrap();
        assert!(total.is_sign_positive());
    }

    #[test]
    fn opposite_infinities_have_no_sum() {
        let scores = Matrix::new(2, 1, vec![f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(
            sum(scores.view(), 0..2, 0..1, f64::from)
                .unwrap_err()
                .to_string(),
            "the scores that are summed from (0, 0) on hold both infinities and have no sum: use finite scores"
        );
    }
}
