//! `pack_f16.wgsl`: f16 activations into k-major panels, bit for bit.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;
use crate::packing::{PackSquares, WHOLE_LINES_OF_PANELS};

/// Turns f16 activations into k-major panels of f16; see `pack_f16.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackF16Kernel {
    /// Rows of x start at multiples of four elements, so that x loads four at once.
    pub vector_input: bool,
    /// x is `[k_in, tokens]` rather than `[tokens, k_in]`.
    pub transposed: bool,
    /// Tokens of a panel: a power of two from 8.
    pub panel: usize,
}

impl PackF16Kernel {
    /// Tokens that one workgroup moves.
    pub const fn tile_tokens(&self) -> usize {
        PackSquares::of(self.panel, WHOLE_LINES_OF_PANELS).tile_tokens
    }

    /// Columns that one workgroup moves.
    pub const fn tile_k(&self) -> usize {
        PackSquares::of(self.panel, WHOLE_LINES_OF_PANELS).tile_k
    }
}

impl Serialize for PackF16Kernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            vector_input: bool,
            transposed: bool,
            panel: usize,
            #[serde(flatten)]
            squares: PackSquares,
        }
        Variables {
            vector_input: self.vector_input,
            transposed: self.transposed,
            panel: self.panel,
            squares: PackSquares::of(self.panel, WHOLE_LINES_OF_PANELS),
        }
        .serialize(serializer)
    }
}

impl Kernel for PackF16Kernel {
    fn template(&self) -> &'static str {
        "pack_f16.wgsl"
    }

    fn name(&self) -> String {
        let unaligned = if self.vector_input { "" } else { "_unaligned" };
        let transposed = if self.transposed { "_transposed" } else { "" };
        format!(
            "pack_f16_as_f16{transposed}{unaligned}_panel-{}",
            self.panel
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.panel >= 8 && self.panel.is_power_of_two(),
            &|| self.name(),
            "panel",
            self.panel,
            "a power of two from 8",
        )
    }
}
