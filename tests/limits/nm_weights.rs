//! N:M weights larger than a binding.

use sparse_core::nm::{nm_matmul_tokens, nm_matmul_transposed};
use sparse_core::{Epilogue, Nm, NmMatrix};
use sparse_gpu::{NmMatmul, NmVariant, Transposed};

use crate::support::gpu::gpu;
use crate::support::matmul::integers;
use crate::{BINDING, assert_equal, multiply};

#[test]
fn few_tokens_and_weights_larger_than_a_binding() {
    nm_equals_the_reference(1, "8:2:4", None, 25_600);
    nm_equals_the_reference(1, "2:4", None, 16_403);
    nm_equals_the_reference(3, "3:2:4", None, 16_411);
}

/// Each row gathers the x of its own list.
#[test]
fn few_tokens_and_gathering_weights_larger_than_a_binding() {
    nm_equals_the_reference(2, "2:3", None, 12_211);
}

#[test]
fn transposed_nm_weights_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (9, 4128, 16_403);
    let w = nm_integers(k_in, n_out, Nm::TWO_FOUR);
    assert!(w.values().len() * 4 > BINDING);
    let x = integers(tokens, k_in, 1);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_nm(&w).unwrap());
    let problem = NmMatmul {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..NmMatmul::new(tokens, n_out, k_in, Nm::TWO_FOUR)
    };
    let tokens: Vec<usize> = (0..tokens).collect();
    let actual = multiply(&problem, &gw, &gx, n_out, &tokens);
    assert_equal(
        actual,
        &nm_matmul_transposed(&x, &w, &Epilogue::default()).unwrap(),
    );
}

/// An N:M matrix of small integers, made without a dense one of twice its size.
fn nm_integers(rows: usize, cols: usize, pattern: Nm) -> NmMatrix<f32> {
    let kept = cols.div_ceil(pattern.m()) * pattern.n();
    let values = integers(rows, kept, 3).into_data();
    let strips = rows.div_ceil(pattern.v());
    // Slot i of a group lies at column i or one further, by turns.
    let indices: Vec<u8> = (0..strips * kept)
        .map(|i| {
            u8::try_from(i % pattern.n()).unwrap()
                + u8::from((i / kept + i / pattern.n()).is_multiple_of(2))
        })
        .collect();
    NmMatrix::new(rows, cols, pattern, values, &indices)
}

/// A product of small integers with weights beyond one binding, compared at the last token.
fn nm_equals_the_reference(tokens: usize, pattern: &str, variant: Option<NmVariant>, n_out: usize) {
    let (pattern, k_in): (Nm, usize) = (pattern.parse().unwrap(), 4128);
    let w = nm_integers(n_out, k_in, pattern);
    assert!(w.values().len() * 4 > BINDING);
    let x = integers(tokens, k_in, 1);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload_nm(&w).unwrap());
    let problem = NmMatmul {
        variant,
        ..NmMatmul::new(tokens, n_out, k_in, pattern)
    };
    let last = [tokens - 1];
    assert_equal(
        multiply(&problem, &gw, &gx, n_out, &last),
        &nm_matmul_tokens(&x, &w, &Epilogue::default(), &last).unwrap(),
    );
}

#[test]
fn nm_weights_larger_than_a_binding() {
    nm_equals_the_reference(9, "8:2:4", None, 25_600);
    nm_equals_the_reference(9, "2:4", None, 16_403);
    nm_equals_the_reference(9, "24:2:4", None, 16_411);
    nm_equals_the_reference(9, "3:2:4", None, 16_411);
}

#[test]
fn nm_weights_whose_rows_branch_larger_than_a_binding() {
    nm_equals_the_reference(9, "2:4", Some(NmVariant::Branch), 16_403);
}
