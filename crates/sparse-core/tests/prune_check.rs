//! What a dense matrix already keeps: prune-check of N:M and the detection of structure.

mod support;

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::prune::{check_nm, default_ladder, detect_blocks, detect_nm, nonzero_share};
use sparse_core::{Element, Matrix, Nm, NmMatrix, NmSelection};
use support::{any_pattern, for_every_type, number_matrix, specials};

#[test]
fn the_first_violation_is_reported() {
    let mut data = vec![0.0_f32; 3 * 10];
    data[14..18].fill(1.0); // row 1, columns 4..8
    data[20..23].fill(1.0); // row 2, columns 0..3
    let dense = Matrix::new(3, 10, data);
    let violation = check_nm(&dense, Nm::TWO_FOUR).unwrap_err();
    assert_eq!(
        (
            violation.row,
            violation.group,
            violation.column,
            violation.count
        ),
        (1, 1, 6, 4)
    );
    assert_eq!(
        violation.to_string(),
        "pattern 2:4 does not hold: row 1, group 1 (columns from 4) has 4 nonzero columns, 2 are allowed; column 6 is \
         the first too many"
    );
    let shared = check_nm(&dense, Nm::new(3, 4, 2)).unwrap_err();
    assert_eq!(
        (shared.row, shared.group, shared.column, shared.count),
        (0, 1, 7, 4)
    );
    assert_eq!(
        check_nm(&dense, Nm::new(3, 4, 1)).map_err(|v| v.row),
        Err(1)
    );
    assert_eq!(check_nm(&dense, Nm::FOUR_EIGHT), Ok(()));
}

#[test]
fn the_rows_of_a_strip_are_checked_together() {
    let dense = Matrix::new(2, 4, vec![1.0_f32, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!(check_nm(&dense, Nm::TWO_FOUR), Ok(()));
    let violation = check_nm(&dense, Nm::new(2, 4, 2)).unwrap_err();
    assert_eq!(
        (violation.row, violation.column, violation.count),
        (0, 2, 3)
    );
    assert_eq!(
        violation.to_string(),
        "pattern 2:2:4 does not hold: the strip of rows 0..2, group 0 (columns from 0) has 3 nonzero columns, 2 are \
         allowed; column 2 is the first too many"
    );
    // The last strip may be shorter, and a strip may be taller than the matrix.
    assert_eq!(check_nm(&dense, Nm::new(3, 4, usize::MAX)), Ok(()));
}

fn every_special_is_nonzero<T: Element>() {
    for special in specials::<T>() {
        let dense = Matrix::new(1, 2, vec![special, special]);
        assert_eq!(check_nm(&dense, Nm::ONE_TWO).unwrap_err().count, 2);
    }
    let zeros = Matrix::new(1, 2, vec![T::from_f32(-0.0); 2]);
    assert_eq!(check_nm(&zeros, Nm::ONE_TWO), Ok(()));
}

#[test]
fn nan_and_subnormals_are_nonzero_and_negative_zero_is_not() {
    for_every_type!(every_special_is_nonzero);
}

#[test]
fn the_ladder_finds_the_tightest_pattern() {
    let ladder = default_ladder();
    assert!(ladder.contains(&Nm::TWO_FOUR) && ladder.contains(&Nm::new(8, 32, 16)));
    let random = |pattern: Nm| {
        let ones = Matrix::new(64, 128, vec![bf16::ONE; 64 * 128]);
        let selection = NmSelection::at_random(64, 128, pattern, 5).unwrap();
        NmMatrix::from_selection(&ones, &selection)
            .unwrap()
            .to_dense()
            .unwrap()
    };
    for pattern in [
        Nm::ONE_TWO,
        Nm::TWO_FOUR,
        Nm::ONE_FOUR,
        Nm::new(2, 8, 8),
        Nm::new(1, 16, 32),
        Nm::new(16, 32, 4),
    ] {
        assert_eq!(detect_nm(&random(pattern), &ladder), Some(pattern));
    }
    let full = Matrix::new(2, 8, vec![f16::ONE; 16]);
    assert_eq!(detect_nm(&full, &ladder), None);
    let nothing = Matrix::new(2, 8, vec![f16::ZERO; 16]);
    assert_eq!(detect_nm(&nothing, &[]), None);
    assert_eq!(detect_nm(&nothing, &ladder), Some(Nm::ONE_EIGHT));
}

#[test]
fn strips_taller_than_the_matrix_are_not_detected() {
    let dense = Matrix::new(3, 4, [1.0_f32, 1.0, 0.0, 0.0].repeat(3));
    let ladder = [Nm::new(2, 4, 4), Nm::new(2, 4, 3), Nm::TWO_FOUR];
    assert_eq!(detect_nm(&dense, &ladder), Some(Nm::new(2, 4, 3)));
}

#[test]
fn block_occupancy_counts_nonzero_blocks() {
    let mut data = vec![0.0_f32; 8 * 8];
    data[0] = 1.0;
    data[63] = f32::NAN;
    data[7] = -0.0;
    let dense = Matrix::new(8, 8, data);
    let found = detect_blocks(&dense, &[(2, 2), (4, 8), (8, 1), (3, 5)]).unwrap();
    let counts: Vec<_> = found
        .iter()
        .map(|f| (f.block, f.nonzero, f.density))
        .collect();
    assert_eq!(
        counts,
        [
            ((2, 2), 2, 0.125),
            ((4, 8), 2, 1.0),
            ((8, 1), 2, 0.25),
            ((3, 5), 2, 2.0 / 6.0)
        ]
    );
    assert_eq!(nonzero_share(&dense), 2.0 / 64.0);
    assert_eq!(
        detect_blocks(&dense, &[(1, 0)]).unwrap_err().to_string(),
        "a block of 1 x 0 has no elements: both sides must be at least 1"
    );
}

#[test]
fn an_empty_matrix_obeys_every_pattern() {
    let empty = Matrix::<f32>::zeros(5, 0).unwrap();
    assert_eq!(check_nm(&empty, Nm::new(1, 32, 3)), Ok(()));
    assert_eq!(nonzero_share(&empty), 0.0);
    assert_eq!(
        detect_nm(&empty, &default_ladder()),
        None,
        "there is nothing to save"
    );
}

proptest! {
    #[test]
    fn a_check_holds_where_no_group_has_too_many_nonzero_columns(
        dense in number_matrix(),
        pattern in any_pattern(),
    ) {
        let mut worst = 0;
        for row in 0..dense.rows() {
            let first = row / pattern.v() * pattern.v();
            for group in 0..dense.cols().div_ceil(pattern.m()) {
                let count = (0..dense.cols())
                    .filter(|col| col / pattern.m() == group)
                    .filter(|&col| (first..=row).any(|r| dense.get(r, col) != 0.0))
                    .count();
                worst = worst.max(count);
            }
        }
        prop_assert_eq!(check_nm(&dense, pattern).is_ok(), worst <= pattern.n());
        prop_assert_eq!(NmMatrix::from_dense(&dense, pattern).is_ok(), worst <= pattern.n());
    }
}
