//! `xattention_select.wgsl`: blocks by their scores.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::counting::LOOP_ENTRY;
use crate::kernel::Kernel;
use crate::xattention_rules::XAttentionRules;

/// The blocks to keep of every block row; see `xattention_select.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionSelectKernel {
    /// The rule of selection.
    pub rules: XAttentionRules,
    /// Invocations of a row, 1 to 256.
    pub row_lanes: usize,
    /// Rows of a workgroup; 1 unless a row has one invocation.
    pub rows: usize,
    /// A fixed count of blocks per row instead of a share of the mass; Exact mode only.
    pub top_k: bool,
    /// A mask of forced blocks is bound.
    pub forced_mask: bool,
}

impl XAttentionSelectKernel {
    /// Most invocations of a row.
    pub const MOST_ROW_LANES: usize = 256;

    /// Times that the scores of a row of `blocks` key blocks are read: a round for each bit of a score and each of an index, and a few more.
    pub const fn passes(blocks: usize) -> usize {
        40 + Self::index_bits(blocks) as usize
    }

    /// Bits of the index of a key block, of `blocks`.
    pub const fn index_bits(blocks: usize) -> u32 {
        usize::BITS - blocks.leading_zeros()
    }

    /// Rounds of all loops together of one of `row_lanes` invocations that share a row of `blocks` key blocks: each pass goes through the
    /// invocation's blocks and through the other invocations' parts, both loops inside of others. Without invocations more than any driver runs.
    pub const fn loop_rounds(blocks: usize, row_lanes: usize) -> usize {
        if row_lanes == 0 {
            return usize::MAX;
        }
        let pass =
            (blocks / row_lanes).saturating_add(row_lanes.saturating_add(2 + 2 * LOOP_ENTRY));
        Self::passes(blocks).saturating_mul(pass)
    }
}

impl Serialize for XAttentionSelectKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            exact: bool,
            causal: bool,
            row_lanes: usize,
            rows: usize,
            top_k: bool,
            forced_mask: bool,
        }
        Variables {
            exact: self.rules.exact,
            causal: self.rules.causal,
            row_lanes: self.row_lanes,
            rows: self.rows,
            top_k: self.top_k,
            forced_mask: self.forced_mask,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionSelectKernel {
    fn template(&self) -> &'static str {
        "xattention_select.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_select_{}_{}x{}{}{}",
            self.rules.label(),
            self.rows,
            self.row_lanes,
            if self.top_k { "_top-k" } else { "" },
            if self.forced_mask { "_forced" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let (lanes, rows) = (self.row_lanes, self.rows);
        let ok = (1..=Self::MOST_ROW_LANES).contains(&lanes);
        require(ok, &name, "invocations of a row", lanes, "1 to 256")?;
        let ok = self.rules.exact || !self.top_k;
        require(ok, &name, "top_k", 1, "0 in Reference mode")?;
        let ok = rows == 1 || (lanes == 1 && (1..=256).contains(&rows));
        require(ok, &name, "rows", rows, "1, or up to 256 of one invocation")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_goes_through_blocks_and_parts() {
        // The index of one of ten blocks has 4 bits.
        assert_eq!(XAttentionSelectKernel::passes(10), 44);
        assert_eq!(
            XAttentionSelectKernel::loop_rounds(10, 1),
            44 * (10 + 3 + 4)
        );
        assert_eq!(XAttentionSelectKernel::loop_rounds(10, 4), 44 * (2 + 6 + 4));
        assert_eq!(XAttentionSelectKernel::loop_rounds(10, 0), usize::MAX);
        // More than can be counted.
        for (blocks, row_lanes) in [(usize::MAX, 1), (10, usize::MAX)] {
            let rounds = XAttentionSelectKernel::loop_rounds(blocks, row_lanes);
            assert_eq!(rounds, usize::MAX);
        }
    }
}
