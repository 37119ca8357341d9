//! Listing adapters and choosing one by name, without panics.

use crate::{AdapterClass, Error};

/// What a machine's adapter is, for lists and reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// The adapter's name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, ...
    pub backend: String,
    /// Name and version of the driver, as far as the backend tells.
    pub driver: String,
    /// The make, which decides the default tiles.
    pub class: AdapterClass,
    /// Discrete, integrated, virtual, or a driver that runs on the processor.
    pub device_type: wgpu::DeviceType,
    /// Smallest and largest number of invocations of a subgroup.
    pub subgroup_sizes: (u32, u32),
    /// Whether shaders can compute in f16: of a device, whether it was created with that feature. No kernel needs it: half-width storage works everywhere.
    pub shader_f16: bool,
    /// Whether passes can be timed on the device: of a device, whether it was created with that feature.
    pub timestamps: bool,
    /// Largest storage binding, bytes.
    pub max_storage_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Shapes of cooperative matrices, `MxNxK input->accumulator`. Known of adapters and of devices that
    /// [`crate::Gpu::open`] made; a program's own device does not tell.
    pub cooperative_matrices: Vec<String>,
}

impl AdapterSummary {
    pub(crate) fn of_info(
        info: &wgpu::AdapterInfo,
        features: wgpu::Features,
        limits: &wgpu::Limits,
    ) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
            class: AdapterClass::of(info),
            device_type: info.device_type,
            subgroup_sizes: (info.subgroup_min_size, info.subgroup_max_size),
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            max_storage_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            cooperative_matrices: Vec::new(),
        }
    }

    fn of(adapter: &wgpu::Adapter) -> Self {
        let cooperative_matrices = adapter
            .cooperative_matrix_properties()
            .iter()
            .map(crate::cooperative::label)
            .collect();
        let summary = Self::of_info(&adapter.get_info(), adapter.features(), &adapter.limits());
        Self {
            cooperative_matrices,
            ..summary
        }
    }
}

/// All adapters of this machine, the most capable kind first.
pub async fn adapters() -> Vec<AdapterSummary> {
    enumerate().await.iter().map(AdapterSummary::of).collect()
}

/// As [`adapters`], waiting.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters_blocking() -> Vec<AdapterSummary> {
    pollster::block_on(adapters())
}

const BACKENDS: wgpu::Backends = wgpu::Backends::PRIMARY;

/// One instance for all devices of the process: wgpu numbers buffers per instance, and would take one of another instance's device for its own
/// of the same number without a word.
#[cfg(not(target_arch = "wasm32"))]
fn instance() -> wgpu::Instance {
    static INSTANCE: std::sync::OnceLock<wgpu::Instance> = std::sync::OnceLock::new();
    INSTANCE.get_or_init(new_instance).clone()
}

/// A browser tells its devices apart itself.
#[cfg(target_arch = "wasm32")]
fn instance() -> wgpu::Instance {
    new_instance()
}

fn new_instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = BACKENDS;
    wgpu::Instance::new(descriptor)
}

async fn enumerate() -> Vec<wgpu::Adapter> {
    let mut adapters = instance().enumerate_adapters(BACKENDS).await;
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

/// The first adapter whose name contains `wanted`, ignoring case; without a wish the most capable kind.
pub(crate) async fn choose(wanted: Option<&str>) -> Result<wgpu::Adapter, Error> {
    let mut adapters = enumerate().await;
    if adapters.is_empty() {
        return Err(Error::NoAdapter {
            backends: format!("{BACKENDS:?}"),
        });
    }
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let position = match wanted {
        None => Some(0),
        Some(part) => names
            .iter()
            .position(|n| n.to_lowercase().contains(&part.to_lowercase())),
    };
    match position {
        Some(i) => Ok(adapters.swap_remove(i)),
        None => Err(Error::NoSuchAdapter {
            asked: wanted.unwrap_or_default().to_owned(),
            found: names,
        }),
    }
}
