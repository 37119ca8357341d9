//! `attention_row_weights.wgsl`: how many key blocks each row of a mask visits.

use serde::Serialize;

use super::block_attention::{check_mask_group, mask_group_words};
use crate::block_walk::BlockWalk;
use crate::config_error::{ConfigError, require};
use crate::kernel::{Kernel, PLAIN_LANES};

/// Counts the key blocks that each row of blocks visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowWeightsKernel {
    /// Which key blocks are visited.
    pub walk: BlockWalk,
    /// Tokens of a block of the mask: a multiple of 16.
    pub block: usize,
    /// Whether a query sees no later keys; the sequences end together.
    pub causal: bool,
    /// Neighbouring query heads that follow one head of the mask.
    pub mask_group: usize,
}

impl RowWeightsKernel {
    /// Rows that one workgroup counts.
    pub const ROWS: usize = PLAIN_LANES;
}

impl Serialize for RowWeightsKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Config {
            block: usize,
            causal: bool,
            heads: usize,
            mask_group: usize,
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
                heads: 1,
                mask_group: self.mask_group,
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
        let shared = mask_group_words(self.mask_group);
        let block = self.block;
        format!("attention_row_weights_{walk}_{causal}{shared}_block-{block}")
    }

    fn check(&self) -> Result<(), ConfigError> {
        let block = self.block > 0 && self.block.is_multiple_of(16);
        let name = || self.name();
        require(block, &name, "block", self.block, "a multiple of 16")?;
        check_mask_group(self.mask_group, &name)
    }
}
