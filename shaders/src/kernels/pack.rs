//! `pack.wgsl`: activations into k-major panels of f32.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;
use crate::packing::Packing;
use crate::storage::Storage;

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
    /// Invocations side by side read whole lines of the cache where x is `[tokens, k_in]`, rather than write whole lines: for processors, which
    /// find x far away more often than its panels.
    pub reads_lines: bool,
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

impl Serialize for PackKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            input: Storage,
            #[serde(flatten)]
            packing: Packing,
        }
        Variables {
            input: self.input,
            packing: self.packing(),
        }
        .serialize(serializer)
    }
}

impl Kernel for PackKernel {
    fn template(&self) -> &'static str {
        "pack.wgsl"
    }

    fn name(&self) -> String {
        let input = self.input.name();
        format!("pack_{input}{}", self.packing().label())
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
