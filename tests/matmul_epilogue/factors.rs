//! alpha, what is added times beta, bias and activation.

use sparse_core::{Matrix, Tensor};
use sparse_gpu::{Addend, DenseMatmul, Epilogue, Extras};

use crate::support::gpu::{gpu, poisoned, read, submit};
use crate::support::matmul::{Added, Case, EPILOGUES, Format, check};
use crate::{cases, check_some_types};

#[test]
fn alpha_beta_bias_and_activation() {
    for (i, case) in cases().into_iter().enumerate() {
        for (j, (alpha, addend, bias, activation)) in EPILOGUES.into_iter().enumerate() {
            let case = Case {
                alpha,
                addend,
                bias,
                activation,
                ..case
            };
            check_some_types(i + j, &case);
        }
    }
}

#[test]
fn small_integers_are_exact() {
    for (i, case) in cases().into_iter().enumerate() {
        for (j, addend) in [Added::Previous(-1.0), Added::Residual(2.0)]
            .into_iter()
            .enumerate()
        {
            let case = Case {
                alpha: 2.0,
                addend,
                bias: true,
                integers: true,
                ..case
            };
            check_some_types(2 * i + j, &case);
        }
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let worst = [[64, 16, 1], [64, 16, 2], [64, 16, 3]]
        .map(|shape| {
            check::<f32, f32, f32>(&Case {
                alpha: 1.3,
                addend: Added::Residual(-0.7),
                bias: true,
                ..Case::new(Format::Dense, shape)
            })
        })
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

#[test]
fn beta_of_zero_never_reads_y() {
    for (i, case) in cases().into_iter().enumerate() {
        // y is full of NaN.
        let addend = Added::Previous(0.0);
        check_some_types(i, &Case { addend, ..case });
    }
}

/// x full of NaN, or a residual, and factors of zero.
fn with_nan(alpha: f32, addend: Addend, x: f32) -> Vec<f64> {
    let (tokens, n_out, k_in) = (9, 8, 12);
    let problem = DenseMatmul {
        epilogue: Epilogue {
            alpha,
            addend,
            ..Epilogue::default()
        },
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let x = gpu()
        .upload(&Matrix::new(tokens, k_in, vec![x; tokens * k_in]))
        .unwrap();
    let w = gpu()
        .upload(&Matrix::new(n_out, k_in, vec![1.0_f32; n_out * k_in]))
        .unwrap();
    let residual = poisoned::<f32>(gpu(), &[tokens, n_out]);
    let residual = matches!(addend, Addend::Residual { .. }).then_some(&residual);
    let mut y = gpu()
        .upload(&Tensor::new(
            vec![tokens, n_out],
            vec![3.0_f32; tokens * n_out],
        ))
        .unwrap();
    let extras = Extras {
        residual,
        ..Extras::default()
    };
    submit(gpu(), |pass| {
        plan.record_with(pass, &w, &x, extras, &mut y).unwrap();
    });
    read::<f32>(gpu(), &y)
}

#[test]
fn factors_of_zero_let_nothing_through() {
    let residual = Addend::Residual {
        beta: 0.0,
        dtype: sparse_core::DType::F32,
    };
    assert_eq!(with_nan(1.0, residual, 1.0), [12.0; 72]);
    assert_eq!(
        with_nan(0.0, Addend::Previous { beta: 2.0 }, f32::NAN),
        [6.0; 72]
    );
    // And other factors do.
    let all_nan = |y: Vec<f64>| y.iter().all(|y| y.is_nan());
    assert!(all_nan(with_nan(
        1.0,
        Addend::Previous { beta: 2.0 },
        f32::NAN
    )));
    let residual = Addend::Residual {
        beta: 0.5,
        dtype: sparse_core::DType::F32,
    };
    assert!(all_nan(with_nan(1.0, residual, 1.0)));
}
