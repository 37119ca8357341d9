//! `nm_matmul`: N of every M weights kept along k, V rows sharing a pattern.

use sparse_core::Nm;

use crate::matmul::{
    Batch, Engine, Epilogue, Format, MatmulPlan, MatmulProblem, MatmulTypes, NmVariant, Tier, Tile,
    Transposed,
};
use crate::problem::Problem;
use crate::{Error, Gpu};

/// `y = act(alpha * x w^T + beta * c + bias)` with N:M weights.
///
/// `x [tokens, k_in]`, `w [n_out, k_in]`, `y [tokens, n_out]`, all row-major; any sizes, 0 included. Accumulates in f32.
/// Which kernel runs: [`MatmulPlan`]. The CPU twin is [`sparse_core::nm::nm_matmul`].
///
/// A weight that is not stored never meets x, with one exception: weights that are expanded, on the way or first, multiply all columns, and a
/// non-finite x gives NaN as it does with dense weights. Expanded are a transposed w, what a [`NmVariant`] that expands is asked for, and where
/// there are more than 8 tokens or a tile is asked for, patterns that fewer than 4 rows share: on processors those whose lists would not skip enough, on GPUs those for which
/// `nm_branch`, which knows no exception, does not pay. `explain()` says which and why.
///
/// ```no_run
/// use sparse_gpu::sparse_core::{Matrix, Nm, NmMatrix};
/// use sparse_gpu::{Gpu, NmMatmul};
///
/// let gpu = Gpu::new_blocking()?;
/// // 2 of every 8 weights, 8 rows sharing a pattern.
/// let pattern = Nm::try_new(2, 8, 8)?;
/// let w = Matrix::new(32, 64, vec![0.5_f32; 32 * 64]);
/// let w = gpu.upload_nm(&NmMatrix::prune(&w, pattern)?)?;
/// let x = gpu.upload(&Matrix::new(16, 64, vec![1.0_f32; 16 * 64]))?;
/// let plan = gpu.plan_blocking(&NmMatmul::new(16, 32, 64, pattern))?;
/// let mut y = plan.new_y()?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &w, &x, &mut y)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let y = gpu.read_blocking::<f32>(&y)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NmMatmul {
    /// Tokens: rows of x and y, columns where these lie transposed.
    pub tokens: usize,
    /// Outputs of a token: rows of w and columns of y, columns and rows where these lie transposed.
    pub n_out: usize,
    /// Inputs of a token, which are summed over: columns of x and w, rows where these lie transposed.
    pub k_in: usize,
    /// N of every M weights kept, V rows sharing a pattern.
    pub pattern: Nm,
    /// Storage types.
    pub types: MatmulTypes,
    /// Which operands lie as their transposes.
    pub transposed: Transposed,
    /// A leading dimension of x and y.
    pub batch: Batch,
    /// Factors, what is added, activation.
    pub epilogue: Epilogue,
    /// The register tile; none: chosen by the plan.
    pub tile: Option<Tile>,
    /// How rows are multiplied that share their pattern with too few others; none: chosen by the plan.
    pub variant: Option<NmVariant>,
    /// Parts into which k is split, to be added up by a second pass in a fixed order; none: chosen by the plan.
    pub split_k: Option<usize>,
    /// Which kernels may compute it.
    pub tier: Tier,
}

impl NmMatmul {
    /// f32, no epilogue, tile by the plan, portable kernels.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, pattern: Nm) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            pattern,
            types: MatmulTypes::default(),
            transposed: Transposed::NONE,
            batch: Batch::None,
            epilogue: Epilogue::default(),
            tile: None,
            variant: None,
            split_k: None,
            tier: Tier::Portable,
        }
    }
}

impl Problem for NmMatmul {
    type Plan = MatmulPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<Self::Plan, Error> {
        let problem = MatmulProblem {
            operation: "nm_matmul",
            tokens: self.tokens,
            n_out: self.n_out,
            k_in: self.k_in,
            format: Format::Nm {
                pattern: self.pattern,
            },
            types: self.types,
            transposed: self.transposed,
            batch: self.batch,
            epilogue: self.epilogue,
            tile: self.tile,
            nm_variant: self.variant,
            split_k: self.split_k,
            tier: self.tier,
            few_tokens_only: false,
        };
        Ok(MatmulPlan::new(Engine::plan(gpu, problem).await?))
    }
}
