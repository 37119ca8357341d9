//! Subnormal numbers and infinities.

use half::f16;
use sparse_core::matmul::dense_matmul;
use sparse_core::{DType, Matrix, Nm};
use sparse_gpu::{DenseMatmul, MatmulTypes, Tier};

use crate::support::gpu::{gpu, matrices, poisoned, read, submit};
use crate::support::matmul::Format;
use crate::{case, check_or_refused};

/// x is subnormal, w is large: nothing may be flushed.
#[test]
fn subnormal_activations_count() {
    let x: Vec<f16> = (0..16 * 32).map(|i| f16::from_bits(1 + i % 7)).collect();
    let w: Vec<f16> = (0..16 * 32)
        .map(|i| f16::from_f32((i % 11) as f32 * 4096.0))
        .collect();
    let (x, w) = (Matrix::new(16, 32, x), Matrix::new(16, 32, w));
    let reference = dense_matmul(&x, &w, &sparse_core::Epilogue::default()).unwrap();
    assert!(reference.y.iter().any(|&y| y > 1e-3));
    let problem = DenseMatmul {
        types: MatmulTypes {
            y: DType::F32,
            ..MatmulTypes::all(DType::F16)
        },
        tier: Tier::CooperativeMatrix,
        ..DenseMatmul::new(16, 16, 32)
    };
    let Some(gpu) = matrices() else {
        assert!(gpu().plan_blocking(&problem).is_err());
        return;
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let (x, w) = (gpu.upload(&x).unwrap(), gpu.upload(&w).unwrap());
    let mut y = poisoned::<f32>(gpu, &[16, 16]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f32>(gpu, &y), reference.y);
}

/// A weight that is not stored never meets x: an infinity there does not leak.
#[test]
fn infinities_do_not_leak_through_padding() {
    let Some(gpu) = matrices() else {
        check_or_refused::<f32>(&case(Format::nm("16:2:8"), [16, 16, 30]));
        return;
    };
    // Of 30 columns one is infinite in x; the only strip keeps the columns that are large, and that is not among them.
    let w: Vec<f16> = (0..20 * 30)
        .map(|i| f16::from_f32(if i % 30 % 8 < 2 { 2.0 } else { 0.5 }))
        .collect();
    let pattern: Nm = "32:2:8".parse().unwrap();
    let w = sparse_core::NmMatrix::prune(&Matrix::new(20, 30, w), pattern).unwrap();
    let x: Vec<f16> = (0..9 * 30)
        .map(|i| {
            if i % 30 == 13 {
                f16::INFINITY
            } else {
                f16::ONE
            }
        })
        .collect();
    let x = gpu.upload(&Matrix::new(9, 30, x)).unwrap();
    let w = gpu.upload_nm(&w).unwrap();
    let problem = sparse_gpu::NmMatmul {
        types: MatmulTypes {
            y: DType::F32,
            ..MatmulTypes::all(DType::F16)
        },
        tier: Tier::CooperativeMatrix,
        ..sparse_gpu::NmMatmul::new(9, 20, 30, pattern)
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu, &[9, 20]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f32>(gpu, &y), vec![16.0; 9 * 20]);
}

/// What a step reads behind the last k repeats the four before it, in both operands: an infinity among them must meet nothing but itself.
#[test]
fn infinities_of_the_last_k_stay_infinite() {
    let Some(gpu) = matrices() else {
        check_or_refused::<f32>(&case(Format::nm("16:2:8"), [16, 16, 16]));
        return;
    };
    let (tokens, n_out) = (9, 20);
    let types = MatmulTypes {
        y: DType::F32,
        ..MatmulTypes::all(DType::F16)
    };
    // The first weight, too: it is what is loaded in the place of weights that do not exist.
    let (row, token) = (0, 2);
    let one_infinite = |rows: usize, k_in: usize, at: usize| {
        let ones = (0..rows * k_in).map(|i| {
            if i / k_in == at && [0, k_in - 1].contains(&(i % k_in)) {
                f16::INFINITY
            } else {
                f16::ONE
            }
        });
        Matrix::new(rows, k_in, ones.collect::<Vec<f16>>())
    };
    let expected = |kept: usize| {
        let sums = (0..tokens * n_out).map(|i| {
            if i / n_out == token || i % n_out == row {
                f64::INFINITY
            } else {
                kept as f64
            }
        });
        sums.collect::<Vec<f64>>()
    };
    // Rows that load four at once and one by one.
    for k_in in [20, 19] {
        let x = gpu.upload(&one_infinite(tokens, k_in, token)).unwrap();
        let w = gpu.upload(&one_infinite(n_out, k_in, row)).unwrap();
        let problem = DenseMatmul {
            types,
            tier: Tier::CooperativeMatrix,
            ..DenseMatmul::new(tokens, n_out, k_in)
        };
        let plan = gpu.plan_blocking(&problem).unwrap();
        let mut y = poisoned::<f32>(gpu, &[tokens, n_out]);
        submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
        assert_eq!(read::<f32>(gpu, &y), expected(k_in), "k_in = {k_in}");
    }
    // Two of eight, the last ones: the row with the infinity decides no less than the others.
    let k_in = 16;
    let mut w = one_infinite(n_out, k_in, row);
    for (i, weight) in w.data_mut().iter_mut().enumerate() {
        if i % 8 < 6 {
            *weight = f16::from_f32(0.5);
        }
    }
    let pattern: Nm = "32:2:8".parse().unwrap();
    let w = sparse_core::NmMatrix::prune(&w, pattern).unwrap();
    let x = gpu.upload(&one_infinite(tokens, k_in, token)).unwrap();
    let w = gpu.upload_nm(&w).unwrap();
    let problem = sparse_gpu::NmMatmul {
        types,
        tier: Tier::CooperativeMatrix,
        ..sparse_gpu::NmMatmul::new(tokens, n_out, k_in, pattern)
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu, &[tokens, n_out]);
    submit(gpu, |pass| plan.record(pass, &w, &x, &mut y).unwrap());
    assert_eq!(read::<f32>(gpu, &y), expected(4));
}
