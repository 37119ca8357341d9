//! `xattention_score.wgsl`: maxima and sums of exponentials.

use serde::Serialize;
use serde::ser::Error;

use crate::config_error::ConfigError;
use crate::counting::{LOOP_ENTRY, times};
use crate::kernel::Kernel;
use crate::tile::Tile;
use crate::xattention_rules::{XAttentionRules, check_groups};

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

    /// Times that a workgroup walks over k, a tile of rows each time: none for blocks of no groups, and without end where a tile has no rows.
    pub const fn tiles(&self) -> usize {
        if self.unit_blocks() > 1 {
            1
        } else {
            times(self.groups_per_block, self.tile.rows)
        }
    }

    /// Rounds of all loops of an invocation together, where a group has `steps` times four k. With a tile of no rows more than any driver runs.
    pub const fn loop_rounds(&self, steps: usize) -> usize {
        self.tiles()
            .saturating_mul(steps.saturating_add(1 + LOOP_ENTRY))
    }

    /// Rows of a tile: as few as cover the groups of a workgroup in that many tiles; none where there are no groups.
    pub const fn rows(&self) -> usize {
        match self.tiles() {
            0 => 0,
            tiles => (self.unit_blocks() * self.groups_per_block).div_ceil(tiles),
        }
    }
}

impl Serialize for XAttentionScoreKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Tiles that never cover the groups are no variables.
        self.check().map_err(S::Error::custom)?;
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

#[cfg(test)]
mod tests {
    use minijinja::value::{Serde, Value, ValueKind};

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
        let rounds = |groups_per_block, rows| {
            let kernel = XAttentionScoreKernel {
                groups_per_block,
                tile: Tile { rows, ..tile },
                rules,
            };
            kernel.loop_rounds(100)
        };
        let all = [(3, 8), (9, 8), (9, 0)].map(|(groups, rows)| rounds(groups, rows));
        assert_eq!(all, [103, 2 * 103, usize::MAX]);
        assert_eq!(cover(1), (8, 1, 8));
        assert_eq!(cover(2), (4, 1, 8));
        assert_eq!(cover(3), (2, 1, 6));
        assert_eq!(cover(5), (1, 1, 5));
        assert_eq!(cover(8), (1, 1, 8));
        assert_eq!(cover(9), (1, 2, 5));
        assert_eq!(cover(32), (1, 4, 8));
    }

    #[test]
    fn blocks_of_no_groups_and_tiles_of_no_rows_are_refused_without_a_panic() {
        let kernel = |groups_per_block, rows| XAttentionScoreKernel {
            groups_per_block,
            tile: Tile {
                rows,
                cols: 8,
                lanes: 8,
            },
            rules: XAttentionRules {
                exact: true,
                causal: true,
            },
        };
        let most = usize::MAX;
        for (groups_per_block, rows, tiles) in [
            (0, 8, 0),
            (0, 0, most),
            (9, 0, most),
            (most, 0, most),
            (most, 1, most),
            (most, most, 1),
        ] {
            let kernel = kernel(groups_per_block, rows);
            assert_eq!(kernel.tiles(), tiles, "{kernel:?}");
            assert!(kernel.check().is_err(), "{kernel:?}");
            let variables = Value::from(Serde(kernel)).kind();
            assert_eq!(variables, ValueKind::Invalid, "{kernel:?}");
            kernel.loop_rounds(most);
        }
        assert_eq!(kernel(0, 8).rows(), 0);
        // Tiles without end have a row each.
        assert_eq!(kernel(9, 0).rows(), 1);
    }
}
