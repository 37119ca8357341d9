//! From dense weights to N:M and back, bit by bit.

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::{Element, Matrix, MatrixView, Nm, NmError, NmMatrix, NmSelection};

use crate::support::{any_matrix, any_pattern, bits, for_every_type, specials};

#[test]
fn every_quad_of_two_four_compresses() {
    for mask in 0_u32..16 {
        let quad: Vec<f32> = (0..4)
            .map(|k| {
                if mask >> k & 1 == 1 {
                    (k + 1) as f32
                } else {
                    0.0
                }
            })
            .collect();
        let dense = Matrix::new(1, 4, quad);
        let compressed = NmMatrix::from_dense(&dense, Nm::TWO_FOUR);
        if mask.count_ones() > 2 {
            assert!(
                matches!(compressed, Err(NmError::Violation(v)) if v.count == mask.count_ones() as usize)
            );
        } else {
            assert_eq!(
                compressed.unwrap().to_dense().unwrap(),
                dense,
                "mask {mask:04b}"
            );
        }
    }
}

fn specials_survive<T: Element>() {
    for (i, special) in specials::<T>().into_iter().enumerate() {
        let mut data = vec![T::ZERO; 9];
        data[i] = special;
        data[8] = special;
        let dense = Matrix::new(1, 9, data);
        let compressed = NmMatrix::from_dense(&dense, Nm::ONE_EIGHT).unwrap();
        assert_eq!(bits(compressed.values()), bits(&[special, special]));
        assert_eq!(
            bits(compressed.to_dense().unwrap().data()),
            bits(dense.data())
        );
    }
}

#[test]
fn nan_payloads_infinities_and_subnormals_survive_in_every_type() {
    for_every_type!(specials_survive);
}

#[test]
fn a_negative_zero_counts_as_zero() {
    let dense = Matrix::new(1, 4, vec![-0.0_f32, -0.0, 1.0, -0.0]);
    let compressed = NmMatrix::from_dense(&dense, Nm::ONE_FOUR).unwrap();
    assert_eq!(compressed.values(), [1.0]);
    assert_eq!(
        bits(compressed.to_dense().unwrap().data()),
        bits(&[0.0_f32, 0.0, 1.0, 0.0])
    );
}

#[test]
fn free_slots_take_the_lowest_zero_columns() {
    let dense = Matrix::new(1, 6, vec![0.0_f32, 0.0, 0.0, 5.0, 0.0, 0.0]);
    let compressed = NmMatrix::from_dense(&dense, Nm::TWO_FOUR).unwrap();
    let columns: Vec<usize> = (0..4).map(|kept| compressed.column(0, kept)).collect();
    assert_eq!(columns, [0, 3, 4, 5]);
}

