//! Activations of infinities and NaN: a NaN in a product is not hidden.

use sparse_core::{DType, Element, Matrix};
use sparse_gpu::{Activation, DenseMatmul, Epilogue, MatmulTypes};

use crate::support::gpu::{gpu, poisoned, read, submit};

/// What a product may come to. 0x7f8... and 0xff8... are signalling, 0xffc... is what processors of x86 make of `inf - inf`.
const ARGUMENTS: [u32; 12] = [
    0x7fc0_0000,
    0xffc0_0000,
    0x7f80_0001,
    0xff80_0001,
    0xffff_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x4000_0000,
    0xc000_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x0000_0000,
];

/// `activation` of every argument, as each kernel that applies one computes it: `[tokens, n_out]`, the same in a line.
fn activated<T: Element>(activation: Activation, n_out: usize, split_k: usize) -> Vec<Vec<f64>> {
    let x: Vec<f32> = ARGUMENTS.map(f32::from_bits).to_vec();
    let plan = |tokens| DenseMatmul {
        types: MatmulTypes {
            y: T::DTYPE,
            ..MatmulTypes::all(DType::F32)
        },
        epilogue: Epilogue {
            activation,
            ..Epilogue::default()
        },
        split_k: (split_k > 1).then_some(split_k),
        ..DenseMatmul::new(tokens, n_out, split_k)
    };
    let run = |x: &[f32]| {
        // The argument and zeros, each times 1.
        let rows: Vec<f32> = x
            .iter()
            .flat_map(|&x| std::iter::once(x).chain(std::iter::repeat_n(0.0, split_k - 1)))
            .collect();
        let x = gpu().upload(&Matrix::new(x.len(), split_k, rows)).unwrap();
        let w = Matrix::new(n_out, split_k, vec![1.0_f32; n_out * split_k]);
        let w = gpu().upload(&w).unwrap();
        let plan = gpu().plan_blocking(&plan(x.shape()[0])).unwrap();
        let mut y = poisoned::<T>(gpu(), &[x.shape()[0], n_out]);
        submit(gpu(), |pass| plan.record(pass, &w, &x, &mut y).unwrap());
        read::<T>(gpu(), &y)
    };
    // Many tokens together, and one by one.
    let mut lines: Vec<Vec<f64>> = run(&x).chunks(n_out).map(<[f64]>::to_vec).collect();
    for (line, &x) in lines.iter_mut().zip(&x) {
        line.extend(run(&[x]));
    }
    lines
}

fn check(activation: Activation, expected: impl Fn(f32, f64) -> bool) {
    // Four results at once, and one; the kernel that adds up parts of k; pairs of halves, both of the same token.
    let all = [
        activated::<f32>(activation, 8, 1),
        activated::<f32>(activation, 7, 1),
        activated::<f32>(activation, 8, 4),
        activated::<half::bf16>(activation, 8, 1),
        activated::<half::f16>(activation, 8, 1),
    ];
    for (at, lines) in all.iter().enumerate() {
        for (line, bits) in lines.iter().zip(ARGUMENTS) {
            let x = f32::from_bits(bits);
            // What f16 has no room for: SwiftShader stores an infinity as NaN, and changes the other half of its word.
            if at == 4 && x.abs() > 65_504.0 {
                continue;
            }
            for &y in line {
                assert!(
                    expected(x, y),
                    "{activation:?} of {x} ({bits:#x}) is {y}, {at}"
                );
            }
        }
    }
}

#[test]
fn relu_lets_nan_through() {
    check(Activation::Relu, |x, y| match x {
        x if x.is_nan() => y.is_nan(),
        x if x <= 0.0 => y == 0.0,
        2.0 => y == 2.0,
        _ => y > 3e38,
    });
}

#[test]
fn without_an_activation_everything_comes_through() {
    check(Activation::None, |x, y| match x {
        x if x.is_nan() => y.is_nan(),
        x if x.abs() > 3e38 => y.abs() > 3e38 && y.signum() == f64::from(x.signum()),
        x => y == f64::from(x),
    });
}

/// At minus infinity, where both are an infinity times zero and the references NaN, a device may give the infinity.
#[test]
fn gelu_and_silu_let_nan_through_and_are_nothing_finite_at_minus_infinity() {
    for activation in [Activation::Gelu, Activation::Silu] {
        check(activation, |x, y| match x {
            x if x.is_nan() => y.is_nan(),
            f32::NEG_INFINITY => y.is_nan() || y == f64::NEG_INFINITY,
            x if x > 3e38 => y > 3e38,
            // The tails end at zero.
            x if x < -3e38 => y.abs() < 1e6,
            0.0 => y == 0.0,
            _ => y.is_finite(),
        });
    }
}
