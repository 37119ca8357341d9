//! `convert.wgsl`: f32 to a half-width storage type.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::storage::Storage;

/// Rounds f32 to a half-width storage type; see `convert.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConvertKernel {
    /// f16 or bf16.
    pub output: Storage,
}

impl ConvertKernel {
    /// Elements that a workgroup rounds.
    pub const ELEMENTS: usize = 2 * PLAIN_LANES;
}

impl Kernel for ConvertKernel {
    fn template(&self) -> &'static str {
        "convert.wgsl"
    }

    fn name(&self) -> String {
        format!("convert_{}", self.output.name())
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.output != Storage::F32,
            &|| self.name(),
            "bytes of the output",
            4,
            "f16 or bf16",
        )
    }
}
