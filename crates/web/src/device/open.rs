//! A device of the visitor's fastest adapter.

use anyhow::Context;
use sparse_gpu::{Gpu, wgpu};

/// Opens the adapter that the browser takes for high performance, with WebGPU's default limits, and with timestamps where it has them.
///
/// # Errors
/// Where the browser has no adapter or refuses a device.
pub async fn open() -> anyhow::Result<Gpu> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance
        .request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        })
        .await
        .context("the browser offers no GPU adapter")?;
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("sparse"),
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            ..wgpu::DeviceDescriptor::default()
        })
        .await
        .context("the adapter gives no device; close other pages that use the GPU, or restart the browser")?;
    Ok(Gpu::from_device(device, queue)?)
}
