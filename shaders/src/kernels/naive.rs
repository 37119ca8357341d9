//! `naive.wgsl`: the yardstick that does nothing cleverly.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::storage::Storage;

/// Dense matmul with one invocation per output; see `naive.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct NaiveMatmulKernel {
    /// Storage of x.
    pub input: Storage,
    /// Storage of w.
    pub weight: Storage,
}

impl NaiveMatmulKernel {
    /// Outputs of a workgroup.
    pub const OUTPUTS: usize = PLAIN_LANES;
}

impl Kernel for NaiveMatmulKernel {
    fn template(&self) -> &'static str {
        "naive.wgsl"
    }

    fn name(&self) -> String {
        format!("naive_x-{}_w-{}", self.input.name(), self.weight.name())
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}
