//! How the queries of a workgroup of an attention kernel are divided.

use serde::{Deserialize, Serialize};

use crate::kernel::{ConfigError, require};

/// Dimensions of q and k that a workgroup of a tiled kernel stages at a time.
pub(crate) const PIECE: usize = 16;

/// Keys whose scores a direct kernel keeps in workgroup memory.
pub(crate) const STEP: usize = 64;

/// Tables that were written before loops had a length of their own meant this one.
const fn dims_of_older_tables() -> usize {
    128
}

/// How the queries of a workgroup are divided among its invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AttentionTile {
    /// Whole queries in the registers of an invocation; see `block_attention.wgsl`.
    Direct {
        /// Invocations of a workgroup: a power of two, at most 256.
        lanes: usize,
        /// Queries of an invocation: 1, 2 or 4.
        queries: usize,
        /// Keys of a step: 4, 8 or 16.
        keys: usize,
        /// Dimensions that each loop takes, a multiple of 4: short loops fit what a processor keeps decoded, but read the scores again.
        #[serde(default = "dims_of_older_tables")]
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
            Self::Direct { lanes, queries, .. } => lanes * queries,
            Self::Tiled { queries, .. } => queries,
        }
    }

    /// Invocations of a workgroup.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Direct { lanes, .. } => lanes,
            Self::Tiled { queries, split } => queries / 4 * split,
        }
    }

    /// Keys of a step.
    pub const fn keys(self) -> usize {
        match self {
            Self::Direct { keys, .. } => keys,
            Self::Tiled { split, .. } => 4 * split,
        }
    }

    /// Rounds of all loops of an invocation together, at most, over `keys` keys in blocks of `block`.
    pub const fn loop_rounds(self, head_dim: usize, keys: usize, block: usize) -> usize {
        let steps = keys.div_ceil(self.keys());
        // The walk takes a round for each block, and its search at most two.
        let walk = 3 * keys.div_ceil(block) + 3;
        match self {
            Self::Direct { dims, .. } => {
                // Scores and output, for each part of the dimensions; the last step of a block may be short.
                let loops = 2 * head_dim.div_ceil(dims);
                steps * loops + keys.div_ceil(STEP) + walk
            }
            Self::Tiled { split, .. } => steps * (1 + head_dim.div_ceil(PIECE) + split) + walk,
        }
    }

    /// Bytes of workgroup memory.
    pub const fn workgroup_bytes(self) -> usize {
        match self {
            Self::Direct { lanes, queries, .. } => 4 * STEP * queries * lanes,
            Self::Tiled { queries, split } => {
                let groups = queries / 4;
                16 * (PIECE * (groups + split) + 4 * split * groups + split * groups)
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
                let fours = dims > 0 && dims.is_multiple_of(4);
                require(fours, kernel, "tile.dims", dims, "a multiple of 4")?;
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
