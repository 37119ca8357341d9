//! The kernels around a matmul: packing, finishing, and the naive yardstick.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, Storage, require};
use crate::output::Output;
use crate::packing::PackSquares;

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
    /// Whether panels of so many tokens can be packed.
    pub const fn takes_panel(panel: usize) -> bool {
        panel == 1
            || (panel.is_multiple_of(4) && panel.is_power_of_two())
            || (panel > 0 && panel.is_multiple_of(32))
    }

    /// Tokens that one workgroup moves.
    pub const fn tile_tokens(&self) -> usize {
        PackSquares::of(self.panel).tile_tokens
    }

    /// Columns that one workgroup moves.
    pub const fn tile_k(&self) -> usize {
        PackSquares::of(self.panel).tile_k
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
            #[serde(flatten)]
            squares: PackSquares,
        }
        Variables {
            input: self.input,
            vector_input: self.vector_input,
            transposed: self.transposed,
            panel: self.panel,
            squares: PackSquares::of(self.panel),
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
        let possible = "1, a power of two from 4, or a multiple of 32";
        require(
            Self::takes_panel(self.panel),
            &|| self.name(),
            "panel",
            self.panel,
            possible,
        )?;
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

impl ConvertKernel {
    /// Elements that a workgroup rounds.
    pub const ELEMENTS: usize = 128;
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
