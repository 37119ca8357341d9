//! An adapter in the words of the records.

use sparse_gpu::{Gpu, wgpu};

use crate::presets::SizeClass;

/// The adapter as every record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterWords {
    /// Name of the adapter.
    pub adapter: String,
    /// Driver and its version.
    pub driver: String,
    /// Graphics API.
    pub backend: String,
}

impl AdapterWords {
    /// Of an open device.
    pub fn of(gpu: &Gpu) -> Self {
        let summary = gpu.adapter();
        Self {
            adapter: summary.name.clone(),
            driver: summary.driver.clone(),
            backend: summary.backend.clone(),
        }
    }
}

/// How large the shapes of an adapter may be.
pub fn class_of(device_type: wgpu::DeviceType) -> SizeClass {
    match device_type {
        wgpu::DeviceType::Cpu => SizeClass::Software,
        wgpu::DeviceType::DiscreteGpu => SizeClass::Discrete,
        // Unknown and virtual adapters get shapes that no adapter chokes on.
        _ => SizeClass::Integrated,
    }
}
