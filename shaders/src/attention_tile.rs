//! How the queries of a workgroup of an attention kernel are divided.

use serde::{Deserialize, Serialize};

use crate::config_error::{ConfigError, require};
use crate::counting::{LOOP_ENTRY, times};
use crate::kernels::MAX_HEAD_DIM;

/// Dimensions of q and k that a workgroup of a tiled kernel stages at a time.
pub(crate) const PIECE: usize = 16;

/// Keys whose scores a direct kernel keeps in workgroup memory.
pub(crate) const STEP: usize = 64;

/// Dimensions that a loop of a direct kernel takes at least. Loops over 16 fit what a processor keeps decoded; shorter ones only add rounds, text to
/// compile and readings of the scores.
const SHORTEST_LOOP: usize = 16;

/// Invocations whose maxima a kernel for few queries compares in one round.
pub(crate) const NEIGHBOURS: usize = 8;

/// Groups of four dimensions that a kernel for few queries takes in a round of its scores: rows have a multiple of them.
pub(crate) const fn few_unroll(head_dim: usize) -> usize {
    match head_dim.div_ceil(4) % 4 {
        0 => 4,
        2 => 2,
        _ => 1,
    }
}

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
    /// Few queries, whose keys the invocations share out; see `block_attention_few.wgsl`.
    Few {
        /// Queries of a workgroup, of all heads that it takes together: 1, 2, 4 or 8.
        queries: usize,
        /// Invocations of a workgroup: a power of two from 4 to 256. A step has four times as many keys.
        lanes: usize,
    },
}

impl AttentionTile {
    /// Queries of a workgroup.
    pub const fn queries(self) -> usize {
        match self {
            Self::Direct { lanes, queries, .. } => lanes.saturating_mul(queries),
            Self::Tiled { queries, .. } | Self::Few { queries, .. } => queries,
        }
    }

