//! The N:M format: constructors, accessors, compression both ways.

mod support;

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::{Element, Matrix, MatrixView, Nm, NmError, NmMatrix, NmSelection};
use support::{any_matrix, any_pattern, bits, for_every_type, specials};

fn message<T>(result: Result<T, NmError>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    }
}

/// A 3 x 6 matrix of 2:4 whose tail group has two real columns.
fn with_values(values: Vec<f32>, indices: &[u8]) -> Result<NmMatrix<f32>, NmError> {
    NmMatrix::try_new(3, 6, Nm::new(2, 4, 2), values, indices)
}

const INDICES: [u8; 8] = [0, 3, 1, 2, 1, 2, 0, 1];

fn values() -> Vec<f32> {
    // Slot 3 of strip 0 (rows 0 and 1) stands for column 6, which does not exist.
    vec![1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, -0.0, 7.0, 8.0, 9.0, 10.0]
}

#[test]
fn accessors_describe_the_format() {
    let matrix = with_values(values(), &INDICES).unwrap();
    assert_eq!((matrix.rows(), matrix.cols()), (3, 6));
    assert_eq!(matrix.pattern(), Nm::new(2, 4, 2));
    assert_eq!(
        (matrix.groups(), matrix.kept_per_row(), matrix.strips()),
        (2, 4, 2)
    );
    assert_eq!((matrix.index_bits(), matrix.words_per_strip()), (2, 1));
    assert_eq!(matrix.density(), 0.5);
    let indices: Vec<usize> = (0..8).map(|i| matrix.index(i / 4, i % 4)).collect();
    assert_eq!(indices, [0, 3, 1, 2, 1, 2, 0, 1]);
    let columns: Vec<usize> = (0..8).map(|i| matrix.column(i / 4, i % 4)).collect();
    assert_eq!(columns, [0, 3, 5, 6, 1, 2, 4, 5]);
    assert_eq!(
        matrix.row(1).collect::<Vec<_>>(),
        [(0, 4.0), (3, 5.0), (5, 6.0)]
    );
    assert_eq!(
        matrix.to_dense().unwrap().data(),
        [
            1.0, 0.0, 0.0, 2.0, 0.0, 3.0, //
            4.0, 0.0, 0.0, 5.0, 0.0, 6.0, //
            0.0, 7.0, 8.0, 0.0, 9.0, 10.0,
        ]
    );
}

#[test]
fn each_broken_invariant_has_its_message() {
    let edited = |position: usize, index: u8| {
        let mut indices = INDICES;
        indices[position] = index;
        message(with_values(values(), &indices))
    };
    assert_eq!(
        message(with_values(vec![0.0; 11], &INDICES)),
        "pattern 2:2:4 keeps 4 weights in each of 3 rows, 12 values in all, but 11 were given"
    );
    assert_eq!(
        message(with_values(vec![0.0; 13], &INDICES)),
        "pattern 2:2:4 keeps 4 weights in each of 3 rows, 12 values in all, but 13 were given"
    );
    assert_eq!(
        message(with_values(values(), &INDICES[..7])),
        "pattern 2:2:4 needs 4 indices for each of 2 strips of rows, 8 in all, but 7 were given"
    );
    assert_eq!(
        edited(5, 4),
        "index 4 of slot 1 in strip 1 is outside of its group: it must be below 4"
    );
    assert_eq!(
        edited(7, 0),
        "index 0 of slot 3 in strip 1 follows 0 in the same group: indices of a group must strictly increase"
    );
    assert_eq!(
        edited(0, 3),
        "index 3 of slot 1 in strip 0 follows 3 in the same group: indices of a group must strictly increase"
    );
    let mut padded = values();
    padded[7] = f32::NAN;
    assert_eq!(
        message(with_values(padded, &INDICES)),
        "slot 3 of row 1 lies at column 6, past the 6 columns of the matrix: its value must be zero"
    );
    assert_eq!(
        message(NmMatrix::<f32>::try_new(
            1 << 40,
            1 << 40,
            Nm::TWO_FOUR,
            vec![],
            &[]
        )),
        "a 1099511627776 x 1099511627776 matrix of pattern 2:4 is too large to address on this machine"
    );
    // Both slots of the tail group are padding: the first of them counts as well as the last.
    assert_eq!(
        message(NmMatrix::try_new(
            1,
            5,
            Nm::TWO_FOUR,
            vec![0.0, 0.0, 1.0, 0.0],
            &[0, 1, 1, 2]
        )),
        "slot 2 of row 0 lies at column 5, past the 5 columns of the matrix: its value must be zero"
    );
    let dense = with_values(values(), &INDICES).unwrap().to_dense().unwrap();
    // Fewer rows, fewer columns, as many elements.
    for (rows, cols, slots) in [(2, 6, 4), (3, 5, 8), (6, 3, 6)] {
        let indices = INDICES[..slots].to_vec();
        let other = NmSelection::new(rows, cols, Nm::new(2, 4, 2), indices);
        assert_eq!(
            message(NmMatrix::from_selection(&dense, &other)),
            format!("the selection is for a {rows} x {cols} matrix, the matrix given is 3 x 6")
        );
    }
    assert_eq!(
        message(NmMatrix::from_dense(&dense, Nm::new(2, 4, 3))),
        "pattern 3:2:4 does not hold: the strip of rows 0..3, group 0 (columns from 0) has 4 nonzero columns, 2 are allowed; \
         column 2 is the first too many; prune the matrix first to give it the pattern"
    );
}

/// A broadcast view and one strip for all rows: neither takes memory, the values would take 2^47 bytes.
#[test]
fn values_that_no_memory_holds_are_refused() {
    let rows = 1 << 44;
    let view = MatrixView::try_new(&[1.0_f32], rows, 4, 0, 0).unwrap();
    let selection = NmSelection::new(rows, 4, Nm::new(2, 4, rows), vec![0, 1]);
    assert_eq!(
        message(NmMatrix::from_selection(view, &selection)),
        "there is no memory for the 35184372088832 kept weights of a 17592186044416 x 4 matrix of pattern \
         17592186044416:2:4, 140737488355328 bytes; keep fewer, or split the matrix"
    );
}

#[test]
#[should_panic(expected = "row 3 is outside of a matrix of 3 rows")]
fn a_row_too_many_is_no_row() {
    let _ = with_values(values(), &INDICES).unwrap().row(3);
}

#[test]
#[should_panic(expected = "12 values in all, but 0 were given")]
fn the_panicking_twin_says_the_same() {
    NmMatrix::<f32>::new(3, 6, Nm::new(2, 4, 2), vec![], &INDICES);
}

#[test]
#[should_panic(expected = "slot 4 of strip 0 is outside of 2 strips of 4 slots")]
fn a_slot_past_its_strip_is_no_slot_of_the_next() {
    with_values(values(), &INDICES).unwrap().index(0, 4);
}

#[test]
#[should_panic(expected = "slot 3 of strip 2 is outside of 2 strips of 4 slots")]
fn a_strip_past_the_last_has_no_slots() {
    with_values(values(), &INDICES).unwrap().index(2, 3);
}

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
