//! The device that everything runs on.

use std::sync::{Arc, Mutex};

use sparse_shaders::{MatrixSize, Words};

use crate::adapter::{AdapterSummary, choose};
use crate::cooperative;
use crate::dispatch::FMAS_PER_DISPATCH;
use crate::kernel_cache::KernelCache;
use crate::problem::Problem;
use crate::{AdapterClass, Error, TileTable};

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

/// A device and its queue, with the kernels compiled so far. Clones share them.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// Multiply-adds of one dispatch, at most.
    longest_dispatch: u64,
    /// Tiles that plans prefer.
    tiles: Option<Arc<TileTable>>,
    /// What the driver keeps of compiled pipelines, where the program asked for it.
    pipeline_cache: Option<wgpu::PipelineCache>,
    /// Cooperative matrices that are being tested, and only plans of this clone may use.
    trial: Option<MatrixSize>,
    /// What becomes of the text of kernels on cooperative matrices, for tests of the self-test.
    #[cfg(test)]
    pub(crate) mutation: Option<fn(&str) -> String>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    summary: AdapterSummary,
    limits: wgpu::Limits,
    /// In which kernels move vectors of elements.
    words: Words,
    kernels: KernelCache,
    /// What is bound where an operand has no elements.
    empty: wgpu::Buffer,
    /// Shapes of cooperative matrices that the adapter lists, where it is known.
    listed_matrices: Option<Vec<wgpu::CooperativeMatrixProperties>>,
    cooperative: Mutex<cooperative::State>,
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
    /// [`Error::NoAdapter`], [`Error::NoSuchAdapter`] with the names there are, [`Error::Device`], [`Error::Unavailable`] where the adapter lacks
    /// what the options ask for or has less than WebGPU's default limits.
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
    /// `wgpu::Features::SHADER_INT64` for the device; with 32 bits results are the same and take longer (`docs/TUNING.md`). GPUs need no feature.
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
            longest_dispatch: FMAS_PER_DISPATCH,
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
                empty,
                listed_matrices,
                cooperative: Mutex::default(),
            }),
        })
    }

    /// Chooses kernels and tiles for `problem`, compiles them and allocates their scratch memory.
    ///
    /// # Errors
    /// [`Error::InvalidProblem`], [`Error::XAttention`], [`Error::Unavailable`], [`Error::OutOfMemory`], [`Error::Kernel`].
    pub async fn plan<P: Problem>(&self, problem: &P) -> Result<P::Plan, Error> {
        problem.plan(self).await
    }

    /// The same device, for plans whose dispatches hold at most about this many multiply-adds each (one workgroup runs whole in any
    /// case). The default, 5e10, is a tenth of a second at 1 TFLOP/s; lower it where a slow device also has to draw a desktop.
    #[must_use]
    pub fn with_longest_dispatch(&self, multiply_adds: u64) -> Self {
        Self {
            longest_dispatch: multiply_adds,
            ..self.clone()
        }
    }

    pub(crate) fn longest_dispatch(&self) -> u64 {
        self.longest_dispatch
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Name, backend, driver and abilities of the adapter, limits as the device was created with.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.inner.summary
    }

    /// The limits that the device was created with.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// The make of the adapter, which decides the default tiles.
    pub fn class(&self) -> AdapterClass {
        self.inner.summary.class
    }

    /// The words in which kernels move vectors of elements; those on cooperative matrices move words of 32 bits in any case.
    pub fn words(&self) -> Words {
        self.inner.words
    }

    /// Whether the driver runs shaders on the processor.
    pub fn is_software(&self) -> bool {
        self.class().is_software()
    }

    /// The same device, for plans that may use cooperative matrices of this size, which are to be tested.
    pub(crate) fn trial(&self, size: MatrixSize) -> Self {
        Self {
            trial: Some(size),
            ..self.clone()
        }
    }

    pub(crate) fn trial_size(&self) -> Option<MatrixSize> {
        self.trial
    }

    pub(crate) fn listed_matrices(&self) -> Option<&[wgpu::CooperativeMatrixProperties]> {
        self.inner.listed_matrices.as_deref()
    }

    pub(crate) fn cooperative_state(&self) -> &Mutex<cooperative::State> {
        &self.inner.cooperative
    }

    pub(crate) fn empty(&self) -> &wgpu::Buffer {
        &self.inner.empty
    }

    /// The kernels compiled so far; clones share them.
    pub(crate) fn kernels(&self) -> &KernelCache {
        &self.inner.kernels
    }

    pub(crate) fn tiles(&self) -> Option<&TileTable> {
        self.tiles.as_deref()
    }

    pub(crate) fn with_table(&self, tiles: Option<Arc<TileTable>>) -> Self {
        Self {
            tiles,
            ..self.clone()
        }
    }

    pub(crate) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.pipeline_cache.as_ref()
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn with_cache(&self, cache: wgpu::PipelineCache) -> Self {
        Self {
            pipeline_cache: Some(cache),
            ..self.clone()
        }
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

fn check_limits(limits: &wgpu::Limits) -> Result<(), Error> {
    let needs = wgpu::Limits::defaults();
    let rules = [
        (
            "max_storage_buffers_per_shader_stage",
            limits.max_storage_buffers_per_shader_stage,
            needs.max_storage_buffers_per_shader_stage,
        ),
        (
            "max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size,
            needs.max_compute_workgroup_storage_size,
        ),
        (
            "max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
            needs.max_compute_invocations_per_workgroup,
        ),
        (
            "max_compute_workgroup_size_x",
            limits.max_compute_workgroup_size_x,
            needs.max_compute_workgroup_size_x,
        ),
        (
            "max_compute_workgroups_per_dimension",
            limits.max_compute_workgroups_per_dimension,
            needs.max_compute_workgroups_per_dimension,
        ),
    ];
    let bindings = limits.max_storage_buffer_binding_size;
    if bindings < needs.max_storage_buffer_binding_size {
        return Err(too_little(
            "max_storage_buffer_binding_size",
            bindings,
            needs.max_storage_buffer_binding_size,
        ));
    }
    for (name, has, needs) in rules {
        if has < needs {
            return Err(too_little(name, u64::from(has), u64::from(needs)));
        }
    }
    Ok(())
}

fn too_little(name: &str, has: u64, needs: u64) -> Error {
    Error::Unavailable {
        what: "sharing a device".to_owned(),
        needs: format!("{name} >= {needs}"),
        has: has.to_string(),
        hint: "request wgpu::Limits::defaults() or better in the DeviceDescriptor".to_owned(),
    }
}
