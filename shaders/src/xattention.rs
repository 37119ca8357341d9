//! The kernels of XAttention that make block scores: packing token groups, scoring, reducing.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, Storage, require};
use crate::matmul::Tile;

/// Token groups as columns of panels, or as aligned rows; see `xattention_pack.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionPackKernel {
    /// Storage of the tokens.
    pub input: Storage,
    /// Elements of a token in one head.
    pub head_dim: usize,
    /// Groups of a panel, a multiple of 4; 0 for rows.
    pub panel: usize,
    /// The tokens of a group in reverse.
    pub reversed: bool,
}

impl XAttentionPackKernel {
    /// Whether tokens start at multiples of four elements: they load as vec4 then.
    pub const fn vectors(&self) -> bool {
        self.head_dim.is_multiple_of(4)
    }
}

impl Serialize for XAttentionPackKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            input: Storage,
            head_dim: usize,
            vectors: bool,
            panel: usize,
            reversed: bool,
        }
        Variables {
            input: self.input,
            head_dim: self.head_dim,
            vectors: self.vectors(),
            panel: self.panel,
            reversed: self.reversed,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionPackKernel {
    fn template(&self) -> &'static str {
        "xattention_pack.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_pack_{}_d{}_panel-{}{}",
            self.input.name(),
            self.head_dim,
            self.panel,
            if self.reversed { "_reversed" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let ok = self.panel.is_multiple_of(4);
        let name = || self.name();
        require(ok, &name, "panel", self.panel, "a multiple of 4")?;
        let ok = (1..=1 << 30).contains(&self.head_dim);
        require(ok, &name, "head_dim", self.head_dim, "1 to 2^30")
    }
}

/// Which key groups a query group may look at, and how a partly filled group counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct XAttentionRules {
    /// Real lengths and means over real pairs of tokens; otherwise the rules of Reference mode.
    pub exact: bool,
    /// Only keys at or before the query.
    pub causal: bool,
}

impl XAttentionRules {
    pub(crate) fn label(self) -> String {
        let mode = if self.exact { "exact" } else { "reference" };
        format!("{mode}-{}", if self.causal { "causal" } else { "full" })
    }
}

/// Maximum and sum of exponentials per query group and key block; see `xattention_score.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionScoreKernel {
    /// Groups of a block.
    pub groups_per_block: usize,
    /// The register tile. Rows are key groups, at most so many as `tile.rows`; columns are query groups.
    pub tile: Tile,
    /// Which pairs count.
    pub rules: XAttentionRules,
}

impl XAttentionScoreKernel {
    /// Key blocks of a workgroup: several where blocks have few groups.
    pub const fn unit_blocks(&self) -> usize {
        if self.groups_per_block >= self.tile.rows || self.groups_per_block == 0 {
            1
        } else {
            self.tile.rows / self.groups_per_block
        }
    }

    /// Times that a workgroup walks over k, a tile of rows each time.
    pub const fn tiles(&self) -> usize {
        if self.unit_blocks() > 1 {
            1
        } else {
            self.groups_per_block.div_ceil(self.tile.rows)
        }
    }

    /// Rows of a tile: as few as cover the groups of a workgroup in that many tiles.
    pub const fn rows(&self) -> usize {
        (self.unit_blocks() * self.groups_per_block).div_ceil(self.tiles())
    }
}

impl Serialize for XAttentionScoreKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            groups_per_block: usize,
            unit_blocks: usize,
            tiles: usize,
            rows: usize,
            vectors: usize,
            lanes: usize,
            panel: usize,
            exact: bool,
            causal: bool,
        }
        Variables {
            groups_per_block: self.groups_per_block,
            unit_blocks: self.unit_blocks(),
            tiles: self.tiles(),
            rows: self.rows(),
            vectors: self.tile.cols / 4,
            lanes: self.tile.lanes,
            panel: self.tile.panel(),
            exact: self.rules.exact,
            causal: self.rules.causal,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionScoreKernel {
    fn template(&self) -> &'static str {
        "xattention_score.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_score_{}_g{}_{}",
            self.tile,
            self.groups_per_block,
            self.rules.label()
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        self.tile.check(&name)?;
        check_groups(self.groups_per_block, &name)
    }
}

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
    /// Invocations of a workgroup.
    const LANES: usize = 64;

    /// Query groups that a workgroup handles at a time.
    const fn width(&self) -> usize {
        let width = self.groups_per_block.next_power_of_two();
        if width < Self::LANES {
            width
        } else {
            Self::LANES
        }
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
            parts: Self::LANES / width,
            chunks: self.groups_per_block.div_ceil(width),
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

fn check_groups(groups: usize, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
    require(
        (1..=1 << 30).contains(&groups),
        kernel,
        "groups of a block",
        groups,
        "1 to 2^30",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_covers_the_groups_of_its_blocks() {
        let tile = Tile {
            rows: 8,
            cols: 8,
            lanes: 8,
        };
        let rules = XAttentionRules {
            exact: true,
            causal: true,
        };
        let cover = |groups_per_block| {
            let kernel = XAttentionScoreKernel {
                groups_per_block,
                tile,
                rules,
            };
            (kernel.unit_blocks(), kernel.tiles(), kernel.rows())
        };
        assert_eq!(cover(1), (8, 1, 8));
        assert_eq!(cover(2), (4, 1, 8));
        assert_eq!(cover(3), (2, 1, 6));
        assert_eq!(cover(5), (1, 1, 5));
        assert_eq!(cover(8), (1, 1, 8));
        assert_eq!(cover(9), (1, 2, 5));
        assert_eq!(cover(32), (1, 4, 8));
    }
}
