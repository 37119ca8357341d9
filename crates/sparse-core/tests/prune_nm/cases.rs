//! The rows of cases that every pruning method is held to.

use half::{bf16, f16};
use sparse_core::{Matrix, MatrixView, Nm, NmMatrix, NmSelection, Norm, PruneError};

use crate::{kept_columns, row_of};

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
