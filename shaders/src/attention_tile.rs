//! How the queries of a workgroup of an attention kernel are divided.

use serde::{Deserialize, Serialize};

use crate::config_error::{ConfigError, require};
use crate::counting::times;

/// Dimensions of q and k that a workgroup of a tiled kernel stages at a time.
pub(crate) const PIECE: usize = 16;

/// Keys whose scores a direct kernel keeps in workgroup memory.
pub(crate) const STEP: usize = 64;

/// Dimensions that a loop of a direct kernel takes at least. Loops over 16 fit what a processor keeps decoded; shorter ones only add rounds, text to
/// compile and readings of the scores.
const SHORTEST_LOOP: usize = 16;

/// How the queries of a workgroup are divided among its invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AttentionTile {
    /// Whole queries in the registers of an invocation; see `block_attention.wgsl`. Its text has twice `queries * keys * head_dim` multiply-adds,
    /// however long the loops are: with many of all three compilers take minutes.
    Direct {
        /// Invocations of a workgroup: a power of two, at most 256.
        lanes: usize,
        /// Queries of an invocation: 1, 2 or 4.
        queries: usize,
        /// Keys of a step: 4, 8 or 16.
        keys: usize,
        /// Dimensions that each loop takes, a multiple of 4 from 16 up: short loops fit what a processor keeps decoded, but read the scores again.
        dims: usize,
    },
    /// Groups of four queries shared by several invocations; see `block_attention_tiled.wgsl`.
    Tiled {
        /// Queries of a workgroup: a multiple of 4.
        queries: usize,
        /// Invocations that share four queries: 4, 8 or 16. A step has four times as many keys.
        split: usize,
    },
}

impl AttentionTile {
    /// Queries of a workgroup.
    pub const fn queries(self) -> usize {
        match self {
            Self::Direct { lanes, queries, .. } => lanes.saturating_mul(queries),
            Self::Tiled { queries, .. } => queries,
        }
    }

    /// Invocations of a workgroup.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Direct { lanes, .. } => lanes,
            Self::Tiled { queries, split } => (queries / 4).saturating_mul(split),
        }
    }

    /// Keys of a step.
    pub const fn keys(self) -> usize {
        match self {
            Self::Direct { keys, .. } => keys,
            Self::Tiled { split, .. } => split.saturating_mul(4),
        }
    }

    /// Rounds of all loops of an invocation together, at most, over `keys` keys in blocks of `block`; `usize::MAX` where a step of nothing would
    /// never end.
    pub const fn loop_rounds(self, head_dim: usize, keys: usize, block: usize) -> usize {
        let steps = times(keys, self.keys());
        // The walk takes a round for each block, and its search at most two.
        let walk = times(keys, block).saturating_mul(3).saturating_add(3);
        let inner = match self {
            Self::Direct { dims, .. } => {
                // Scores and output, for each part of the dimensions; the last step of a block may be short.
                let loops = times(head_dim, dims).saturating_mul(2);
                steps
                    .saturating_mul(loops)
                    .saturating_add(keys.div_ceil(STEP))
            }
            Self::Tiled { split, .. } => {
                let staged = head_dim.div_ceil(PIECE).saturating_add(1);
                steps.saturating_mul(staged.saturating_add(split))
            }
        };
        inner.saturating_add(walk)
    }

    /// Bytes of workgroup memory.
    pub const fn workgroup_bytes(self) -> usize {
        match self {
            Self::Direct { .. } => self.queries().saturating_mul(4 * STEP),
            Self::Tiled { queries, split } => {
                let groups = queries / 4;
                let staged = groups.saturating_add(split).saturating_mul(PIECE);
                // Weights of four keys, and a maximum.
                let shared = groups.saturating_mul(split).saturating_mul(5);
                staged.saturating_add(shared).saturating_mul(16)
            }
        }
    }

    /// Whether the templates can be expanded with this tile for blocks of `block` tokens; `kernel` names what it is for.
    ///
    /// # Errors
    /// [`ConfigError`], one number out of range.
    pub fn check(self, block: usize, kernel: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let (lanes, tile_queries) = (self.lanes(), self.queries());
        match self {
            Self::Direct {
                queries,
                keys,
                dims,
                ..
            } => {
                let power = lanes.is_power_of_two();
                require(power, kernel, "tile.lanes", lanes, "a power of two")?;
                let few = matches!(queries, 1 | 2 | 4);
                require(few, kernel, "tile.queries", queries, "1, 2 or 4")?;
                let step = matches!(keys, 4 | 8 | 16);
                require(step, kernel, "tile.keys", keys, "4, 8 or 16")?;
                let fours = dims >= SHORTEST_LOOP && dims.is_multiple_of(4);
                let possible = "a multiple of 4 from 16 up";
                require(fours, kernel, "tile.dims", dims, possible)?;
            }
            Self::Tiled { queries, split } => {
                let fours = queries.is_multiple_of(4);
                require(fours, kernel, "tile.queries", queries, "a multiple of 4")?;
                let split_fits = matches!(split, 4 | 8 | 16);
                require(split_fits, kernel, "tile.split", split, "4, 8 or 16")?;
            }
        }
        let lanes_fit = (1..=256).contains(&lanes);
        require(
            lanes_fit,
            kernel,
            "invocations of the tile",
            lanes,
            "1 to 256",
        )?;
        let bytes = self.workgroup_bytes();
        require(
            bytes <= 16384,
            kernel,
            "bytes of workgroup memory",
            bytes,
            "16384",
        )?;
        let whole = tile_queries > 0 && block.is_multiple_of(tile_queries);
        let divisor = "a divisor of the block";
        require(whole, kernel, "queries of the tile", tile_queries, divisor)?;
        let steps = block.is_multiple_of(self.keys());
        require(steps, kernel, "keys of a step", self.keys(), divisor)
    }
}

