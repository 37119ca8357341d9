//! `attention_row_order.wgsl`: the heaviest rows of a mask first.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;

/// Sorts rows of blocks by weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RowOrderKernel {
    /// Invocations of a workgroup, which place as many rows at a time: a multiple of 8 up to 256.
    pub lanes: usize,
    /// Weights that are told apart: a multiple of `lanes`, at most 2048.
    pub bins: usize,
}

impl RowOrderKernel {
    /// 64 rows at a time, 1024 weights.
    pub const DEFAULT: Self = Self {
        lanes: 64,
        bins: 1024,
    };

    /// Rounds of all loops of an invocation together, of a workgroup that sorts `rows` rows.
    pub const fn loop_rounds(self, rows: usize) -> usize {
        4 * self.bins.div_ceil(self.lanes)
            + self.lanes
            + (3 + 2 * self.lanes / 8) * rows.div_ceil(self.lanes)
    }
}

impl Kernel for RowOrderKernel {
    fn template(&self) -> &'static str {
        "attention_row_order.wgsl"
    }

    fn name(&self) -> String {
        format!("attention_row_order_{}_bins-{}", self.lanes, self.bins)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let lanes = (8..=256).contains(&self.lanes) && self.lanes.is_multiple_of(8);
        let possible = "a multiple of 8 up to 256";
        require(lanes, &name, "lanes", self.lanes, possible)?;
        let bins = self.bins <= 2048 && self.bins > 0 && self.bins.is_multiple_of(self.lanes);
        let possible = "a multiple of the lanes, at most 2048";
        require(bins, &name, "bins", self.bins, possible)
    }
}
