//! The block-sparse format: constructors, accessors, compression both ways.

mod support;

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::{BlockSelection, BsrError, BsrMatrix, Element, Matrix};
use support::{any_matrix, bits, for_every_type, specials};

/// 3 x 5 in blocks of 2 x 2: 2 x 3 blocks, of which the last of each row and column are cut.
fn with(indptr: &[u32], indices: &[u32], values: Vec<f32>) -> Result<BsrMatrix<f32>, BsrError> {
    BsrMatrix::try_new(3, 5, (2, 2), indptr.to_vec(), indices.to_vec(), values)
}

fn values() -> Vec<f32> {
    vec![
        1.0, 2.0, 3.0, 4.0, // rows 0..2, columns 0..2
        5.0, 0.0, 6.0, -0.0, // rows 0..2, column 4
        7.0, 8.0, 0.0, 0.0, // row 2, columns 2..4
    ]
}

fn message(result: Result<BsrMatrix<f32>, BsrError>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn accessors_describe_the_format() {
    let matrix = with(&[0, 2, 3], &[0, 2, 1], values()).unwrap();
    assert_eq!(
        (matrix.rows(), matrix.cols(), matrix.block()),
        (3, 5, (2, 2))
    );
    assert_eq!((matrix.block_rows(), matrix.block_cols()), (2, 3));
    assert_eq!(
        (matrix.indptr(), matrix.indices()),
        (&[0, 2, 3][..], &[0, 2, 1][..])
    );
    assert_eq!((matrix.nnz_blocks(), matrix.density()), (3, 0.5));
    assert_eq!(
        matrix.row(0).collect::<Vec<_>>(),
        [(0, 1.0), (1, 2.0), (4, 5.0)]
    );
    assert_eq!(matrix.row(2).collect::<Vec<_>>(), [(2, 7.0), (3, 8.0)]);
    let positions: Vec<_> = matrix.blocks().map(|(position, _)| position).collect();
    assert_eq!(positions, [(0, 0), (0, 2), (1, 1)]);
    assert_eq!(
        matrix.to_dense().unwrap().data(),
        [
            1.0, 2.0, 0.0, 0.0, 5.0, //
            3.0, 4.0, 0.0, 0.0, 6.0, //
            0.0, 0.0, 7.0, 8.0, 0.0,
        ]
    );
}

#[test]
fn each_broken_invariant_has_its_message() {
    assert_eq!(
        message(with(&[0, 3], &[0, 2, 1], values())),
        "2 block rows need 3 row pointers (one more), but 2 were given"
    );
    assert_eq!(
        message(with(&[0, 2, 3, 3], &[0, 2, 1], values())),
        "2 block rows need 3 row pointers (one more), but 4 were given"
    );
    assert_eq!(
        message(with(&[1, 2, 3], &[0, 2, 1], values())),
        "the first row pointer is 1, it must be 0"
    );
    assert_eq!(
        message(with(&[0, 4, 3], &[0, 2, 1], values())),
        "block row 1 starts at block 4 and ends at 3: row pointers must not decrease"
    );
    assert_eq!(
        message(with(&[0, 2, 4], &[0, 2, 1], values())),
        "the last row pointer says 4 blocks, but 3 block column indices were given"
    );
    assert_eq!(
        message(with(&[0, 2, 2], &[0, 2, 1], values())),
        "the last row pointer says 2 blocks, but 3 block column indices were given"
    );
    assert_eq!(
        message(with(&[0, 2, 3], &[0, 3, 1], values())),
        "block 1 of block row 0 has block column 3, the matrix has 3 block columns"
    );
    assert_eq!(
        message(with(&[0, 2, 3], &[2, 2, 1], values())),
        "block 1 of block row 0 has block column 2 after 2: block columns of a row must strictly increase"
    );
    assert_eq!(
        message(with(&[0, 2, 3], &[2, 0, 1], values())),
        "block 1 of block row 0 has block column 0 after 2: block columns of a row must strictly increase"
    );
    assert_eq!(
        message(with(&[0, 2, 3], &[0, 2, 1], vec![0.0; 11])),
        "3 blocks of 2 x 2 need 3 * 2 * 2 values, but 11 were given"
    );
    assert_eq!(
        message(with(&[0, 2, 3], &[0, 2, 1], vec![0.0; 13])),
        "3 blocks of 2 x 2 need 3 * 2 * 2 values, but 13 were given"
    );
    let mut padded = values();
    padded[10] = f32::NAN;
    assert_eq!(
        message(with(&[0, 2, 3], &[0, 2, 1], padded)),
        "block 2 has a nonzero at (3, 2), outside of the 3 x 5 matrix: padding must be zero"
    );
    let mut padded = values();
    padded[5] = 1.0;
    assert_eq!(
        message(with(&[0, 2, 3], &[0, 2, 1], padded)),
        "block 1 has a nonzero at (0, 5), outside of the 3 x 5 matrix: padding must be zero"
    );
    assert_eq!(
        message(BsrMatrix::try_new(3, 5, (2, 0), vec![], vec![], vec![])),
        "a block of 2 x 0 has no elements: both sides must be at least 1"
    );
    assert_eq!(
        message(BsrMatrix::try_new(
            1 << 20,
            1 << 20,
            (1, 1),
            vec![],
            vec![],
            vec![]
        )),
        "a 1048576 x 1048576 matrix in blocks of 1 x 1 is too large: a block and the padded matrix must be addressable, \
         with fewer than 2^32 blocks"
    );
    // Nothing is stored of it, but a block must be one that could be.
    let empty = Matrix::<f32>::zeros(0, 5).unwrap();
    let block = (1 << 40, 1 << 40);
    for refused in [
        message(BsrMatrix::from_dense(&empty, block)),
        message(BsrMatrix::try_new(
            0,
            5,
            block,
            vec![0],
            vec![],
            Vec::<f32>::new(),
        )),
    ] {
        assert_eq!(
            refused,
            "a 0 x 5 matrix in blocks of 1099511627776 x 1099511627776 is too large: a block and the padded matrix must be \
             addressable, with fewer than 2^32 blocks"
        );
    }
    let dense = Matrix::new(3, 5, vec![0.0; 15]);
    // Fewer columns, fewer rows, as many elements.
    for (rows, cols, indptr) in [
        (3, 4, vec![0, 0, 1]),
        (2, 5, vec![0, 1]),
        (5, 3, vec![0; 4]),
    ] {
        let indices = vec![1; indptr[indptr.len() - 1] as usize];
        let selection = BlockSelection::new(rows, cols, (2, 2), indptr, indices);
        assert_eq!(
            message(BsrMatrix::from_selection(&dense, &selection)),
            format!("the selection is for a {rows} x {cols} matrix, the matrix given is 3 x 5")
        );
    }
}

#[test]
#[should_panic(expected = "block rows need 3 row pointers (one more), but 0 were given")]
fn the_panicking_twin_says_the_same() {
    BsrMatrix::<f32>::new(3, 5, (2, 2), vec![], vec![], vec![]);
}

#[test]
#[should_panic(expected = "row 3 is outside of a matrix of 3 rows")]
fn a_padded_row_of_the_last_blocks_is_no_row() {
    let matrix = with(&[0, 2, 3], &[0, 2, 1], values()).unwrap();
    matrix.row(3).count();
}

#[test]
fn empty_and_full_rows_of_blocks() {
    let mut data = vec![0.0_f32; 6 * 4];
    data[8..16].fill(2.0);
    let dense = Matrix::new(6, 4, data);
    let matrix = BsrMatrix::from_dense(&dense, (2, 2)).unwrap();
    assert_eq!(matrix.indptr(), [0, 0, 2, 2]);
    assert_eq!(matrix.to_dense().unwrap(), dense);
    let nothing = BsrMatrix::from_dense(&Matrix::<f32>::zeros(6, 4).unwrap(), (4, 3)).unwrap();
    assert_eq!((nothing.nnz_blocks(), nothing.density()), (0, 0.0));
    assert_eq!(nothing.to_dense().unwrap(), Matrix::zeros(6, 4).unwrap());
}

#[test]
fn no_rows_or_no_columns_make_an_empty_matrix() {
    for (rows, cols) in [(0, 0), (0, 5), (5, 0)] {
        let dense = Matrix::<f32>::zeros(rows, cols).unwrap();
        let matrix = BsrMatrix::from_dense(&dense, (2, 3)).unwrap();
        assert_eq!(matrix.indptr(), vec![0; rows.div_ceil(2) + 1]);
        assert_eq!((matrix.nnz_blocks(), matrix.density()), (0, 0.0));
        assert_eq!(matrix.to_dense().unwrap(), dense);
    }
}

#[test]
fn a_block_larger_than_the_matrix_is_padded() {
    let dense = Matrix::new(1, 2, vec![3.0_f32, 0.0]);
    let matrix = BsrMatrix::from_dense(&dense, (2, 3)).unwrap();
    assert_eq!(matrix.values(), [3.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(matrix.to_dense().unwrap(), dense);
}

fn specials_survive<T: Element>() {
    for special in specials::<T>() {
        let dense = Matrix::new(2, 2, vec![T::ZERO, special, T::from_f32(-0.0), T::ZERO]);
        let matrix = BsrMatrix::from_dense(&dense, (1, 2)).unwrap();
        assert_eq!(matrix.indptr(), [0, 1, 1]);
        assert_eq!(bits(matrix.values()), bits(&[T::ZERO, special]));
        assert_eq!(bits(matrix.to_dense().unwrap().row(0)), bits(dense.row(0)));
    }
}

#[test]
fn nan_payloads_infinities_and_subnormals_survive_in_every_type() {
    for_every_type!(specials_survive);
}

fn check_round_trip<T: Element>(
    dense: &Matrix<T>,
    block: (usize, usize),
) -> Result<(), TestCaseError> {
    let matrix = BsrMatrix::from_dense(dense, block).unwrap();
    for (_, elements) in matrix.blocks() {
        prop_assert!(
            elements.iter().any(|x| !x.is_zero()),
            "a zero block was stored"
        );
    }
    let plain = |m: &Matrix<T>| -> Vec<T> {
        m.data()
            .iter()
            .map(|&x| if x.is_zero() { T::ZERO } else { x })
            .collect()
    };
    prop_assert_eq!(
        bits(&plain(&matrix.to_dense().unwrap())),
        bits(&plain(dense))
    );
    let rebuilt = BsrMatrix::try_new(
        dense.rows(),
        dense.cols(),
        block,
        matrix.indptr().to_vec(),
        matrix.indices().to_vec(),
        matrix.values().to_vec(),
    )
    .unwrap();
    prop_assert_eq!(
        bits(rebuilt.to_dense().unwrap().data()),
        bits(matrix.to_dense().unwrap().data())
    );
    Ok(())
}

proptest! {
    #[test]
    fn compression_and_decompression_are_inverse(
        (a, b, c) in (any_matrix::<f32>(), any_matrix::<f16>(), any_matrix::<bf16>()),
        block in (1_usize..12, 1_usize..12),
    ) {
        check_round_trip(&a, block)?;
        check_round_trip(&b, block)?;
        check_round_trip(&c, block)?;
    }

    #[test]
    fn any_pointers_make_a_valid_matrix_or_an_error(
        (rows, cols) in (0_usize..6, 0_usize..6),
        block in (0_usize..4, 0_usize..4),
        indptr in prop::collection::vec(0_u32..5, 0..6),
        indices in prop::collection::vec(0_u32..5, 0..6),
    ) {
        let values = vec![0.0_f32; indices.len() * block.0 * block.1];
        if let Ok(matrix) = BsrMatrix::try_new(rows, cols, block, indptr, indices, values) {
            prop_assert_eq!(matrix.to_dense().unwrap(), Matrix::zeros(rows, cols).unwrap());
        }
    }
}

#[test]
fn blocks_beyond_all_memory_are_refused() {
    let dense = Matrix::new(2, 2, vec![1.0_f32; 4]);
    let rows = 1 << 58;
    assert_eq!(
        BsrMatrix::from_dense(&dense, (rows, 2))
            .unwrap_err()
            .to_string(),
        format!(
            "there is no memory for blocks of {rows} x 2, 1 of them, {} bytes; choose smaller blocks or keep fewer",
            8_u64 << 58
        )
    );
}

/// A matrix of which nothing is stored has 2^56 elements.
#[test]
fn zeros_beyond_all_memory_are_not_written_out() {
    let (rows, cols, block) = (1 << 28, 1 << 28, (1 << 28, 1 << 14));
    let matrix = BsrMatrix::<f32>::new(rows, cols, block, vec![0, 0], vec![], vec![]);
    assert_eq!(
        matrix.to_dense().unwrap_err().to_string(),
        "there is no memory for the elements of shape [268435456, 268435456], 288230376151711744 bytes; take a smaller shape, \
         or a part at a time"
    );
}
