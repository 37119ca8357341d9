//! `dense_matmul` against its CPU reference.

mod support;

use half::{bf16, f16};
use sparse_core::bounds::{compare, matmul_bounds};
use sparse_core::{DType, Element, Matrix};
use sparse_gpu::{Activation, DenseMatmul, MatmulTypes, Tile};
use support::gpu::{gpu, poisoned, read, submit};
use support::matmul::{Case, EDGES, FEW, Format, check};

#[test]
fn small_integers_are_exact_in_every_shape_and_storage_type() {
    for shape in EDGES {
        for_each_dtype!(T => {
            check::<T, T, T>(&Case { integers: true, ..Case::new(Format::Dense, shape) });
        });
    }
}

#[test]
fn random_numbers_stay_within_their_bounds() {
    for shape in EDGES {
        for_each_dtype!(T => { check::<T, T, T>(&Case::new(Format::Dense, shape)); });
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let shapes = [[64, 16, 1], [64, 16, 2], [64, 16, 3]];
    let worst = shapes
        .map(|s| check::<f32, f32, f32>(&Case::new(Format::Dense, s)))
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

#[test]
fn storage_types_may_differ() {
    for shape in FEW {
        let case = Case::new(Format::Dense, shape);
        check::<f32, f16, f32>(&case);
        check::<f16, bf16, f32>(&case);
        check::<bf16, f32, f16>(&case);
    }
}

#[test]
fn bias_and_activations() {
    for activation in Activation::ALL {
        for (bias, shape) in [
            (true, [65, 32, 64]),
            (true, [5, 7, 15]),
            (false, [9, 12, 8]),
        ] {
            let case = Case {
                bias,
                activation,
                ..Case::new(Format::Dense, shape)
            };
            check::<f32, f32, f32>(&case);
            check::<f16, f16, f16>(&case);
            check::<bf16, bf16, bf16>(&case);
        }
    }
}

#[test]
fn every_tile_computes_the_same() {
    for rows in [1, 2, 4, 8, 16] {
        for (cols, lanes) in [(4, 8), (8, 16), (16, 8), (8, 64)] {
            let tile = Some(Tile { rows, cols, lanes });
            for shape in [[70, 35, 33], [5, 16, 8]] {
                check::<f32, f32, f32>(&Case {
                    tile,
                    integers: true,
                    ..Case::new(Format::Dense, shape)
                });
            }
            check::<f16, f16, f16>(&Case {
                tile,
                ..Case::new(Format::Dense, [70, 36, 12])
            });
        }
    }
}

/// Subnormal numbers beside large ones, of few tokens and of many: a device counts them or reads them as zero.
#[test]
fn subnormal_operands_count_or_are_read_as_zero() {
    fn check<T: Element>(subnormal: f64, large: f64) {
        let (n_out, k_in) = (16, 24);
        let matrix = |rows, number: &dyn Fn(usize) -> f64| {
            let numbers = (0..rows * k_in).map(|i| T::from_f64(number(i)));
            Matrix::new(rows, k_in, numbers.collect())
        };
        for tokens in [3, 40] {
            // Nothing but products of one large and one subnormal number, which other products would hide.
            let x = matrix(tokens, &|i| subnormal * (i % 7 + 1) as f64);
            let w = matrix(n_out, &|i| large * (i % 5) as f64);
            let none = sparse_core::Epilogue::NONE;
            let reference = sparse_core::matmul::dense_matmul(&x, &w, &none).unwrap();
            let problem = DenseMatmul {
                types: MatmulTypes {
                    y: DType::F32,
                    ..MatmulTypes::all(T::DTYPE)
                },
                ..DenseMatmul::new(tokens, n_out, k_in)
            };
            let plan = gpu().plan_blocking(&problem).unwrap();
            let [x, w] = [&x, &w].map(|m| gpu().upload(m).unwrap());
            let mut y = poisoned::<f32>(gpu(), &[tokens, n_out]);
            submit(gpu(), |pass| plan.record(pass, &w, &x, &mut y).unwrap());
            let identity = sparse_core::Activation::None;
            let bounds = matmul_bounds(&reference, k_in, identity, DType::F32);
            let compared = compare(read::<f32>(gpu(), &y), &reference.y, &bounds);
            assert!(compared.holds(), "{} {tokens} tokens: {compared}", T::DTYPE);
        }
    }
    check::<f32>(1e-39, 1e30);
    check::<bf16>(1e-39, 1e30);
    check::<f16>(8e-6, 1e4);
}
