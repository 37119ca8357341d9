//! Operands that do not fit together, and those that no memory holds.

use sparse_core::bsr::{bsr_matmul_transposed, bsr_sddmm};
use sparse_core::matmul::{dense_matmul, dense_matmul_tokens};
use sparse_core::{
    BlockSelection, BsrMatrix, Epilogue, MatmulError, Matrix, MatrixView, ShapeError,
};

use crate::integers;

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (x, w) = (integers::<f32>(3, 4), integers::<f32>(2, 5));
    let message = |error: MatmulError| error.to_string();
    assert_eq!(
        dense_matmul(&x, &w, &Epilogue::NONE).map_err(message),
        Err("x has 4 columns and w has 5: both must be the number of input features".into())
    );
    let bias = Epilogue::NONE.with_bias(&[1.0_f32; 3]);
    assert_eq!(
        dense_matmul(&w, &w, &bias).map_err(message),
        Err("w has 2 rows, so bias must have 2 numbers, but it has 3".into())
    );
    assert_eq!(
        dense_matmul_tokens(&x, &x, &Epilogue::NONE, &[1, 3]).map_err(message),
        Err("token 3 was asked for, but x has 3 rows".into())
    );
    let one = [1.0_f32];
    let endless = MatrixView::try_new(&one, usize::MAX / 2, 1, 0, 0).unwrap();
    assert_eq!(
        dense_matmul(endless, endless, &Epilogue::NONE).map_err(message),
        Err(format!(
            "an output of {0} tokens x {0} features is too large to address on this machine",
            usize::MAX / 2
        ))
    );
    // Without a k, and of a single block: operands that take no memory have outputs that no machine has memory for.
    let empty = Matrix::<f32>::new(1 << 29, 0, Vec::new());
    let expected = "there is no memory for an output of 536870912 tokens x 536870912 features, 2305843009213693952 bytes; \
                    compute some tokens at a time";
    assert_eq!(
        dense_matmul(&empty, &empty, &Epilogue::NONE).map_err(message),
        Err(expected.into())
    );
    let (empty, block) = (
        Matrix::<f32>::new(0, 1 << 29, Vec::new()),
        (1 << 29, 1 << 29),
    );
    let one_block = BlockSelection::new(1 << 29, 1 << 29, block, vec![0, 1], vec![0]);
    let none = None::<&BsrMatrix<f32>>;
    assert_eq!(
        bsr_sddmm(&empty, &empty, &one_block, 1.0, 0.0, none).map_err(message),
        Err(expected.into())
    );
}

/// Views that repeat one number: operands that take no memory, of more input features than any machine has memory for.
#[test]
fn operands_beyond_all_memory_are_refused() {
    let one = [1.0_f32];
    let features = 1 << 50;
    let row = MatrixView::try_new(&one, 1, features, 0, 0).unwrap();
    let expected = format!(
        "there is no memory for an input of 1 tokens x {features} features in f64, {} bytes; compute some input features at a \
         time",
        8_u64 << 50
    );
    let message = |error: MatmulError| error.to_string();
    assert_eq!(
        dense_matmul(row, row, &Epilogue::NONE).map_err(message),
        Err(expected.clone())
    );
    assert_eq!(
        dense_matmul_tokens(row, row, &Epilogue::NONE, &[0]).map_err(message),
        Err(expected)
    );
    // Of a transposed matrix every column is listed.
    let block = (1, features);
    let nothing = BsrMatrix::<f32>::new(1, features, block, vec![0, 0], vec![], vec![]);
    let token = MatrixView::try_new(&one, 1, 1, 0, 0).unwrap();
    let error = bsr_matmul_transposed(token, &nothing, &Epilogue::NONE).map_err(message);
    assert!(
        error.as_ref().is_err_and(|e| e.starts_with(
            "there is no memory for the columns of a 1 x 1125899906842624 matrix in f64, "
        )),
        "{error:?}"
    );
}

#[test]
fn an_addend_beyond_all_memory_is_refused() {
    let one = [1.0_f32];
    let of = |rows, cols| MatrixView::try_new(&one, rows, cols, 0, 0).unwrap();
    let refused = |c| Epilogue::NONE.with_addend(1.0, c).unwrap_err();
    assert!(matches!(
        refused(of(1 << 30, 1 << 30)),
        ShapeError::OutOfMemory(_)
    ));
    assert!(matches!(
        refused(of(1 << 40, 1 << 40)),
        ShapeError::TooLarge { .. }
    ));
}
