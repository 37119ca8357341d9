//! `attention_row_weights.wgsl` and `attention_row_order.wgsl`: the heaviest rows of a mask first.

use serde::Serialize;

use crate::attention::BlockWalk;
use crate::kernel::{ConfigError, Kernel, require};

/// Counts the key blocks that each row of blocks visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowWeightsKernel {
    /// Which key blocks are visited.
    pub walk: BlockWalk,
    /// Tokens of a block of the mask: a multiple of 16.
    pub block: usize,
    /// Whether a query sees no later keys; the sequences end together.
    pub causal: bool,
}

impl RowWeightsKernel {
    /// Rows that one workgroup counts.
    pub const ROWS: u32 = 64;
}

impl Serialize for RowWeightsKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Config {
            block: usize,
            causal: bool,
        }
        #[derive(Serialize)]
        struct Variables {
            walk: &'static str,
            config: Config,
        }
        Variables {
            walk: self.walk.name(),
            config: Config {
                block: self.block,
                causal: self.causal,
            },
        }
        .serialize(serializer)
    }
}

impl Kernel for RowWeightsKernel {
    fn template(&self) -> &'static str {
        "attention_row_weights.wgsl"
    }

    fn name(&self) -> String {
        let causal = if self.causal { "causal" } else { "full" };
        let walk = self.walk.name();
        format!("attention_row_weights_{walk}_{causal}_block-{}", self.block)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let block = self.block > 0 && self.block.is_multiple_of(16);
        let name = || self.name();
        require(block, &name, "block", self.block, "a multiple of 16")
    }
}

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
