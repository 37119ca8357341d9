//! The kernels of a plan. Where there are more tokens than can be bound at once: f32 sums of some at a time, which a second kernel finishes.

use std::sync::Arc;

use sparse_shaders::{Kernel, MatmulFinishKernel, Output, Storage};

use super::Sampled;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::problem::Explanation;
use crate::window::window_bytes;
use crate::{Error, Gpu, Tier};

/// A kernel that sums products at some elements.
pub(crate) trait SampledKernel: Kernel + Copy {
    /// The same kernel with another result: how it is stored, whether alpha is not 1, whether it is added to what is there.
    fn with_result(self, out: Storage, scaled: bool, accumulate: bool) -> Self;
}

/// The compiled kernels of a plan, for the tokens that they take at once.
#[derive(Debug)]
pub(crate) struct SampledKernels {
    /// Of all tokens, or of the first.
    pub(super) first: Arc<CompiledKernel>,
    pub(super) chunk_tokens: usize,
    /// Where there are more tokens, what their sums go through.
    pub(super) sums: Option<Sums>,
}

/// f32 sums of a run of units of the result, and the kernels behind the one for the first tokens.
#[derive(Debug)]
pub(super) struct Sums {
    /// Adds the products of further tokens.
    pub(super) more: Arc<CompiledKernel>,
    /// Makes the result of the sums: alpha, beta, storage type.
    pub(super) finish: Arc<CompiledKernel>,
    pub(super) buffer: wgpu::Buffer,
    /// Units that the buffer has room for.
    pub(super) units: usize,
}

impl SampledKernels {
    /// Scratch memory for sums is kept below this, unless one unit is larger; more units go one run after the other.
    pub(crate) const MOST_SUMS_BYTES: u64 = 64 << 20;

    /// Compiles `description` for `chunk_tokens` at a time. The f32 sums of a unit of the result, of which there are at most `units`, take `unit_bytes`, which
    /// the caller knows to fit a binding.
    pub(crate) async fn plan(
        gpu: &Gpu,
        sampled: &Sampled,
        chunk_tokens: usize,
        description: impl SampledKernel,
        (units, unit_bytes): (u64, u64),
    ) -> Result<Self, Error> {
        let out = storage(sampled.types.w);
        let (scaled, accumulate) = (sampled.alpha != 1.0, sampled.beta != 0.0);
        if chunk_tokens >= sampled.tokens {
            let kernel = description.with_result(out, scaled, accumulate);
            return Ok(Self {
                first: gpu.compile(&kernel).await?,
                chunk_tokens,
                sums: None,
            });
        }
        let output = Output::of(out).scaled_and_added(scaled, accumulate);
        let at_once = Self::MOST_SUMS_BYTES.min(window_bytes(gpu)) / unit_bytes.max(1);
        let units = at_once.clamp(1, units.max(1));
        let [first, more] =
            [false, true].map(|adds| description.with_result(Storage::F32, false, adds));
        let usage = wgpu::BufferUsages::STORAGE;
        let sums = Sums {
            more: gpu.compile(&more).await?,
            finish: gpu.compile(&MatmulFinishKernel { output }).await?,
            buffer: gpu.allocate("f32 sums", units * unit_bytes, usage)?,
            units: usize::try_from(units).unwrap_or(usize::MAX),
        };
        Ok(Self {
            first: gpu.compile(&first).await?,
            chunk_tokens,
            sums: Some(sums),
        })
    }

    pub(crate) fn explain(
        &self,
        gpu: &Gpu,
        operation: &'static str,
        tile: String,
        mut notes: Vec<String>,
    ) -> Explanation {
        if self.sums.is_some() {
            notes.push(format!(
                "{} tokens at a time, as many as can be bound and as one loop runs on this device; their f32 sums are finished by a second kernel",
                self.chunk_tokens
            ));
        }
        Explanation {
            operation,
            kernel: self.first.name().to_owned(),
            tile,
            tile_origin: None,
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: self.sums.as_ref().map_or(0, |sums| sums.buffer.size()),
            notes,
        }
    }
}
