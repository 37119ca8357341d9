//! One row: planned, run once, checked against the CPU reference, timed against its dense twin.

pub mod attention;
#[path = "../../bench/src/compare/attention/check.rs"]
#[allow(
    dead_code,
    reason = "the comparison on native platforms also checks other libraries"
)]
mod attention_check;
pub mod product;
#[path = "../../bench/src/compare/check.rs"]
#[allow(
    dead_code,
    reason = "the comparison on native platforms also names what is wrong"
)]
mod product_check;
#[path = "../../bench/src/compare/attention/score_rows.rs"]
mod score_rows;

pub use attention_check::Checks;

use sparse_gpu::{Gpu, GpuTensor};

/// Fills an f32 tensor with NaN, so that an element that is not written cannot pass for right.
fn poison(gpu: &Gpu, tensor: &GpuTensor) {
    let nan = vec![f32::NAN; tensor.len()];
    gpu.queue()
        .write_buffer(tensor.buffer(), tensor.offset(), bytemuck::cast_slice(&nan));
}
