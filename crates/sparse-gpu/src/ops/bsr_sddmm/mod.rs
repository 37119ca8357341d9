//! `bsr_sddmm`: a dense product of which only the stored blocks are computed.

mod chunks;
mod record;

use std::sync::Arc;

use chunks::Sums;
use sparse_shaders::SddmmKernel;

use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::MatmulTypes;
use crate::problem::{Explanation, Problem};
use crate::{Error, Gpu, Tier};

/// `out = alpha * dy^T x + beta * out` at the blocks of a block-sparse matrix `[n_out, k_in]`: the gradient of block-sparse weights.
///
/// `dy [tokens, n_out]`, `x [tokens, k_in]`, both row-major; any sizes, 0 included. Accumulates in f32, in the order of the tokens. The kernel
/// is `bsr_sddmm.wgsl`; the CPU twin is [`sparse_core::bsr::bsr_sddmm`].
///
/// Where dy or x exceeds the binding limit, some tokens are summed at a time, in f32 scratch memory of at most 64 MiB, or of one block.
///
/// ```no_run
/// use sparse_gpu::sparse_core::prune::BlockBudget;
/// use sparse_gpu::sparse_core::{BsrMatrix, DType, Matrix};
/// use sparse_gpu::{BsrSddmm, Gpu};
///
/// let gpu = Gpu::new_blocking()?;
/// let w = Matrix::new(64, 64, vec![0.5_f32; 64 * 64]);
/// let w = gpu.upload_bsr(&BsrMatrix::prune(&w, (16, 16), BlockBudget::Density(0.25))?)?;
/// // The blocks of the weights are those of their gradient, which has values of its own: a clone of w would be w.
/// let mut dw = gpu.empty_bsr_like(&w, DType::F32)?;
/// let dy = gpu.upload(&Matrix::new(8, 64, vec![1.0_f32; 8 * 64]))?;
/// let x = gpu.upload(&Matrix::new(8, 64, vec![1.0_f32; 8 * 64]))?;
/// let plan = gpu.plan_blocking(&BsrSddmm::new(8, 64, 64, (16, 16)))?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &dy, &x, &mut dw)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BsrSddmm {
    /// Rows of dy and x.
    pub tokens: usize,
    /// Columns of dy, rows of the result.
    pub n_out: usize,
    /// Columns of x and of the result.
    pub k_in: usize,
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Storage types, named as in the product whose gradient this is: `y` is of dy, `w` of the result.
    pub types: MatmulTypes,
    /// Times the sum. With `alpha = 0` nothing of dy and x comes through.
    pub alpha: f32,
    /// Times what the result held; with `beta = 0` that is never read.
    pub beta: f32,
}

impl BsrSddmm {
    /// f32, `alpha = 1`, `beta = 0`.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, block: (usize, usize)) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            block,
            types: MatmulTypes::default(),
            alpha: 1.0,
            beta: 0.0,
        }
    }
}

/// A planned [`BsrSddmm`].
#[derive(Debug)]
pub struct BsrSddmmPlan {
    gpu: Gpu,
    problem: BsrSddmm,
    description: SddmmKernel,
    kernel: Arc<CompiledKernel>,
    /// Tokens of dy and x that are bound at once.
    chunk_tokens: usize,
    /// Where there are more, what their sums go through.
    sums: Option<Sums>,
    explanation: Explanation,
}

const OPERATION: &str = "bsr_sddmm";

impl Problem for BsrSddmm {
    type Plan = BsrSddmmPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<BsrSddmmPlan, Error> {
        self.check()?;
        self.check_block(gpu)?;
        let description = self.kernel(gpu.is_software());
        let chunk_tokens = self.chunk_tokens(gpu)?;
        let mut notes = Vec::new();
        let (kernel, sums) = if chunk_tokens < self.tokens {
            notes.push(format!(
                "{chunk_tokens} tokens at a time, so that operands can be bound; their f32 sums are finished by a second kernel"
            ));
            let (kernel, sums) = Sums::plan(gpu, self, &description).await?;
            (kernel, Some(sums))
        } else {
            (gpu.compile(&description).await?, None)
        };
        let explanation = Explanation {
            operation: OPERATION,
            kernel: kernel.name().to_owned(),
            tile: format!(
                "{} rows x 4 columns x {} lanes",
                description.rows, description.lanes
            ),
            tile_origin: None,
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: sums.as_ref().map_or(0, Sums::bytes),
            notes,
        };
        Ok(BsrSddmmPlan {
            gpu: gpu.clone(),
            problem: *self,
            description,
            kernel,
            chunk_tokens,
            sums,
            explanation,
        })
    }
}

impl BsrSddmm {
    fn check(&self) -> Result<(), Error> {
        let (br, bc) = self.block;
        let stride = bc
            .checked_next_multiple_of(4)
            .and_then(|bc| bc.checked_mul(br));
        if br == 0 || bc == 0 || stride.is_none_or(|n| u32::try_from(n).is_err()) {
            let reason = format!(
                "blocks of {br} x {bc}; a block has at least one and at most 2^32 - 1 elements, its rows padded to multiples of 4"
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !value.is_finite() {
                let reason = format!("{name} = {value}; it is a finite number");
                return Err(Error::invalid(OPERATION, reason));
            }
        }
        // Kernels count tokens and columns in u32.
        let longest = self.tokens.max(self.n_out).max(self.k_in);
        if u32::try_from(longest).is_err() {
            let reason = format!(
                "{} tokens, n_out = {}, k_in = {}; each is at most 2^32 - 1",
                self.tokens, self.n_out, self.k_in
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        Ok(())
    }

    /// A processor shares a row of dy among its lanes; a GPU wants whole subgroups, whatever the width of a block.
    fn kernel(&self, software: bool) -> SddmmKernel {
        let (br, bc) = self.block;
        let (rows, lanes) = if software {
            (if br <= 4 { 4 } else { 8 }, 8)
        } else {
            (4, 64)
        };
        SddmmKernel {
            block: self.block,
            rows,
            lanes,
            dy: storage(self.types.y),
            vector_dy: br.is_multiple_of(4) && self.n_out.is_multiple_of(4),
            x: storage(self.types.x),
            vector_x: bc.is_multiple_of(4) && self.k_in.is_multiple_of(4),
            out: storage(self.types.w),
            scaled: self.alpha != 1.0,
            accumulate: self.beta != 0.0,
        }
    }
}

impl BsrSddmmPlan {
    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }
}
