//! `pack_halves.wgsl`: f16 or bf16 activations into k-major panels, bit for bit.

use serde::Serialize;

use crate::PackKernel;
use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;
use crate::packing::Packing;

/// Turns half-width activations into k-major panels of the same type; see `pack_halves.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackHalvesKernel {
    /// Rows of x start at multiples of four elements, so that x loads four at once.
    pub vector_input: bool,
    /// x is `[k_in, tokens]` rather than `[tokens, k_in]`.
    pub transposed: bool,
    /// Tokens of a panel: a power of two from 4, or a multiple of 32.
    pub panel: usize,
    /// As in [`crate::PackKernel`].
    pub reads_lines: bool,
}

impl PackHalvesKernel {
    /// Tokens that one workgroup moves.
    pub const fn tile_tokens(&self) -> usize {
        self.packing().squares().tile_tokens
    }

    /// Columns that one workgroup moves.
    pub const fn tile_k(&self) -> usize {
        self.packing().squares().tile_k
    }

    const fn packing(&self) -> Packing {
        Packing {
            vector_input: self.vector_input,
            transposed: self.transposed,
            panel: self.panel,
            reads_lines: self.reads_lines,
        }
    }
}

impl Serialize for PackHalvesKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.packing().serialize(serializer)
    }
}

impl Kernel for PackHalvesKernel {
    fn template(&self) -> &'static str {
        "pack_halves.wgsl"
    }

    fn name(&self) -> String {
        format!("pack_halves{}", self.packing().label())
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.panel > 1 && PackKernel::takes_panel(self.panel),
            &|| self.name(),
            "panel",
            self.panel,
            "a power of two from 4, or a multiple of 32",
        )
    }
}
