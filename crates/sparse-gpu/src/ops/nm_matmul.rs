//! `nm_matmul`: N of every M weights kept along k, V rows sharing a pattern.

use sparse_core::Nm;

use super::FEW_TOKENS;
use crate::matmul::{Engine, Epilogue, Format, MatmulPlan, MatmulProblem, MatmulTypes, Tile};
use crate::problem::Problem;
use crate::{Error, Gpu};

/// `y = act(x w^T + bias)` with N:M weights.
///
/// `x [tokens, k_in]`, `w [n_out, k_in]`, `y [tokens, n_out]`, all row-major; any sizes, 0 included. Accumulates in f32.
/// The kernel is `matmul.wgsl` with the walk `nm` or `nm_expand`; the CPU twin is
/// [`sparse_core::nm::nm_matmul`].
///
/// A weight that is not stored never meets x, with one exception: where fewer than 4 rows share a pattern and there are more than 8
/// tokens, the walk `nm_expand` multiplies all columns, and a non-finite x gives NaN as it does with dense weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmMatmul {
    /// Rows of x and y.
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
    /// The register tile; none: chosen by the plan.
    pub tile: Option<Tile>,
}

impl NmMatmul {
    /// f32, no bias, no activation, tile by the plan.
    pub fn new(tokens: usize, n_out: usize, k_in: usize, pattern: Nm) -> Self {
        Self {
            tokens,
            n_out,
            k_in,
            pattern,
            types: MatmulTypes::default(),
            epilogue: Epilogue::default(),
            tile: None,
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
            epilogue: self.epilogue,
            tile: self.tile,
            matvec: self.tile.is_none() && self.tokens <= FEW_TOKENS,
        };
        Ok(MatmulPlan::new(Engine::plan(gpu, problem).await?))
    }
}
