//! N:M and V:N:M selections against their definition, and the rows of cases that every pruning method is held to.

mod support;

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::prune::check_nm;
use sparse_core::{Matrix, MatrixView, Nm, NmMatrix, NmSelection, Norm, PruneError};
use support::{any_pattern, number_matrix};

fn kept_columns(selection: &NmSelection, row: usize) -> Vec<usize> {
    (0..selection.cols())
        .filter(|&col| selection.keeps(row, col))
        .collect()
}

fn row_of(data: &[f32]) -> Matrix<f32> {
    Matrix::new(1, data.len(), data.to_vec())
}

fn kept_of(data: &[f32], pattern: Nm) -> Vec<usize> {
    kept_columns(
        &NmSelection::by_magnitude(&row_of(data), pattern, Norm::L1).unwrap(),
        0,
    )
}

#[test]
fn equal_weights_keep_the_lower_columns() {
    assert_eq!(kept_of(&[2.0; 8], Nm::TWO_FOUR), [0, 1, 4, 5]);
    assert_eq!(kept_of(&[1.0, -1.0, 1.0, -1.0], Nm::ONE_FOUR), [0]);
    assert_eq!(kept_of(&[0.0; 4], Nm::TWO_FOUR), [0, 1]);
}

#[test]
fn magnitude_ignores_the_sign() {
    assert_eq!(kept_of(&[1.0, 2.0, 3.0, 4.0, 5.0], Nm::TWO_FOUR), [2, 3, 4]);
    assert_eq!(kept_of(&[-1.0, -2.0, -3.0, -4.0], Nm::TWO_FOUR), [2, 3]);
    assert_eq!(kept_of(&[-5.0, 1.0, 2.0, -3.0], Nm::TWO_FOUR), [0, 3]);
}

#[test]
fn negative_zero_ranks_with_zero_and_subnormals_above_both() {
    assert_eq!(kept_of(&[-0.0, 0.0, -0.0, 0.0], Nm::TWO_FOUR), [0, 1]);
    assert_eq!(kept_of(&[0.0, -0.0, 0.0, 1e-45], Nm::ONE_FOUR), [3]);
    let squares = row_of(&[0.0, -0.0, -1e-45, 0.0]);
    let selection = NmSelection::by_magnitude(&squares, Nm::ONE_FOUR, Norm::L2).unwrap();
    assert_eq!(kept_columns(&selection, 0), [2]);
}

#[test]
fn infinities_rank_first() {
    let weights = [f32::MAX, 1.0, f32::NEG_INFINITY, f32::INFINITY];
    assert_eq!(kept_of(&weights, Nm::TWO_FOUR), [2, 3]);
    assert_eq!(kept_of(&weights, Nm::ONE_FOUR), [2]);
    let halves = Matrix::new(1, 4, weights.map(f16::from_f32).to_vec());
    let selection = NmSelection::by_magnitude(&halves, Nm::ONE_FOUR, Norm::L2).unwrap();
    assert_eq!(
        kept_columns(&selection, 0),
        [0],
        "f32::MAX is infinite in f16"
    );
}

