//! The device of the browser, and what is read back from it against its bounds.

use sparse_gpu::sparse_core::bounds::compare;
use sparse_gpu::{Error, Gpu, GpuTensor, wgpu};

pub(crate) async fn open() -> Gpu {
    let gpu = Gpu::new().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(gpu.adapter().backend, "webgpu", "not the browser's own");
    gpu
}

pub(crate) fn submit(
    gpu: &Gpu,
    record: impl FnOnce(&mut wgpu::ComputePass<'_>) -> Result<(), Error>,
) {
    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    record(&mut pass).unwrap_or_else(|error| panic!("{error}"));
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
}

/// An f32 tensor full of NaN, so that an element that is not written cannot pass for right.
pub(crate) fn poisoned(gpu: &Gpu, shape: &[usize]) -> GpuTensor {
    let nan = vec![f32::NAN; shape.iter().product()];
    let nan = sparse_gpu::sparse_core::Tensor::try_new(shape.to_vec(), nan).unwrap();
    gpu.upload(&nan).unwrap()
}

pub(crate) async fn read(gpu: &Gpu, tensor: &GpuTensor) -> Vec<f64> {
    let read = gpu.read::<f32>(tensor).await.unwrap();
    read.data().iter().map(|&value| f64::from(value)).collect()
}

pub(crate) fn assert_within(what: &str, actual: Vec<f64>, expected: &[f64], bounds: &[f64]) {
    let comparison = compare(actual, expected, bounds);
    assert!(comparison.holds(), "{what}: {comparison}");
}