impl std::fmt::Display for AttentionTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Direct {
                lanes,
                queries,
                keys,
                dims,
            } => write!(f, "direct-{lanes}x{queries}x{keys}x{dims}"),
            Self::Tiled { queries, split } => write!(f, "tiled-{queries}x{split}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECT: AttentionTile = direct(4, 16);

    const fn direct(keys: usize, dims: usize) -> AttentionTile {
        AttentionTile::Direct {
            lanes: 8,
            queries: 2,
            keys,
            dims,
        }
    }

    #[test]
    fn loops_are_counted_as_the_templates_have_them() {
        // 256 steps with 4 loops of scores and 4 of output, 16 rescalings, 8 blocks.
        assert_eq!(DIRECT.loop_rounds(64, 1024, 128), 256 * 8 + 16 + 3 * 8 + 3);
        let tiled = AttentionTile::Tiled {
            queries: 32,
            split: 8,
        };
        // 32 steps with 4 pieces, one loop of weights, 8 of output.
        assert_eq!(tiled.loop_rounds(64, 1024, 128), 32 * 13 + 3 * 8 + 3);
    }

    #[test]
    fn steps_of_nothing_never_end() {
        let tiled = AttentionTile::Tiled {
            queries: 16,
            split: 0,
        };
        for (tile, block) in [
            (direct(4, 0), 128),
            (direct(0, 16), 128),
            (tiled, 128),
            (DIRECT, 0),
        ] {
            assert_eq!(tile.loop_rounds(64, 1024, block), usize::MAX, "{tile}");
        }
    }

    #[test]
    fn loops_over_few_dimensions_are_refused() {
        for (dims, is_possible) in [(4, false), (12, false), (18, false), (16, true), (20, true)] {
            let checked = direct(4, dims).check(128, &|| "attention".to_owned());
            assert_eq!(checked.is_ok(), is_possible, "{dims}: {checked:?}");
        }
        let refusal = direct(4, 4).check(128, &|| "attention".to_owned());
        let message = refusal.unwrap_err().to_string();
        assert!(
            message.contains("tile.dims is 4, possible is a multiple of 4 from 16 up"),
            "{message}"
        );
    }

    #[test]
    fn tiles_of_any_numbers_are_refused_without_a_panic() {
        let most = usize::MAX;
        for n in [0, 1, 2, 3, most - 1, most] {
            let tiles = [
                AttentionTile::Direct {
                    lanes: n,
                    queries: n,
                    keys: n,
                    dims: n,
                },
                AttentionTile::Direct {
                    lanes: 1 << (usize::BITS - 1),
                    queries: 4,
                    keys: 4,
                    dims: 16,
                },
                AttentionTile::Tiled {
                    queries: n,
                    split: n,
                },
                AttentionTile::Tiled {
                    queries: most - 3,
                    split: 16,
                },
            ];
            for tile in tiles {
                for block in [0, 128, most] {
                    assert!(tile.check(block, &|| tile.to_string()).is_err(), "{tile}");
                    tile.loop_rounds(n, n, block);
                }
            }
        }
    }
}
