//! Bad input: every error of the GPU crate says what was asked and what to do, and nothing is recorded; numbers and memory that no operation may touch
//! are not touched.

#[path = "../support/mod.rs"]
mod support;

mod devices;
mod memory;
mod operands;
mod problems;
mod results;
mod special_values;
mod views;

use sparse_core::synthetic::normal_matrix;
use sparse_core::{DType, Matrix};
use sparse_gpu::{Extras, GpuTensor, MatmulPlan, Weights};
use support::gpu::{gpu, submit};

fn matrix(rows: usize, cols: usize) -> Matrix<f32> {
    normal_matrix(rows, cols, 1).unwrap()
}

fn upload(rows: usize, cols: usize) -> GpuTensor {
    gpu().upload(&matrix(rows, cols)).unwrap()
}

/// What recording says.
fn refused<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    y: &GpuTensor,
) -> String {
    refused_with(plan, w, x, None, y)
}

fn refused_with<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &GpuTensor,
    bias: Option<&GpuTensor>,
    y: &GpuTensor,
) -> String {
    let mut message = String::new();
    submit(gpu(), |pass| {
        let result = plan.record_with(
            pass,
            w,
            x,
            Extras {
                bias,
                ..Extras::default()
            },
            &mut y.clone(),
        );
        message = result.unwrap_err().to_string();
    });
    message
}

fn product<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    x: &Matrix<f32>,
    n_out: usize,
) -> Vec<f32> {
    let x = gpu().upload(x).unwrap();
    let mut y = gpu()
        .empty_tensor(&[x.shape()[0], n_out], DType::F32)
        .unwrap();
    submit(gpu(), |pass| plan.record(pass, w, &x, &mut y).unwrap());
    gpu().read_blocking::<f32>(&y).unwrap().into_parts().1
}
