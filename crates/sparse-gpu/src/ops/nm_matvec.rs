//! `nm_matvec`: N:M weights and few tokens, bound by the bytes of the weights.

use sparse_core::Nm;

use crate::matmul::{Engine, Epilogue, Format, MatmulPlan, MatmulProblem, MatmulTypes};
use crate::problem::Problem;
use crate::{Error, Gpu};

/// `y = act(x w^T + bias)` with N:M weights and at most 8 tokens.
///
/// `x [tokens, k_in]`, `w [n_out, k_in]`, `y [tokens, n_out]`, all row-major; any sizes, 0 included. Accumulates in f32.
/// The kernel is `matvec.wgsl` with the walk `nm` or `nm_expand`; the CPU twin is
/// [`sparse_core::nm::nm_matmul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmMatvec {
    /// Rows of x and y, at most 8.
    pub tokens: usize,
    /// Rows of w, columns of y.
    pub n_out: usize,
    /// Columns of x and w.
    pub k_in: usize,
    /// N of every M weights kept, V rows sharing a pattern.
    pub pattern: Nm,
    /// Storage types.
    pub types: MatmulTypes,
    /// Bias and activation.
    pub epilogue: Epilogue,
}

impl NmMatvec {
    /// f32, no bias, no activation.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, pattern: Nm) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            pattern,
            types: MatmulTypes::default(),
            epilogue: Epilogue::default(),
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
            epilogue: self.epilogue,
            tile: None,
            matvec: true,
        };
        Ok(MatmulPlan::new(Engine::plan(gpu, problem).await?))
    }
}
