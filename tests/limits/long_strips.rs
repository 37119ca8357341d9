//! Strips of many rows: what belongs to one of them in y, or of w, exceeds a binding.

use sparse_core::bsr::bsr_matmul;
use sparse_core::nm::nm_matmul;
use sparse_core::{BlockBudget, BsrMatrix, Epilogue, MatmulReference, Matrix, Nm, NmMatrix};
use sparse_gpu::{BsrMatmul, MatmulPlan, NmMatmul, Transposed, Weights};

use crate::support::gpu::{gpu, poisoned, submit};
use crate::support::matmul::integers;
use crate::{BINDING, assert_equal};

const TOKENS: usize = 300_000;
/// Of a strip, and of w.
const ROWS: usize = 128;
const COLS: usize = 8;
const SAMPLED: [usize; 4] = [0, 150_000, 262_145, 299_999];

const Y: Transposed = Transposed {
    y: true,
    ..Transposed::NONE
};

/// Runs a plan for a transposed y of which one strip exceeds a binding, and compares some tokens with what `reference` makes of their rows of x.
fn stored_some_rows_at_a_time<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    reference: impl Fn(&Matrix<f32>) -> MatmulReference,
) {
    const { assert!(ROWS * TOKENS * 4 > BINDING) };
    let text = plan.explain().to_string();
    assert!(text.contains("stored some rows at a time"), "{text}");
    let x = integers(TOKENS, COLS, 1);
    let gx = gpu().upload(&x).unwrap();
    let mut y = poisoned::<f32>(gpu(), &[ROWS, TOKENS]);
    submit(gpu(), |pass| plan.record(pass, w, &gx, &mut y).unwrap());
    let y = gpu().read_blocking::<f32>(&y).unwrap();
    let of_token = |t: usize| (0..ROWS).map(move |row| row * TOKENS + t);
    let places = SAMPLED.into_iter().flat_map(of_token);
    let sampled = Matrix::new(4, COLS, SAMPLED.map(|t| x.row(t)).concat());
    let actual = places.map(|i| f64::from(y.data()[i])).collect();
    assert_equal(actual, &reference(&sampled));
}

#[test]
fn a_transposed_result_of_one_block_row_larger_than_a_binding() {
    let w = integers(ROWS, COLS, 2);
    let w = BsrMatrix::prune(&w, (ROWS, 4), BlockBudget::Density(0.5)).unwrap();
    let problem = BsrMatmul {
        transposed: Y,
        ..BsrMatmul::new(TOKENS, ROWS, COLS, (ROWS, 4))
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    stored_some_rows_at_a_time(&plan, &gpu().upload_bsr(&w).unwrap(), |x| {
        bsr_matmul(x, &w, &Epilogue::default()).unwrap()
    });
}

#[test]
fn a_transposed_result_of_rows_that_share_a_pattern_larger_than_a_binding() {
    let w = integers(ROWS, COLS, 2);
    let w = NmMatrix::prune(&w, Nm::new(2, 8, ROWS)).unwrap();
    let problem = NmMatmul {
        transposed: Y,
        ..NmMatmul::new(TOKENS, ROWS, COLS, w.pattern())
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    stored_some_rows_at_a_time(&plan, &gpu().upload_nm(&w).unwrap(), |x| {
        nm_matmul(x, &w, &Epilogue::default()).unwrap()
    });
}

#[test]
fn weights_of_one_pattern_larger_than_a_binding_are_refused_when_planned() {
    let (n_out, k_in) = (16_403, 4128);
    for v in [n_out, usize::MAX] {
        let problem = NmMatmul::new(9, n_out, k_in, Nm::new(2, 4, v));
        let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "nm_matmul: one strip of 16403 rows of w needs bindings of 135423168 bytes, the device has bindings of "
            ) && error.ends_with(" or split k, or let fewer rows share a pattern"),
            "{error}"
        );
    }
}
