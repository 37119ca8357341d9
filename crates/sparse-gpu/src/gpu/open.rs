//! Opening a device, and sharing one.

use std::sync::{Arc, Mutex};

use sparse_shaders::Words;

use super::limits::check_limits;
use super::{Gpu, Inner};
use crate::adapter::{AdapterSummary, choose};
use crate::dispatch::default_longest_dispatch;
use crate::kernel_cache::KernelCache;
use crate::memory::Staged;
use crate::uniforms::UniformCache;
use crate::{AdapterClass, Error, cooperative};

/// How [`Gpu::open`] chooses an adapter and what it asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Part of the adapter's name, ignoring case; none: the most capable kind.
    pub adapter: Option<String>,
    /// Ask for exactly WebGPU's default limits, however much better the adapter is.
    pub default_limits: bool,
    /// Ask for what [`Gpu::with_pipeline_cache`] needs, where the adapter has it.
    pub pipeline_cache: bool,
    /// Ask for what kernels on cooperative matrices need, where the adapter has it: an experimental feature of wgpu, which a shader can break
    /// memory safety with. Plans use them only after [`Gpu::enable_cooperative_matrices`], which says why not where the adapter lacks something.
    pub cooperative_matrix: bool,
    /// The words in which kernels move vectors of elements; none: 64 bits where the driver runs shaders on the processor and has 64-bit
    /// integers, else 32. Results are the same to the bit. Kernels on cooperative matrices move words of 32 bits whatever is asked.
    pub words: Option<Words>,
}

impl Gpu {
    /// A device of the most capable adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::Device`].
    pub async fn new() -> Result<Self, Error> {
        Self::open(&GpuOptions::default()).await
    }

    /// A device of the adapter that `options` choose.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoSuchAdapter`] with the names there are, [`Error::Device`] where the adapter gives no device, as where it
    /// has less than WebGPU's default limits, [`Error::Unavailable`] where it lacks what the options ask for.
    pub async fn open(options: &GpuOptions) -> Result<Self, Error> {
        let adapter = choose(options.adapter.as_deref()).await?;
        let mut limits = wgpu::Limits::defaults();
        if !options.default_limits {
            let best = adapter.limits();
            limits.max_buffer_size = best.max_buffer_size.max(limits.max_buffer_size);
            limits.max_storage_buffer_binding_size = best
                .max_storage_buffer_binding_size
                .max(limits.max_storage_buffer_binding_size);
        }
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY;
        wanted.set(wgpu::Features::PIPELINE_CACHE, options.pipeline_cache);
        let matrices =
            options.cooperative_matrix && adapter.features().contains(cooperative::FEATURES);
        wanted.set(cooperative::FEATURES, matrices);
        let words = words(options.words, &adapter)?;
        wanted.set(wgpu::Features::SHADER_INT64, words == Words::Bits64);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("sparse"),
            required_features: adapter.features() & wanted,
            required_limits: limits,
            experimental_features: experimental(matrices),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            adapter
                .request_device(&descriptor)
                .await
                .map_err(|e| Error::Device {
                    adapter: adapter.get_info().name,
                    message: e.to_string(),
                })?;
        Self::new_of(
            device,
            queue,
            words,
            Some(adapter.cooperative_matrix_properties()),
        )
    }

    /// Shares a device that the program already has. Nothing is installed on it: no error handler, no callback.
    ///
    /// On a driver that runs shaders on the processor, kernels move words of 64 bits only where the program has requested
    /// `wgpu::Features::SHADER_INT64` for the device; with 32 bits results are the same and take longer
    /// (`docs/tuning/llvmpipe.md`). GPUs need no feature.
    ///
    /// ```no_run
    /// # use sparse_gpu::{Gpu, wgpu};
    /// # async fn share(adapter: wgpu::Adapter) -> Result<Gpu, Box<dyn std::error::Error>> {
    /// let descriptor = wgpu::DeviceDescriptor {
    ///     required_features: adapter.features() & wgpu::Features::SHADER_INT64,
    ///     ..Default::default()
    /// };
    /// let (device, queue) = adapter.request_device(&descriptor).await?;
    /// let gpu = Gpu::from_device(device, queue)?;
    /// # Ok(gpu)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the device was created with less than WebGPU's default limits.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self, Error> {
        let words = default_words(&device.adapter_info(), device.features());
        Self::new_of(device, queue, words, None)
    }

    fn new_of(
        device: wgpu::Device,
        queue: wgpu::Queue,
        words: Words,
        listed_matrices: Option<Vec<wgpu::CooperativeMatrixProperties>>,
    ) -> Result<Self, Error> {
        let limits = device.limits();
        check_limits(&limits)?;
        let summary = AdapterSummary {
            cooperative_matrices: listed_matrices
                .iter()
                .flatten()
                .map(cooperative::label)
                .collect(),
            ..AdapterSummary::of_info(&device.adapter_info(), device.features(), &limits)
        };
        let empty = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("sparse: empty operand"),
            size: 256,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Ok(Self {
            longest_dispatch: default_longest_dispatch(summary.device_type),
            class: None,
            tiles: None,
            pipeline_cache: None,
            trial: None,
            #[cfg(test)]
            mutation: None,
            inner: Arc::new(Inner {
                device,
                queue,
                summary,
                limits,
                words,
                kernels: KernelCache::default(),
                uniforms: UniformCache::default(),
                staged: Staged::default(),
                empty,
                listed_matrices,
                cooperative: Mutex::default(),
            }),
        })
    }
}

/// The words that the caller asks for, or those that suit the adapter.
fn words(wanted: Option<Words>, adapter: &wgpu::Adapter) -> Result<Words, Error> {
    let features = adapter.features();
    match wanted {
        None => Ok(default_words(&adapter.get_info(), features)),
        Some(Words::Bits64) if !features.contains(wgpu::Features::SHADER_INT64) => {
            Err(Error::Unavailable {
                what: "kernels that move words of 64 bits".to_owned(),
                needs: "64-bit integers in shaders (wgpu's SHADER_INT64)".to_owned(),
                has: format!("an adapter without them, {}", adapter.get_info().name),
                hint: "leave GpuOptions::words at None, or ask for Words::Bits32".to_owned(),
            })
        }
        Some(words) => Ok(words),
    }
}

/// Drivers that run shaders on the processor take a load of several words one word after the other, and pay for each as for one load of a GPU.
fn default_words(info: &wgpu::AdapterInfo, features: wgpu::Features) -> Words {
    let software = AdapterClass::of(info).is_software();
    if software && features.contains(wgpu::Features::SHADER_INT64) {
        Words::Bits64
    } else {
        Words::Bits32
    }
}

/// The token without which wgpu gives no experimental features.
fn experimental(enabled: bool) -> wgpu::ExperimentalFeatures {
    if !enabled {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: wgpu warns that experimental features may be unsound: what a shader does with them is not checked as everything else is. The
    // caller has asked for this one, cooperative matrices. Of our kernels only `matmul_cooperative.wgsl` uses it: with a shape that the adapter
    // lists, in uniform control flow, on workgroups of whole subgroups, and loading and storing inside of buffers whose sizes planning has
    // computed. Before any plan uses it, the self-test has compared what it computes on this device.
    #[expect(unsafe_code, reason = "how wgpu has experimental features asked for")]
    unsafe {
        wgpu::ExperimentalFeatures::enabled()
    }
}
