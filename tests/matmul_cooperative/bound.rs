//! The bound leaves room for what hardware does, and for no more.

use half::f16;
use sparse_core::DType;
use sparse_core::bounds::{compare, cooperative_matmul_bounds};
use sparse_core::matmul::dense_matmul;
use sparse_core::synthetic::normal_matrix;

use crate::support::gpu::matrices;
use crate::support::matmul::Format;
use crate::{case, check_or_refused};

/// The bound is made for hardware that cuts off where others round, and so leaves room; not room for sums in f16, nor for a product left out.
#[test]
fn sums_in_f16_would_exceed_the_bound() {
    let (x, w) = (
        normal_matrix::<f16>(24, 64, 1).unwrap(),
        normal_matrix::<f16>(16, 64, 2).unwrap(),
    );
    let reference = dense_matmul(&x, &w, &sparse_core::Epilogue::default()).unwrap();
    let none = sparse_core::Activation::None;
    let bounds = cooperative_matmul_bounds(&reference, 64, 1, none, DType::F32);
    let of_halves = |t: usize, o: usize| {
        (0..64).fold(f16::ZERO, |sum, k| {
            let product = x.data()[t * 64 + k].to_f32() * w.data()[o * 64 + k].to_f32();
            f16::from_f32(sum.to_f32() + product)
        })
    };
    let sums = (0..24 * 16).map(|i| of_halves(i / 16, i % 16).to_f64());
    let worst = compare(sums, &reference.y, &bounds);
    assert!(worst.ratio > 10.0, "{worst}");
    // What is left out of a sum of 64 is more than the bound, as a rule by far.
    let short = (0..24 * 16).map(|i| {
        let (t, o) = (i / 16, i % 16);
        reference.y[i] - x.data()[t * 64 + 63].to_f64() * w.data()[o * 64 + 63].to_f64()
    });
    assert!(compare(short, &reference.y, &bounds).ratio > 1000.0);
}

#[test]
fn some_of_the_bound_is_used() {
    let shapes = [[64, 32, 8], [64, 32, 16], [64, 32, 48]];
    let shares = shapes.map(|shape| check_or_refused::<f32>(&case(Format::Dense, shape)));
    if matrices().is_some() {
        let worst = shares.into_iter().fold(0.0, f64::max);
        assert!(
            worst > 1.0 / 32.0,
            "a thirty-second of the bound would do: {worst}"
        );
    }
}