#[test]
fn a_nan_is_named_and_refused() {
    let weights = Matrix::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, f32::NAN, f32::NAN]);
    let expected = "the element at (1, 1) is NaN and cannot be ranked: repair the matrix, or prune by scores without \
                    NaN";
    let errors = [
        NmSelection::by_magnitude(&weights, Nm::TWO_FOUR, Norm::L1).unwrap_err(),
        NmSelection::by_scores(&weights, Nm::TWO_FOUR).unwrap_err(),
        NmMatrix::prune(&weights, Nm::new(1, 2, 2)).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn scores_of_both_infinities_in_a_strip_have_no_sum() {
    let scores = Matrix::new(
        3,
        2,
        vec![0.0, 1.0, f32::INFINITY, 1.0, f32::NEG_INFINITY, 1.0],
    );
    assert_eq!(
        NmSelection::by_scores(&scores, Nm::new(1, 2, 3))
            .unwrap_err()
            .to_string(),
        "the scores that are summed from (0, 0) on hold both infinities and have no sum: use finite scores"
    );
    assert!(NmSelection::by_scores(&scores, Nm::ONE_TWO).is_ok());
}

#[test]
fn sizes_that_overflow_are_refused() {
    let one = [1.0_f32];
    let endless = MatrixView::try_new(&one, 1 << 40, 1 << 40, 0, 0).unwrap();
    let expected = "a 1099511627776 x 1099511627776 matrix of pattern 2:4 is too large to address on this machine";
    let errors: [PruneError; 3] = [
        NmSelection::by_magnitude(endless, Nm::TWO_FOUR, Norm::L1).unwrap_err(),
        NmSelection::at_random(1 << 40, 1 << 40, Nm::TWO_FOUR, 0).unwrap_err(),
        NmMatrix::prune(endless, Nm::TWO_FOUR).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn rows_of_a_strip_are_scored_together() {
    // Column sums of |w|: 5, 6, 4, 4; of squares: 25, 18, 8, 16.
    let weights = Matrix::new(2, 4, vec![5.0_f32, -3.0, 2.0, 0.0, 0.0, 3.0, -2.0, 4.0]);
    let kept = |norm| {
        let selection = NmSelection::by_magnitude(&weights, Nm::new(1, 4, 2), norm).unwrap();
        assert_eq!(kept_columns(&selection, 0), kept_columns(&selection, 1));
        kept_columns(&selection, 0)
    };
    assert_eq!(kept(Norm::L1), [1]);
    assert_eq!(kept(Norm::L2), [0]);
}

#[test]
fn a_single_column_is_kept_and_its_padding_is_not_counted() {
    let weights = Matrix::new(3, 1, vec![1.0_f32, 0.0, -2.0]);
    let selection = NmSelection::by_magnitude(&weights, Nm::TWO_FOUR, Norm::L1).unwrap();
    assert_eq!((selection.count(), selection.density()), (3, 1.0));
    assert_eq!(selection.indices(), [0, 1, 0, 1, 0, 1]);
    let pruned = NmMatrix::from_selection(&weights, &selection).unwrap();
    assert_eq!(pruned.to_dense().unwrap(), weights);
    assert_eq!(pruned.values(), [1.0, 0.0, 0.0, 0.0, -2.0, 0.0]);
}

#[test]
fn padding_ranks_below_negative_scores() {
    let scores = row_of(&[9.0, 9.0, -1.0, -1.0, -7.0, -2.0]);
    let selection = NmSelection::by_scores(&scores, Nm::TWO_FOUR).unwrap();
    assert_eq!(kept_columns(&selection, 0), [0, 1, 4, 5]);
    let one = NmSelection::by_scores(&scores, Nm::ONE_FOUR).unwrap();
    assert_eq!(kept_columns(&one, 0), [0, 5]);
}

#[test]
fn scores_decide_and_weights_do_not() {
    let weights = row_of(&[100.0, 1.0, 2.0, 3.0]);
    let scores = Matrix::new(1, 4, [0.0, 5.0, 1.0, 4.0].map(bf16::from_f32).to_vec());
    let selection = NmSelection::by_scores(&scores, Nm::TWO_FOUR).unwrap();
    let pruned = NmMatrix::from_selection(&weights, &selection).unwrap();
    assert_eq!(pruned.to_dense().unwrap().data(), [0.0, 1.0, 0.0, 3.0]);
}

#[test]
fn unusable_selections_have_the_messages_of_the_format() {
    let message = |indices: &[u8]| {
        NmSelection::try_new(1, 8, Nm::TWO_FOUR, indices.to_vec())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&[0, 1]),
        "pattern 2:4 needs 4 indices for each of 1 strips of rows, 4 in all, but 2 were given"
    );
    assert_eq!(
        message(&[0, 1, 2, 4]),
        "index 4 of slot 3 in strip 0 is outside of its group: it must be below 4"
    );
    assert_eq!(
        message(&[1, 0, 2, 3]),
        "index 0 of slot 1 in strip 0 follows 1 in the same group: indices of a group must strictly increase"
    );
}

/// Neither the padding of the last group nor the next row is a column, and the padding of the last strip is no row.
#[test]
fn what_a_selection_keeps_ends_with_the_matrix() {
    let selection = NmSelection::new(3, 6, Nm::new(2, 4, 2), [0, 1, 2, 3].repeat(2));
    assert!(selection.keeps(2, 1) && !selection.keeps(2, 5));
    for (row, col) in [(2, 6), (3, 5), (3, 6)] {
        let panic = std::panic::catch_unwind(|| selection.keeps(row, col)).unwrap_err();
        assert_eq!(
            panic.downcast_ref::<String>(),
            Some(&format!("({row}, {col}) is outside of a 3 x 6 matrix"))
        );
    }
}

#[test]
#[should_panic(expected = "4 in all, but 0 were given")]
fn the_panicking_twin_says_the_same() {
    NmSelection::new(1, 8, Nm::TWO_FOUR, vec![]);
}

#[test]
fn a_seed_decides_what_chance_keeps() {
    let of = |seed| NmSelection::at_random(16, 64, Nm::TWO_FOUR, seed).unwrap();
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
    // A new version of the generator must not silently change what a seed means.
    assert_eq!(
        NmSelection::at_random(1, 16, Nm::TWO_FOUR, 1)
            .unwrap()
            .indices(),
        [0, 2, 1, 3, 0, 2, 0, 1]
    );
}

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
