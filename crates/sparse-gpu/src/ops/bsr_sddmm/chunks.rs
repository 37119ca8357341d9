//! More tokens than can be bound at once: f32 sums of some at a time, which a second kernel finishes.

use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::{Addend, MatmulFinishKernel, Output, SddmmKernel, Storage};

use super::{BsrSddmm, OPERATION};
use crate::bsr::block_bytes;
use crate::kernel::CompiledKernel;
use crate::window::{
    alignment, fit_in_window, rows_between_offsets, too_large_to_bind, window_bytes,
};
use crate::{Error, Gpu};

/// Scratch memory for sums is kept below this, unless one block is larger; more blocks go one run after the other.
const MOST_SUMS_BYTES: u64 = 64 << 20;

/// f32 sums of a run of blocks, and the kernels behind the one for the first tokens.
#[derive(Debug)]
pub(super) struct Sums {
    /// Adds the products of further tokens.
    pub(super) more: Arc<CompiledKernel>,
    /// Makes the result of the sums: alpha, beta, storage type.
    pub(super) finish: Arc<CompiledKernel>,
    pub(super) buffer: wgpu::Buffer,
    /// Blocks that the buffer has room for.
    pub(super) blocks: usize,
}

impl Sums {
    /// Compiles `description` for sums of the first tokens, what follows it, and allocates.
    pub(super) async fn plan(
        gpu: &Gpu,
        problem: &BsrSddmm,
        description: &SddmmKernel,
    ) -> Result<(Arc<CompiledKernel>, Self), Error> {
        let first = SddmmKernel {
            out: Storage::F32,
            scaled: false,
            accumulate: false,
            ..*description
        };
        let more = SddmmKernel {
            accumulate: true,
            ..first
        };
        let output = Output {
            scaled: description.scaled,
            addend: if description.accumulate {
                Addend::Previous
            } else {
                Addend::None
            },
            ..Output::of(description.out)
        };
        let (br, bc) = problem.block;
        let block_bytes = block_bytes(problem.block, DType::F32);
        let limit = window_bytes(gpu);
        if block_bytes > limit {
            return Err(block_too_large(gpu, block_bytes));
        }
        let most = problem.n_out.div_ceil(br) as u64 * problem.k_in.div_ceil(bc) as u64;
        let blocks = (MOST_SUMS_BYTES.min(limit) / block_bytes).clamp(1, most.max(1));
        let usage = wgpu::BufferUsages::STORAGE;
        let sums = Self {
            more: gpu.compile(&more).await?,
            finish: gpu.compile(&MatmulFinishKernel { output }).await?,
            buffer: gpu.allocate("f32 sums", blocks * block_bytes, usage)?,
            blocks: usize::try_from(blocks).unwrap_or(usize::MAX),
        };
        Ok((gpu.compile(&first).await?, sums))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.buffer.size()
    }
}

fn block_too_large(gpu: &Gpu, bytes: u64) -> Error {
    let what = format!("{OPERATION}: one block");
    too_large_to_bind(gpu, what, bytes, "use smaller blocks")
}

impl BsrSddmm {
    /// Refuses blocks of which not one can be bound, where the result can have any.
    pub(super) fn check_block(&self, gpu: &Gpu) -> Result<(), Error> {
        let bytes = block_bytes(self.block, self.types.w);
        if self.n_out == 0 || self.k_in == 0 || bytes <= window_bytes(gpu) {
            return Ok(());
        }
        Err(block_too_large(gpu, bytes))
    }

    /// Tokens of which dy and x can each be bound at once and whose products one loop can sum. All of them, or as many as let every chunk
    /// start where a binding may.
    pub(super) fn chunk_tokens(&self, gpu: &Gpu) -> Result<usize, Error> {
        // Four tokens a round, and up to three after them.
        let loops = gpu.longest_loop().saturating_sub(3).saturating_mul(4);
        let (mut fit, mut step) = (loops, 1);
        for (cols, dtype) in [(self.n_out, self.types.y), (self.k_in, self.types.x)] {
            let row_bytes = cols as u64 * dtype.bytes() as u64;
            fit = fit.min(fit_in_window(gpu, row_bytes));
            step = step.max(rows_between_offsets(alignment(gpu), row_bytes));
        }
        if self.tokens <= fit {
            return Ok(self.tokens);
        }
        let chunk = fit / step * step;
        if chunk > 0 {
            return Ok(chunk);
        }
        Err(Error::Unavailable {
            what: format!(
                "{OPERATION}: {} tokens with n_out = {} and k_in = {}",
                self.tokens, self.n_out, self.k_in
            ),
            needs: format!("bindings that hold {step} rows of dy and of x"),
            has: window_bytes(gpu).to_string(),
            hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or split n_out or k_in".to_owned(),
        })
    }
}
