//! `bsr_sddmm`: a dense product of which only the stored blocks are computed.

mod record;

use sparse_core::DType;
use sparse_shaders::{SampledDy, SampledReads, SampledResult, SampledX, SddmmKernel};

use crate::bsr::block_bytes;
use crate::error::storage;
use crate::matmul::MatmulTypes;
use crate::problem::{Explanation, Problem};
use crate::sddmm::{Sampled, SampledKernel, SampledKernels, SampledTile};
use crate::window::{too_large_to_bind, window_bytes};
use crate::{AdapterClass, Error, Gpu};

/// `out = alpha * dy^T x + beta * out` at the blocks of a block-sparse matrix `[n_out, k_in]`: the gradient of block-sparse weights.
///
/// `dy [tokens, n_out]`, `x [tokens, k_in]`, both row-major; any sizes, 0 included. Accumulates in f32, in the order of the tokens. The kernel
/// is `bsr_sddmm.wgsl`; the CPU twin is [`sparse_core::bsr::bsr_sddmm`].
///
/// Where dy or x exceeds the binding limit, or there are more tokens than a loop of the driver runs, some tokens are summed at a time, in f32 scratch memory of at most 64 MiB, or of one block.
/// On drivers that run shaders on the processor x is packed first, into scratch memory of its size, or of what is bound at once.
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
    kernels: SampledKernels,
    explanation: Explanation,
}

const OPERATION: &str = "bsr_sddmm";

impl Problem for BsrSddmm {
    type Plan = BsrSddmmPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<BsrSddmmPlan, Error> {
        let sampled = self.sampled();
        self.check_block()?;
        sampled.check()?;
        self.check_window(gpu, self.types.w)?;
        let description = self.kernel(gpu.class(), sampled.packs(gpu));
        let chunk_tokens = sampled.chunk_tokens(gpu)?;
        if chunk_tokens < self.tokens {
            self.check_window(gpu, DType::F32)?;
        }
        let (br, bc) = self.block;
        let most = self.n_out.div_ceil(br) as u64 * self.k_in.div_ceil(bc) as u64;
        let block = (most, block_bytes(self.block, DType::F32));
        let kernels = SampledKernels::plan(gpu, &sampled, chunk_tokens, description, block).await?;
        let tile = format!(
            "{} rows x {} columns x {} lanes",
            description.rows,
            4 * description.quads,
            description.lanes
        );
        Ok(BsrSddmmPlan {
            gpu: gpu.clone(),
            problem: *self,
            description,
            explanation: kernels.explain(gpu, OPERATION, tile, Vec::new()),
            kernels,
        })
    }
}

impl SampledKernel for SddmmKernel {
    fn with_result(self, result: SampledResult) -> Self {
        Self { result, ..self }
    }
}

impl BsrSddmm {
    const fn sampled(&self) -> Sampled {
        let Self {
            tokens,
            n_out,
            k_in,
            types,
            alpha,
            beta,
            ..
        } = *self;
        Sampled {
            operation: OPERATION,
            tokens,
            n_out,
            k_in,
            types,
            alpha,
            beta,
        }
    }

    fn check_block(&self) -> Result<(), Error> {
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
        Ok(())
    }

    /// Refuses blocks of which not one can be bound, where the result can have any.
    fn check_window(&self, gpu: &Gpu, dtype: DType) -> Result<(), Error> {
        let bytes = block_bytes(self.block, dtype);
        if !self.sampled().has_elements() || bytes <= window_bytes(gpu) {
            return Ok(());
        }
        let what = format!("{OPERATION}: one block");
        Err(too_large_to_bind(gpu, what, bytes, "use smaller blocks"))
    }

    /// The kernel for adapters of `class`; `packs` where x is packed.
    pub(crate) fn kernel(&self, class: AdapterClass, packs: bool) -> SddmmKernel {
        let (br, bc) = self.block;
        let SampledTile { rows, quads, lanes } = SampledTile::of_blocks(self.block, class);
        let in_quads = bc.is_multiple_of(4) && self.k_in.is_multiple_of(4);
        SddmmKernel {
            block: self.block,
            rows,
            quads,
            lanes,
            dy: SampledDy {
                storage: storage(self.types.y),
                vectors: br.is_multiple_of(4) && self.n_out.is_multiple_of(4),
            },
            x: SampledX {
                storage: storage(self.types.x),
                reads: SampledReads::of(packs, in_quads),
            },
            result: self.sampled().result(),
        }
    }
}

impl BsrSddmmPlan {
    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }
}
