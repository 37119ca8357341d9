//! `nm_sddmm`: a dense product of which only the slots of N:M weights are computed.

mod choose;
mod record;

use sparse_core::{DType, Nm};
use sparse_shaders::{NmSddmmKernel, NmSums, SampledResult};

use crate::counting::check_countable;
use crate::matmul::MatmulTypes;
use crate::problem::{Explanation, Problem};
use crate::sddmm::{Sampled, SampledKernel, SampledKernels};
use crate::window::{fit_in_window, too_large_to_bind};
use crate::{Error, Gpu};

/// `out = alpha * dy^T x + beta * out` at the kept slots of an N:M matrix `[n_out, k_in]`: the gradient of N:M weights.
///
/// `dy [tokens, n_out]`, `x [tokens, k_in]`, both row-major; any sizes, 0 included. Accumulates in f32, in the order of the tokens. What is not kept
/// touches nothing: an infinity in a column of x that no slot of a row stands for does not reach that row. The kernel is `nm_sddmm.wgsl`; the CPU twin is
/// [`sparse_core::nm::nm_sddmm`].
///
/// Where dy or x exceeds the binding limit, or there are more tokens than a loop of the driver runs, some tokens are summed at a time, in f32 scratch memory of at most 64 MiB, or of one row.
/// On drivers that run shaders on the processor x is packed first, into scratch memory of its size, or of what is bound at once.
///
/// ```no_run
/// use sparse_gpu::sparse_core::{DType, Matrix, Nm, NmMatrix};
/// use sparse_gpu::{Gpu, NmSddmm};
///
/// let gpu = Gpu::new_blocking()?;
/// let pattern = Nm::try_new(2, 8, 8)?;
/// let w = Matrix::new(64, 64, vec![0.5_f32; 64 * 64]);
/// let w = gpu.upload_nm(&NmMatrix::prune(&w, pattern)?)?;
/// // The slots of the weights are those of their gradient, which has values of its own: a clone of w would be w.
/// let mut dw = gpu.empty_nm_like(&w, DType::F32)?;
/// let dy = gpu.upload(&Matrix::new(8, 64, vec![1.0_f32; 8 * 64]))?;
/// let x = gpu.upload(&Matrix::new(8, 64, vec![1.0_f32; 8 * 64]))?;
/// let plan = gpu.plan_blocking(&NmSddmm::new(8, 64, 64, pattern))?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &dy, &x, &mut dw)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NmSddmm {
    /// Rows of dy and x.
    pub tokens: usize,
    /// Columns of dy, rows of the result.
    pub n_out: usize,
    /// Columns of x and of the result.
    pub k_in: usize,
    /// N of every M columns kept, V rows sharing a pattern.
    pub pattern: Nm,
    /// Storage types, named as in the product whose gradient this is: `y` is of dy, `w` of the result.
    pub types: MatmulTypes,
    /// Times the sum. With `alpha = 0` nothing of dy and x comes through.
    pub alpha: f32,
    /// Times what the result held; with `beta = 0` that is never read.
    pub beta: f32,
}

impl NmSddmm {
    /// f32, `alpha = 1`, `beta = 0`.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, pattern: Nm) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            pattern,
            types: MatmulTypes::default(),
            alpha: 1.0,
            beta: 0.0,
        }
    }
}

/// A planned [`NmSddmm`].
#[derive(Debug)]
pub struct NmSddmmPlan {
    gpu: Gpu,
    problem: NmSddmm,
    description: NmSddmmKernel,
    kernels: SampledKernels,
    explanation: Explanation,
}

const OPERATION: &str = "nm_sddmm";

impl Problem for NmSddmm {
    type Plan = NmSddmmPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<NmSddmmPlan, Error> {
        let sampled = self.sampled();
        sampled.check()?;
        let stride = self.row_stride();
        check_countable(OPERATION, &[("out", &[self.n_out, self.k_in.max(stride)])])?;
        let chunk_tokens = sampled.chunk_tokens(gpu)?;
        let most_rows = self.most_rows(gpu, chunk_tokens < self.tokens)?;
        let description = self.kernel(gpu.class(), sampled.packs(gpu), most_rows);
        let tile_bytes = description.rows as u64 * self.row_bytes(DType::F32);
        let tiles = (description.tiles(self.n_out) as u64, tile_bytes);
        let kernels = SampledKernels::plan(gpu, &sampled, chunk_tokens, description, tiles).await?;
        let tile = format!(
            "{} rows x {} slots x {} lanes",
            description.rows,
            4 * description.quads,
            description.lanes
        );
        let sums = match description.sums {
            NmSums::Listed => "rows of a strip gather the columns of their slots",
            NmSums::Selected => {
                "too few rows share a pattern: sums of all columns of a group, of which each row takes its own"
            }
        };
        let notes = vec![sums.to_owned()];
        Ok(NmSddmmPlan {
            gpu: gpu.clone(),
            problem: *self,
            description,
            explanation: kernels.explain(gpu, OPERATION, tile, notes),
            kernels,
        })
    }
}

impl SampledKernel for NmSddmmKernel {
    fn with_result(self, result: SampledResult) -> Self {
        Self { result, ..self }
    }
}

impl NmSddmm {
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

    /// Elements from one row of the result to the next.
    fn row_stride(&self) -> usize {
        let kept = self.k_in.div_ceil(self.pattern.m()) * self.pattern.n();
        kept.next_multiple_of(4)
    }

    fn row_bytes(&self, dtype: DType) -> u64 {
        self.row_stride() as u64 * dtype.bytes() as u64
    }

    /// Rows of the result that can be bound at once; where tokens are summed some `at_a_time`, whose sums have room in the scratch memory.
    fn most_rows(&self, gpu: &Gpu, at_a_time: bool) -> Result<usize, Error> {
        let dtype = if at_a_time { DType::F32 } else { self.types.w };
        let bytes = self.row_bytes(dtype);
        let fit = fit_in_window(gpu, bytes);
        if fit == 0 && self.sampled().has_elements() {
            let what = format!("{OPERATION}: one row of the result");
            return Err(too_large_to_bind(gpu, what, bytes, "split k_in"));
        }
        let scratch = SampledKernels::MOST_SUMS_BYTES / bytes.max(1);
        let scratch = usize::try_from(scratch).unwrap_or(usize::MAX);
        let most = if at_a_time { fit.min(scratch) } else { fit };
        Ok(most.max(1))
    }
}

impl NmSddmmPlan {
    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }
}
