//! Selections against their definition, on any weights.

use proptest::prelude::*;
use sparse_core::prune::check_nm;
use sparse_core::{Matrix, Nm, NmMatrix, NmSelection, Norm};

use crate::support::{any_pattern, number_matrix};
use crate::{kept_columns, row_of};

/// The kept set by the plain definition: a column is kept where fewer than `n` columns of its group go before it.
fn defined(scores: &[f64], n: usize) -> Vec<bool> {
    (0..scores.len())
        .map(|k| {
            let before = (0..scores.len())
                .filter(|&j| scores[j] > scores[k] || (scores[j] == scores[k] && j < k))
                .count();
            before < n
        })
        .collect()
}

fn check_against_definition(
    weights: &Matrix<f32>,
    pattern: Nm,
    norm: Norm,
) -> Result<(), TestCaseError> {
    let selection = NmSelection::by_magnitude(weights, pattern, norm).unwrap();
    for row in 0..weights.rows() {
        let first = row / pattern.v() * pattern.v();
        let strip = first..(first + pattern.v()).min(weights.rows());
        for group in 0..weights.cols().div_ceil(pattern.m()) {
            let start = group * pattern.m();
            let columns = start..(start + pattern.m()).min(weights.cols());
            let scores: Vec<f64> = columns
                .clone()
                .map(|k| {
                    strip.clone().fold(0.0, |score, r| {
                        let w = f64::from(weights.get(r, k));
                        score + if norm == Norm::L1 { w.abs() } else { w * w }
                    })
                })
                .collect();
            let kept: Vec<bool> = columns.map(|k| selection.keeps(row, k)).collect();
            prop_assert_eq!(kept, defined(&scores, pattern.n()));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn magnitude_keeps_what_its_definition_says(weights in number_matrix(), pattern in any_pattern()) {
        check_against_definition(&weights, pattern, Norm::L1)?;
        check_against_definition(&weights, pattern, Norm::L2)?;
    }

    #[test]
    fn no_other_pattern_keeps_more_magnitude(
        weights in prop::collection::vec(-9_i8..=9, 1..=8),
        n in 1_usize..8,
    ) {
        prop_assume!(n < weights.len());
        let row = row_of(&weights.iter().map(|&w| f32::from(w)).collect::<Vec<_>>());
        let kept = |set: u32| (0..weights.len()).filter(|k| set >> k & 1 == 1)
            .map(|k| u32::from(weights[k].unsigned_abs())).sum::<u32>();
        let best = (0_u32..1 << weights.len())
            .filter(|set| set.count_ones() as usize == n)
            .map(kept)
            .max();
        let selection = NmSelection::by_magnitude(&row, Nm::new(n, weights.len(), 1), Norm::L1).unwrap();
        let chosen = kept_columns(&selection, 0).iter().fold(0, |set, k| set | 1 << k);
        prop_assert_eq!(Some(kept(chosen)), best);
    }

    #[test]
    fn a_pruned_matrix_has_the_pattern_and_pruning_it_again_changes_nothing(
        weights in number_matrix(),
        pattern in any_pattern(),
    ) {
        let once = NmMatrix::prune(&weights, pattern).unwrap();
        let dense = once.to_dense().unwrap();
        prop_assert_eq!(check_nm(&dense, pattern), Ok(()));
        // The selection too, slots that hold zeros included.
        prop_assert_eq!(&NmMatrix::prune(&dense, pattern).unwrap(), &once);
        prop_assert_eq!(&NmMatrix::from_dense(&dense, pattern).unwrap(), &once);
        for (i, (&kept, &before)) in dense.data().iter().zip(weights.data()).enumerate() {
            prop_assert!(kept == 0.0 || kept == before, "element {i} changed from {before} to {kept}");
        }
    }

    #[test]
    fn every_group_keeps_n_or_all_it_has(
        (rows, cols) in (0_usize..9, 0_usize..70),
        pattern in any_pattern(),
        seed: u64,
    ) {
        let weights = Matrix::new(rows, cols, vec![1.0_f32; rows * cols]);
        let tail = cols % pattern.m();
        let per_row = cols / pattern.m() * pattern.n() + tail.min(pattern.n());
        for selection in [
            NmSelection::at_random(rows, cols, pattern, seed).unwrap(),
            NmSelection::by_magnitude(&weights, pattern, Norm::L1).unwrap(),
            NmSelection::by_scores(&weights, pattern).unwrap(),
        ] {
            prop_assert_eq!(selection.count(), rows * per_row);
            for row in 0..rows {
                prop_assert_eq!(kept_columns(&selection, row).len(), per_row);
                prop_assert_eq!(
                    kept_columns(&selection, row),
                    kept_columns(&selection, row / pattern.v() * pattern.v())
                );
            }
            let rebuilt = NmSelection::try_new(rows, cols, pattern, selection.indices().to_vec());
            prop_assert_eq!(rebuilt, Ok(selection));
        }
    }

    #[test]
    fn permuted_rows_are_pruned_alike(weights in number_matrix(), m in 2_usize..=32) {
        let pattern = Nm::new(1, m, 1);
        let data: Vec<f32> = (0..weights.rows()).rev().flat_map(|r| weights.row(r).to_vec()).collect();
        let reversed = Matrix::new(weights.rows(), weights.cols(), data);
        let a = NmSelection::by_magnitude(&weights, pattern, Norm::L1).unwrap();
        let b = NmSelection::by_magnitude(&reversed, pattern, Norm::L1).unwrap();
        for row in 0..weights.rows() {
            prop_assert_eq!(kept_columns(&a, row), kept_columns(&b, weights.rows() - 1 - row));
        }
    }
}
