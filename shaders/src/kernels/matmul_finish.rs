//! `matmul_finish.wgsl`: from f32 sums to y.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::output::Output;

/// Adds up the parts of split sums, applies the epilogue and stores y; see `matmul_finish.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct MatmulFinishKernel {
    /// What becomes of the sums; never in vectors.
    pub output: Output,
}

impl MatmulFinishKernel {
    /// Pairs of neighbours in a line of y that a workgroup stores.
    pub const PAIRS: usize = PLAIN_LANES;

    /// Rounds of the loops of one invocation, which adds up `parts` parts for each of its two neighbours.
    pub const fn loop_rounds(parts: usize) -> usize {
        parts.saturating_mul(2)
    }
}

impl Kernel for MatmulFinishKernel {
    fn template(&self) -> &'static str {
        "matmul_finish.wgsl"
    }

    fn name(&self) -> String {
        format!("matmul_finish_{}", self.output.label())
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(
            !self.output.vectors,
            &|| self.name(),
            "results stored at once",
            4,
            "1, or 2 halves",
        )
    }
}
