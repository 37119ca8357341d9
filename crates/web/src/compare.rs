//! One row: planned, run once, checked against the CPU reference, timed against its dense twin.

pub mod attention;
pub mod product;

use sparse_gpu::{Gpu, GpuTensor};

/// Fills an f32 tensor with NaN, so that an element that is not written cannot pass for right.
fn poison(gpu: &Gpu, tensor: &GpuTensor) {
    let nan = vec![f32::NAN; tensor.len()];
    gpu.queue()
        .write_buffer(tensor.buffer(), tensor.offset(), bytemuck::cast_slice(&nan));
}
