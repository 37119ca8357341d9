//! `nm_matvec`: N:M weights and few tokens, bound by the bytes of the weights.

use sparse_core::Nm;

use crate::matmul::{
    Batch, Engine, Epilogue, Format, MatmulPlan, MatmulProblem, MatmulTypes, Tier, Transposed,
};
use crate::problem::Problem;
use crate::{Error, Gpu};

/// `y = act(alpha * x w^T + beta * c + bias)` with N:M weights and at most 8 tokens.
///
/// `x [tokens, k_in]`, `w [n_out, k_in]`, `y [tokens, n_out]`, all row-major; any sizes, 0 included. Accumulates in f32.
/// The kernel is `matvec.wgsl` with the walk `nm`, `nm_gather`, `nm_select` or, where w is transposed, `nm_transposed`. A shared batch has as many
/// tokens as its items together: on processors, a transposed w is expanded first where those are many (`expand_weights.wgsl`), and its walk is
/// `dense_transposed`. The CPU twin is [`sparse_core::nm::nm_matmul`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::{Matrix, Nm, NmMatrix};
/// use sparse_gpu::{Gpu, NmMatvec};
///
/// let gpu = Gpu::new_blocking()?;
/// let pattern = Nm::try_new(2, 4, 1)?;
/// let w = Matrix::new(32, 64, vec![0.5_f32; 32 * 64]);
/// let w = gpu.upload_nm(&NmMatrix::prune(&w, pattern)?)?;
/// let x = gpu.upload(&Matrix::new(1, 64, vec![1.0_f32; 64]))?;
/// let plan = gpu.plan_blocking(&NmMatvec::new(1, 32, 64, pattern))?;
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
pub struct NmMatvec {
    /// Tokens, at most 8: rows of x and y, columns where these lie transposed.
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
    /// Parts into which k is split, to be added up by a second pass in a fixed order; none: chosen by the plan.
    pub split_k: Option<usize>,
}

impl NmMatvec {
    /// f32, no epilogue.
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
            split_k: None,
        }
    }
}

impl Problem for NmMatvec {
    type Plan = MatmulPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<Self::Plan, Error> {
        let problem = MatmulProblem {
            operation: "nm_matvec",
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
            tile: None,
            nm_variant: None,
            split_k: self.split_k,
            tier: Tier::Portable,
            few_tokens_only: true,
        };
        Ok(MatmulPlan::new(Engine::plan(gpu, problem).await?))
    }
}