#[test]
fn a_strided_view_compresses_like_its_copy() {
    let stored = Matrix::new(4, 2, vec![1.0_f32, 0.0, 0.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
    let view = stored.view().transposed();
    assert_eq!(
        NmMatrix::from_dense(view, Nm::TWO_FOUR),
        NmMatrix::from_dense(&view.to_matrix().unwrap(), Nm::TWO_FOUR)
    );
}

#[test]
fn no_rows_or_no_columns_make_an_empty_matrix() {
    for (rows, cols) in [(0, 0), (0, 5), (5, 0), (usize::MAX, 0)] {
        let view = MatrixView::<f32>::try_new(&[], rows, cols, 0, 0).unwrap();
        let matrix = NmMatrix::from_dense(view, Nm::new(2, 4, 3)).unwrap();
        assert_eq!(
            matrix,
            NmMatrix::new(rows, cols, Nm::new(2, 4, 3), vec![], &[])
        );
        assert_eq!(matrix, NmMatrix::prune(view, Nm::new(2, 4, 3)).unwrap());
        assert!(matrix.values().is_empty() && matrix.packed_indices().is_empty());
        assert_eq!(matrix.to_dense().unwrap(), Matrix::new(rows, cols, vec![]));
    }
}

#[test]
fn groups_of_every_length_and_strips_that_do_not_divide_the_rows() {
    for m in [2, 3, 4, 7, 16, 31, 32] {
        for cols in [1, m - 1, m, m + 1, 3 * m + 1] {
            for v in [1, 2, 3, 5, 8] {
                let pattern = Nm::new(1, m, v);
                let data = (0..5 * cols).map(|i| {
                    if i % cols % m == m - 1 {
                        (i + 1) as f32
                    } else {
                        0.0
                    }
                });
                let dense = Matrix::new(5, cols, data.collect());
                let matrix = NmMatrix::from_dense(&dense, pattern).unwrap();
                assert_eq!(matrix.strips(), 5_usize.div_ceil(v));
                assert_eq!(
                    matrix.to_dense().unwrap(),
                    dense,
                    "{pattern}, {cols} columns"
                );
            }
        }
    }
}

fn check_round_trip<T: Element>(dense: &Matrix<T>, pattern: Nm) -> Result<(), TestCaseError> {
    let Ok(compressed) = NmMatrix::from_dense(dense, pattern) else {
        prop_assert!(sparse_core::prune::check_nm(dense, pattern).is_err());
        return Ok(());
    };
    let indices: Vec<u8> = (0..compressed.strips())
        .flat_map(|strip| (0..compressed.kept_per_row()).map(move |kept| (strip, kept)))
        .map(|(strip, kept)| u8::try_from(compressed.index(strip, kept)).unwrap())
        .collect();
    let (rows, cols) = (dense.rows(), dense.cols());
    let rebuilt =
        NmMatrix::try_new(rows, cols, pattern, compressed.values().to_vec(), &indices).unwrap();
    prop_assert_eq!(rebuilt.packed_indices(), compressed.packed_indices());
    let without_negative_zeros: Vec<T> = dense
        .data()
        .iter()
        .map(|&x| if x.is_zero() { T::ZERO } else { x })
        .collect();
    let decompressed: Vec<T> = compressed
        .to_dense()
        .unwrap()
        .data()
        .iter()
        .map(|&x| if x.is_zero() { T::ZERO } else { x })
        .collect();
    prop_assert_eq!(bits(&decompressed), bits(&without_negative_zeros));
    Ok(())
}

/// Zeroes what `pattern` does not allow, so that compression has something to do.
fn thinned<T: Element>(dense: &Matrix<T>, pattern: Nm, seed: u64) -> Matrix<T> {
    let selection = NmSelection::at_random(dense.rows(), dense.cols(), pattern, seed).unwrap();
    NmMatrix::from_selection(dense, &selection)
        .unwrap()
        .to_dense()
        .unwrap()
}

proptest! {
    #[test]
    fn compression_and_decompression_are_inverse(
        (a, b, c) in (any_matrix::<f32>(), any_matrix::<f16>(), any_matrix::<bf16>()),
        pattern in any_pattern(),
        seed: u64,
    ) {
        check_round_trip(&a, pattern)?;
        check_round_trip(&thinned(&a, pattern, seed), pattern)?;
        check_round_trip(&thinned(&b, pattern, seed), pattern)?;
        check_round_trip(&thinned(&c, pattern, seed), pattern)?;
    }

    #[test]
    fn a_thinned_matrix_always_compresses(a in any_matrix::<f16>(), pattern in any_pattern(), seed: u64) {
        let thin = thinned(&a, pattern, seed);
        let compressed = NmMatrix::from_dense(&thin, pattern).unwrap();
        prop_assert_eq!(compressed.values().len(), a.rows() * compressed.kept_per_row());
        for (i, &x) in thin.data().iter().enumerate() {
            let stored = compressed.row(i / a.cols()).find(|&(column, _)| column == i % a.cols());
            prop_assert!(x.is_zero() || stored.is_some_and(|(_, value)| bits(&[value]) == bits(&[x])));
        }
    }

    #[test]
    fn any_bytes_make_a_valid_matrix_or_an_error(
        (rows, cols) in (0_usize..6, 0_usize..40),
        pattern in any_pattern(),
        indices in prop::collection::vec(0_u8..34, 0..120),
        extra in 0_usize..2,
    ) {
        let groups = cols.div_ceil(pattern.m());
        let values = vec![0.0_f32; rows * groups * pattern.n() + extra];
        if let Ok(matrix) = NmMatrix::try_new(rows, cols, pattern, values, &indices) {
            prop_assert_eq!(matrix.to_dense().unwrap(), Matrix::zeros(rows, cols).unwrap());
        }
    }
}
