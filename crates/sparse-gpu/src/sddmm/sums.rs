//! The kernels of a plan. Where there are more tokens than can be bound at once: f32 sums of some at a time, which a second kernel finishes.

use std::sync::Arc;

use sparse_shaders::{Kernel, MatmulFinishKernel, Output, SampledResult};

use super::Sampled;
use super::packed::PackedX;
use crate::kernel::CompiledKernel;
use crate::problem::Explanation;
use crate::window::window_bytes;
use crate::{Error, Gpu, Tier};

/// A kernel that sums products at some elements.
pub(crate) trait SampledKernel: Kernel + Copy {
    /// The same kernel with another result.
    fn with_result(self, result: SampledResult) -> Self;
}

/// The compiled kernels of a plan, for the tokens that they take at once.
#[derive(Debug)]
pub(crate) struct SampledKernels {
    /// Of all tokens, or of the first.
    pub(super) first: Arc<CompiledKernel>,
    pub(super) chunk_tokens: usize,
    pub(super) packed: Option<PackedX>,
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
        let packed = if sampled.packs(gpu) && sampled.has_elements() {
            Some(PackedX::plan(gpu, sampled, chunk_tokens.min(sampled.tokens)).await?)
        } else {
            None
        };
        let result = sampled.result();
        if chunk_tokens >= sampled.tokens {
            let kernel = description.with_result(result);
            return Ok(Self {
                first: gpu.compile(&kernel).await?,
                chunk_tokens,
                packed,
                sums: None,
            });
        }
        let output = Output::of(result.storage).scaled_and_added(result.scaled, result.accumulate);
        let at_once = Self::MOST_SUMS_BYTES.min(window_bytes(gpu)) / unit_bytes.max(1);
        let units = at_once.clamp(1, units.max(1));
        let [first, more] =
            [false, true].map(|adds| description.with_result(SampledResult::sums(adds)));
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
            packed,
            sums: Some(sums),
        })
    }

    fn scratch_bytes(&self) -> u64 {
        let sums = self.sums.as_ref().map_or(0, |sums| sums.buffer.size());
        let packed = self.packed.as_ref();
        sums + packed.map_or(0, |packed| packed.buffer.size())
    }

    pub(crate) fn explain(
        &self,
        gpu: &Gpu,
        operation: &'static str,
        tile: String,
        mut notes: Vec<String>,
    ) -> Explanation {
        if self.packed.is_some() {
            notes.push("x is packed first, four tokens of a column side by side".to_owned());
        }
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
            scratch_bytes: self.scratch_bytes(),
            notes,
        }
    }
}