    /// Invocations of a workgroup.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Direct { lanes, .. } | Self::Few { lanes, .. } => lanes,
            Self::Tiled { queries, split } => (queries / 4).saturating_mul(split),
        }
    }

    /// Keys of a step.
    pub const fn keys(self) -> usize {
        match self {
            Self::Direct { keys, .. } => keys,
            Self::Tiled { split, .. } => split.saturating_mul(4),
            Self::Few { lanes, .. } => lanes.saturating_mul(4),
        }
    }

    /// Rounds of all loops of an invocation together, at most, over `keys` keys in blocks of `block`, with what entering them counts; `usize::MAX`
    /// where a step of nothing would never end.
    pub const fn loop_rounds(self, head_dim: usize, keys: usize, block: usize) -> usize {
        let blocks = times(keys, block);
        // A block longer than the keys ends with them.
        let block = if block > keys && keys > 0 {
            keys
        } else {
            block
        };
        let of_step = match self {
            // A loop of scores and one of output for each part of the dimensions.
            Self::Direct { keys, dims, .. } => {
                let loops = times(head_dim, dims).saturating_mul(2);
                let longest = if block < STEP { block } else { STEP };
                loops.saturating_mul(times(longest, keys).saturating_add(LOOP_ENTRY))
            }
            // A loop over pieces of the dimensions and one over fours of keys.
            Self::Tiled { split, .. } => head_dim
                .div_ceil(PIECE)
                .saturating_add(split)
                .saturating_add(2 * LOOP_ENTRY),
            // Loops over pieces of the dimensions, maxima, and fours of keys.
            Self::Few { lanes, .. } => times(head_dim.div_ceil(4), few_unroll(head_dim))
                .saturating_add(lanes.div_ceil(NEIGHBOURS))
                .saturating_add(lanes)
                .saturating_add(3 * LOOP_ENTRY),
        };
        // A step ends with its block.
        let steps_of_block = match self {
            Self::Direct { .. } => times(block, STEP),
            _ => times(block, self.keys()),
        };
        let of_block = steps_of_block.saturating_mul(of_step.saturating_add(1));
        // The walk takes a round for each block, and its search at most two.
        let walk = 3 + 2 * LOOP_ENTRY;
        let ends = match self {
            // q, and in the end sums and shares of the output.
            Self::Few { queries, lanes } => {
                let of_query = lanes.saturating_add(LOOP_ENTRY).saturating_mul(2);
                queries.saturating_mul(of_query.saturating_add(head_dim.div_ceil(4)))
            }
            _ => 0,
        };
        blocks
            .saturating_mul(of_block.saturating_add(walk))
            .saturating_add(ends)
            .saturating_add(walk)
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
            // The longest rows of q, weights of four keys, and a maximum.
            Self::Few { queries, lanes } => {
                queries.saturating_mul(lanes.saturating_mul(20).saturating_add(4 * MAX_HEAD_DIM))
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
            Self::Few { queries, .. } => {
                let few = matches!(queries, 1 | 2 | 4 | 8);
                require(few, kernel, "tile.queries", queries, "1, 2, 4 or 8")?;
                let power = lanes >= 4 && lanes.is_power_of_two();
                let possible = "a power of two from 4 to 256";
                require(power, kernel, "tile.lanes", lanes, possible)?;
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
        // A step of few queries ends with its block.
        let steps = matches!(self, Self::Few { .. }) || block.is_multiple_of(self.keys());
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
            Self::Few { queries, lanes } => write!(f, "few-{queries}x{lanes}"),
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
        // 8 blocks of two steps, each with 4 loops of scores and 4 of output over 16 fours of keys.
        assert_eq!(
            DIRECT.loop_rounds(64, 1024, 128),
            8 * (2 * (8 * (16 + 2) + 1) + 7) + 7
        );
        // A block that is longer than the keys ends with them.
        assert_eq!(
            DIRECT.loop_rounds(64, 100, 1 << 30),
            DIRECT.loop_rounds(64, 100, 100)
        );
        assert_eq!(DIRECT.loop_rounds(64, 0, 128), 7);
        let tiled = AttentionTile::Tiled {
            queries: 32,
            split: 8,
        };
        // 4 steps a block, each with 4 pieces of the dimensions and 8 fours of keys.
        assert_eq!(
            tiled.loop_rounds(64, 1024, 128),
            8 * (4 * (4 + 8 + 4 + 1) + 7) + 7
        );
        let few = AttentionTile::Few {
            queries: 2,
            lanes: 16,
        };
        // 2 steps a block, each with 4 pieces of the dimensions, 2 rounds of maxima, 16 fours of keys; before and after, 16 groups of dimensions
        // and twice 16 invocations for both queries.
        let ends = 2 * (2 * (16 + 2) + 16);
        assert_eq!(
            few.loop_rounds(64, 1024, 128),
            8 * (2 * (4 + 2 + 16 + 6 + 1) + 7) + ends + 7
        );
        // A block of 16 keys is a step of 16.
        assert_eq!(
            few.loop_rounds(64, 1024, 16),
            64 * (4 + 2 + 16 + 6 + 1 + 7) + ends + 7
        );
    }

    /// Rounds a block that llvmpipe of Mesa 22.3 was found to count, by the keys that it left out of a row.
    #[test]
    fn loops_are_charged_what_a_driver_counts() {
        let of_block = |tile: AttentionTile, head_dim, block| {
            tile.loop_rounds(head_dim, 2 * block, block) - tile.loop_rounds(head_dim, block, block)
        };
        assert!(of_block(DIRECT, 64, 128) >= 284);
        assert!(of_block(DIRECT, 128, 128) >= 565);
        let tiled = AttentionTile::Tiled {
            queries: 32,
            split: 8,
        };
        assert!(of_block(tiled, 64, 128) >= 4 * 16);
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
                AttentionTile::Few {
                    queries: n,
                    lanes: n,
                },
                AttentionTile::Few {
                    queries: 8,
                    lanes: 1 << (usize::BITS - 1),
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
