//! The kernels around a matmul: packing, conversion, and the naive yardstick.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, Storage, require};

/// Turns row-major activations into k-major panels of f32; see `pack.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackKernel {
    /// Storage of x.
    pub input: Storage,
    /// Tokens of a panel: a power of two, or a multiple of 32.
    pub panel: usize,
}

impl PackKernel {
    /// Tokens that one workgroup moves.
    pub const fn tile_tokens(&self) -> usize {
        if self.panel < 32 { self.panel } else { 32 }
    }

    /// Columns that one workgroup moves.
    pub const TILE_K: usize = 32;
}

impl Serialize for PackKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            input: Storage,
            panel: usize,
            tile_tokens: usize,
        }
        Variables {
            input: self.input,
            panel: self.panel,
            tile_tokens: self.tile_tokens(),
        }
        .serialize(serializer)
    }
}

impl Kernel for PackKernel {
    fn template(&self) -> &'static str {
        "pack.wgsl"
    }

    fn name(&self) -> String {
        format!("pack_{}_panel-{}", self.input.name(), self.panel)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let ok = self.panel.is_power_of_two() || (self.panel > 0 && self.panel.is_multiple_of(32));
        require(
            ok,
            &|| self.name(),
            "panel",
            self.panel,
            "a power of two or a multiple of 32",
        )
    }
}

/// Rounds f32 to a half-width storage type; see `convert.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConvertKernel {
    /// f16 or bf16.
    pub output: Storage,
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

/// Dense matmul with one invocation per output; see `naive.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct NaiveMatmulKernel {
    /// Storage of x.
    pub input: Storage,
    /// Storage of w.
    pub weight: Storage,
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
