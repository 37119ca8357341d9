//! Problems beyond a device's limits: operands larger than one binding, grids larger than one dispatch, rows that cannot be bound.
//! The device has exactly WebGPU's default limits: 128 MiB a binding, 256 MiB a buffer, 65 535 workgroups a dimension.

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod dense_weights;
mod dispatches;
mod long_strips;
mod nm_weights;
mod refusals;
mod rounding;
mod uploads;

use sparse_core::bounds::compare;
use sparse_core::matmul::dense_matmul_tokens;
use sparse_core::{Element, Epilogue, MatmulReference};
use sparse_gpu::{DenseMatmul, Gpu, GpuTensor, MatmulPlan, Problem, Weights};
use support::gpu::{gpu, poisoned, submit};
use support::matmul::integers;

const BINDING: usize = 128 << 20;

/// Bytes of an operand beyond one binding and within one buffer.
const LARGE: usize = 200 << 20;

/// Runs the product and returns the rows of `tokens`.
fn multiply<'a>(
    problem: &impl Problem<Plan = MatmulPlan>,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    n_out: usize,
    tokens: &[usize],
) -> Vec<f64> {
    let gpu = gpu();
    let plan = gpu.plan_blocking(problem).unwrap();
    run::<f32>(gpu, &plan, w, x, n_out, tokens)
}

fn run<'a, Y: Element>(
    gpu: &Gpu,
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    n_out: usize,
    tokens: &[usize],
) -> Vec<f64> {
    let mut y = poisoned::<Y>(gpu, &[x.shape()[0], n_out]);
    submit(gpu, |pass| plan.record(pass, w, x, &mut y).unwrap());
    let y = gpu.read_blocking::<Y>(&y).unwrap();
    tokens
        .iter()
        .flat_map(|&t| &y.data()[t * n_out..(t + 1) * n_out])
        .map(|v| v.to_f64())
        .collect()
}

fn assert_equal(actual: Vec<f64>, expected: &MatmulReference) {
    assert!(expected.y.iter().any(|&y| y != 0.0), "nothing to compare");
    let comparison = compare(actual, &expected.y, &vec![0.0; expected.y.len()]);
    assert!(comparison.holds(), "{comparison}");
}

/// A dense product of small integers, compared at some tokens.
fn dense_equals_the_reference([tokens, n_out, k_in]: [usize; 3], sampled: &[usize]) {
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let problem = DenseMatmul::new(tokens, n_out, k_in);
    let actual = multiply(&problem, &gw, &gx, n_out, sampled);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), sampled).unwrap(),
    );
}
