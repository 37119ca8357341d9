//! `xattention_reduce.wgsl`: block scores from maxima and sums.

use serde::Serialize;

use crate::config_error::ConfigError;
use crate::counting::LOOP_ENTRY;
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::xattention_rules::{XAttentionRules, check_groups};

/// Block scores from maxima and sums; see `xattention_reduce.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionReduceKernel {
    /// Groups of a block.
    pub groups_per_block: usize,
    /// Which pairs count.
    pub rules: XAttentionRules,
    /// Normalise each query group; otherwise its plain sum of exponentials counts.
    pub softmax: bool,
}

impl XAttentionReduceKernel {
    /// Query groups that a workgroup handles at a time.
    const fn width(&self) -> usize {
        if self.groups_per_block < PLAIN_LANES {
            self.groups_per_block.next_power_of_two()
        } else {
            PLAIN_LANES
        }
    }

    /// Rounds of all loops of an invocation together, for rows of `blocks` key blocks.
    pub const fn loop_rounds(&self, blocks: usize) -> usize {
        let width = self.width();
        // Of a chunk of query groups: their key blocks and parts, then whole key blocks.
        let parts = blocks.saturating_mul(width).div_ceil(PLAIN_LANES) + 2 * PLAIN_LANES / width;
        let whole = blocks
            .div_ceil(PLAIN_LANES)
            .saturating_mul(width + 1 + LOOP_ENTRY);
        self.chunks()
            .saturating_mul(whole.saturating_add(parts + 1 + 4 * LOOP_ENTRY))
    }

    /// Times that a workgroup handles query groups.
    const fn chunks(&self) -> usize {
        self.groups_per_block.div_ceil(self.width())
    }
}

impl Serialize for XAttentionReduceKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            groups_per_block: usize,
            width: usize,
            parts: usize,
            chunks: usize,
            exact: bool,
            causal: bool,
            softmax: bool,
        }
        let width = self.width();
        Variables {
            groups_per_block: self.groups_per_block,
            width,
            parts: PLAIN_LANES / width,
            chunks: self.chunks(),
            exact: self.rules.exact,
            causal: self.rules.causal,
            softmax: self.softmax,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionReduceKernel {
    fn template(&self) -> &'static str {
        "xattention_reduce.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_reduce_g{}_{}{}",
            self.groups_per_block,
            self.rules.label(),
            if self.softmax { "" } else { "_exp" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_groups(self.groups_per_block, &|| self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_those_of_all_chunks_of_query_groups() {
        let rounds = |groups_per_block, blocks| {
            let kernel = XAttentionReduceKernel {
                groups_per_block,
                rules: XAttentionRules {
                    exact: true,
                    causal: true,
                },
                softmax: true,
            };
            kernel.loop_rounds(blocks)
        };
        // 16 query groups with 4 invocations each: 25 key blocks, twice 4 parts, 2 whole blocks of 16 groups; one chunk.
        assert_eq!(rounds(16, 100), (25 + 8 + 2 * (17 + 2)) + 1 + 8);
        // 64 of 100 query groups at a time: 10 key blocks, twice 1 part, 1 whole block of 64 groups; two chunks.
        assert_eq!(rounds(100, 10), 2 * (10 + 2 + (65 + 2) + 1 + 8));
        // More than can be counted.
        for groups_per_block in [100, usize::MAX] {
            assert_eq!(rounds(groups_per_block, usize::MAX), usize::MAX);
        }
    }
}
