//! The device that the tests run on.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::sync::OnceLock;

use sparse_core::{DType, Element, Tensor};
use sparse_gpu::{Gpu, GpuOptions, GpuTensor, wgpu};

/// A device with exactly WebGPU's default limits, of the adapter that `SPARSE_ADAPTER` names (part of a name) or the most capable one.
///
/// # Panics
/// Without an adapter: a suite that runs nothing must not pass.
pub(crate) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let adapter = std::env::var("SPARSE_ADAPTER")
            .ok()
            .filter(|name| !name.is_empty());
        let options = GpuOptions {
            adapter,
            default_limits: true,
            ..GpuOptions::default()
        };
        let gpu = Gpu::open_blocking(&options).unwrap_or_else(|e| panic!("{e}"));
        println!("adapter: {} ({})", gpu.adapter().name, gpu.adapter().driver);
        gpu
    })
}

/// Records `f` into one pass and submits it; what wgpu complains about fails the test.
pub(crate) fn submit(gpu: &Gpu, f: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    f(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    gpu.queue().submit([encoder.finish()]);
    if let Some(error) = pollster::block_on(scope.pop()) {
        panic!("{error}");
    }
}

/// A tensor full of NaN: what an operation leaves out stays visible.
pub(crate) fn poisoned<T: Element>(gpu: &Gpu, shape: &[usize]) -> GpuTensor {
    let data = vec![T::from_f32(f32::NAN); shape.iter().product()];
    gpu.upload(&Tensor::new(shape.to_vec(), data))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The tensor's numbers.
pub(crate) fn read<T: Element>(gpu: &Gpu, tensor: &GpuTensor) -> Vec<f64> {
    let tensor = gpu
        .read_blocking::<T>(tensor)
        .unwrap_or_else(|e| panic!("{e}"));
    tensor.data().iter().map(|x| x.to_f64()).collect()
}

/// All storage types, as a compile-time list: `for_each_dtype!(T => { body using T })`.
#[macro_export]
macro_rules! for_each_dtype {
    ($t:ident => $body:block) => {{
        {
            type $t = f32;
            $body
        }
        {
            type $t = half::f16;
            $body
        }
        {
            type $t = half::bf16;
            $body
        }
    }};
}

/// The storage type's name, for messages.
pub(crate) fn name<T: Element>() -> &'static str {
    let dtype: DType = T::DTYPE;
    dtype.name()
}
