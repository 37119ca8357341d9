//! The register tile of the products and of XAttention's scores.

use serde::{Deserialize, Serialize};

use crate::config_error::{ConfigError, require, require_lanes};

/// The register tile: how the outputs of a workgroup are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    /// Rows of w that every invocation of a workgroup computes: 1, 2, 4, 8 or 16.
    pub rows: usize,
    /// Tokens of an invocation: a multiple of 4, at most 16. Products pack x into panels of a power of two of tokens, or a multiple of 32, so that
    /// 12 need 8 lanes or more there.
    pub cols: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
}

impl Tile {
    /// Tokens of a workgroup.
    pub const fn panel(self) -> usize {
        self.cols.saturating_mul(self.lanes)
    }

    /// Whether the templates can be expanded with this tile; `kernel` names what it is for.
    ///
    /// # Errors
    /// [`ConfigError`], one number out of range.
    pub fn check(self, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let rows = self.rows.is_power_of_two() && self.rows <= 16;
        require(rows, kernel, "tile.rows", self.rows, "1, 2, 4, 8 or 16")?;
        let cols = self.cols.is_multiple_of(4) && (4..=16).contains(&self.cols);
        require(cols, kernel, "tile.cols", self.cols, "4, 8, 12 or 16")?;
        require_lanes(kernel, "tile.lanes", self.lanes)
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.rows, self.cols, self.lanes)
    }
}
