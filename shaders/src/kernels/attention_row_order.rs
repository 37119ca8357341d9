//! `attention_row_order.wgsl`: the heaviest rows of a mask first.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::counting::times;
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

    /// Rounds of all loops of an invocation together, of a workgroup that sorts `rows` rows. Without invocations more than any driver runs.
    pub const fn loop_rounds(self, rows: usize) -> usize {
        let of_bins = times(self.bins, self.lanes).saturating_mul(4);
        let of_lanes = self.lanes.saturating_mul(2) / 8;
        let of_rows = times(rows, self.lanes).saturating_mul(of_lanes.saturating_add(3));
        of_bins.saturating_add(self.lanes).saturating_add(of_rows)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_those_of_bins_lanes_and_rows() {
        // 16 bins for each of 64 lanes, four times; 64 partial sums; 2 times 64 rows, each with 16 words of 8 lanes and 3 rounds more.
        assert_eq!(RowOrderKernel::DEFAULT.loop_rounds(100), 64 + 64 + 2 * 19);
    }

    #[test]
    fn without_invocations_a_sort_never_ends() {
        let kernel = |lanes, bins| RowOrderKernel { lanes, bins };
        let most = usize::MAX;
        for (kernel, rows) in [
            (kernel(0, 1024), 100),
            (kernel(0, 0), 0),
            (kernel(most, most), most),
            (kernel(1, most), 1),
        ] {
            assert_eq!(kernel.loop_rounds(rows), usize::MAX, "{kernel:?}");
            assert!(kernel.check().is_err(), "{kernel:?}");
        }
    }
}
