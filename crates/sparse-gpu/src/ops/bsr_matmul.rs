//! `bsr_matmul`: block-sparse weights.

use crate::matmul::{
    Batch, Engine, Epilogue, Format, MatmulPlan, MatmulProblem, MatmulTypes, Tier, Tile, Transposed,
};
use crate::problem::Problem;
use crate::{Error, Gpu};

/// `y = act(alpha * x w^T + beta * c + bias)` with block-sparse weights.
///
/// `x [tokens, k_in]`, `w [n_out, k_in]`, `y [tokens, n_out]`, all row-major; any sizes, 0 included. Accumulates in f32.
/// Which kernel runs: [`MatmulPlan`]. The CPU twin is [`sparse_core::bsr::bsr_matmul`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::prune::BlockBudget;
/// use sparse_gpu::sparse_core::{BsrMatrix, Matrix};
/// use sparse_gpu::{BsrMatmul, Gpu};
///
/// let gpu = Gpu::new_blocking()?;
/// // A quarter of the blocks of 16 x 16.
/// let w = Matrix::new(64, 64, vec![0.5_f32; 64 * 64]);
/// let w = gpu.upload_bsr(&BsrMatrix::prune(&w, (16, 16), BlockBudget::Density(0.25))?)?;
/// let x = gpu.upload(&Matrix::new(16, 64, vec![1.0_f32; 16 * 64]))?;
/// let plan = gpu.plan_blocking(&BsrMatmul::new(16, 64, 64, (16, 16)))?;
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
pub struct BsrMatmul {
    /// Tokens: rows of x and y, columns where these lie transposed.
    pub tokens: usize,
    /// Outputs of a token: rows of w and columns of y, columns and rows where these lie transposed.
    pub n_out: usize,
    /// Inputs of a token, which are summed over: columns of x and w, rows where these lie transposed.
    pub k_in: usize,
    /// Rows and columns of a block.
    pub block: (usize, usize),
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
    /// Parts into which k is split, to be added up by a second pass in a fixed order; none: chosen by the plan.
    pub split_k: Option<usize>,
    /// Which kernels may compute it.
    pub tier: Tier,
}

impl BsrMatmul {
    /// f32, no epilogue, tile by the plan, portable kernels.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, block: (usize, usize)) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            block,
            types: MatmulTypes::default(),
            transposed: Transposed::NONE,
            batch: Batch::None,
            epilogue: Epilogue::default(),
            tile: None,
            split_k: None,
            tier: Tier::Portable,
        }
    }
}

impl Problem for BsrMatmul {
    type Plan = MatmulPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<Self::Plan, Error> {
        let problem = MatmulProblem {
            operation: "bsr_matmul",
            tokens: self.tokens,
            n_out: self.n_out,
            k_in: self.k_in,
            format: Format::Bsr { block: self.block },
            types: self.types,
            transposed: self.transposed,
            batch: self.batch,
            epilogue: self.epilogue,
            tile: self.tile,
            nm_variant: None,
            split_k: self.split_k,
            tier: self.tier,
            few_tokens_only: false,
        };
        Ok(MatmulPlan::new(Engine::plan(gpu, problem).await?))
    }
}
