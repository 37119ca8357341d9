//! The kernels around a matmul: packing, finishing, and the naive yardstick.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, Storage, require};
use crate::output::Output;

/// Turns activations into k-major panels of f32; see `pack.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackKernel {
    /// Storage of x.
    pub input: Storage,
    /// Rows of x start at multiples of four elements, so that x loads as vec4.
    pub vector_input: bool,
    /// x is `[k_in, tokens]` rather than `[tokens, k_in]`; not for panels of one token.
    pub transposed: bool,
    /// Tokens of a panel: 1, a power of two from 4, or a multiple of 32.
    pub panel: usize,
}

impl PackKernel {
    /// Squares of 4 tokens by 4 k of a workgroup, along tokens and along k.
    const fn squares(&self) -> (usize, usize) {
        let along_tokens = if self.panel < 32 {
            self.panel.div_ceil(4)
        } else {
            8
        };
        (along_tokens, 64 / along_tokens)
    }

    /// Tokens that one workgroup moves.
    pub const fn tile_tokens(&self) -> usize {
        if self.panel < 4 {
            1
        } else {
            4 * self.squares().0
        }
    }

    /// Columns that one workgroup moves.
    pub const fn tile_k(&self) -> usize {
        4 * self.squares().1
    }
}

impl Serialize for PackKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            input: Storage,
            vector_input: bool,
            transposed: bool,
            panel: usize,
            tile_tokens: usize,
            tile_k: usize,
            squares_t: usize,
            squares_k: usize,
        }
        let (squares_t, squares_k) = self.squares();
        Variables {
            input: self.input,
            vector_input: self.vector_input,
            transposed: self.transposed,
            panel: self.panel,
            tile_tokens: self.tile_tokens(),
            tile_k: self.tile_k(),
            squares_t,
            squares_k,
        }
        .serialize(serializer)
    }
}

impl Kernel for PackKernel {
    fn template(&self) -> &'static str {
        "pack.wgsl"
    }

    fn name(&self) -> String {
        let unaligned = if self.vector_input { "" } else { "_unaligned" };
        let transposed = if self.transposed { "_transposed" } else { "" };
        format!(
            "pack_{}{transposed}{unaligned}_panel-{}",
            self.input.name(),
            self.panel
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let ok = self.panel == 1
            || (self.panel.is_multiple_of(4) && self.panel.is_power_of_two())
            || (self.panel > 0 && self.panel.is_multiple_of(32));
        let possible = "1, a power of two from 4, or a multiple of 32";
        require(ok, &|| self.name(), "panel", self.panel, possible)?;
        let possible = "4 or more where x is transposed";
        let ok = self.panel > 1 || !self.transposed;
        require(ok, &|| self.name(), "panel", self.panel, possible)
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

/// Adds up the parts of split sums, applies the epilogue and stores y; see `matmul_finish.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct MatmulFinishKernel {
    /// What becomes of the sums; never in vectors.
    pub output: Output,
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
