//! The device that everything runs on.

mod limits;
mod open;

pub use open::GpuOptions;

use std::sync::{Arc, Mutex};

use sparse_shaders::{MatrixSize, Words};

use crate::adapter::AdapterSummary;
use crate::cooperative;
use crate::kernel_cache::KernelCache;
use crate::memory::Staged;
use crate::problem::Problem;
use crate::uniforms::UniformCache;
use crate::{AdapterClass, Error, TileTable};

/// A device and its queue, with the kernels compiled so far. Clones share them.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
    /// Multiply-adds of one dispatch, at most.
    longest_dispatch: u64,
    /// The class that the program says the adapter is of.
    class: Option<AdapterClass>,
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
    uniforms: UniformCache,
    /// Uploads since the last submission made for them.
    staged: Staged,
    /// What is bound where an operand has no elements.
    empty: wgpu::Buffer,
    /// Shapes of cooperative matrices that the adapter lists, where it is known.
    listed_matrices: Option<Vec<wgpu::CooperativeMatrixProperties>>,
    cooperative: Mutex<cooperative::State>,
}

impl Gpu {
    /// Chooses kernels and tiles for `problem`, compiles them and allocates their scratch memory.
    ///
    /// Drivers of native platforms compile while they are called: there the thread that polls the future compiles, for up to seconds where a kernel is
    /// new. The future is `Send`; [`Gpu::warm_up`] compiles ahead, on threads of its own.
    ///
    /// # Errors
    /// [`Error::InvalidProblem`], [`Error::XAttention`], [`Error::Unavailable`], [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Kernel`].
    pub async fn plan<P: Problem>(&self, problem: &P) -> Result<P::Plan, Error> {
        problem.plan(self).await
    }

    /// The same device, for plans whose dispatches hold at most about this many multiply-adds each (one workgroup runs whole in any
    /// case). The default is 2e11 on a discrete GPU, 0.4 seconds at 1 TFLOP/s, and 5e10 elsewhere; lower it where a slow device also has to draw
    /// a desktop, raise it where a large one has nobody to wait for.
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

    /// Name, backend and driver of the adapter; features and limits are those that the device was created with, which [`crate::adapters`] tells of
    /// the adapter itself.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.inner.summary
    }

    /// The limits that the device was created with.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// The make of the adapter, which decides the default tiles: what [`Gpu::with_class`] said, else what the adapter tells.
    pub fn class(&self) -> AdapterClass {
        self.class.unwrap_or(self.inner.summary.class)
    }

    /// The same device, for plans with the defaults of `class`, where a program knows better than the adapter tells. In a browser wgpu does not
    /// learn the make; the page can, of `GPUAdapterInfo` ([`AdapterClass::of_web_vendor`]). Defaults of another make compute the same results within
    /// the same bounds, slower.
    ///
    /// ```no_run
    /// use sparse_gpu::{AdapterClass, Gpu};
    ///
    /// let gpu = Gpu::new_blocking()?.with_class(AdapterClass::of_web_vendor("nvidia"));
    /// assert_eq!(gpu.class(), AdapterClass::Nvidia);
    /// # Ok::<(), sparse_gpu::Error>(())
    /// ```
    #[must_use]
    pub fn with_class(&self, class: AdapterClass) -> Self {
        Self {
            class: Some(class),
            ..self.clone()
        }
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

    pub(crate) fn staged(&self) -> &Staged {
        &self.inner.staged
    }

    pub(crate) fn empty(&self) -> &wgpu::Buffer {
        &self.inner.empty
    }

    /// The kernels compiled so far; clones share them.
    pub(crate) fn kernels(&self) -> &KernelCache {
        &self.inner.kernels
    }

    /// The uniform buffers of dispatches recorded so far; clones share them.
    pub(crate) fn uniforms(&self) -> &UniformCache {
        &self.inner.uniforms
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
