//! One line of a table: a kernel, for which problems, with which tile.

use serde::{Deserialize, Serialize};
use sparse_shaders::{AttentionTile, ConfigError, Kernel, MatmulKernel, MatvecKernel, Tile};

use super::{TileTableError, TileWalk};
use crate::attention::few::is_few;

/// A kernel and the tile that it is expanded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum KernelTile {
    /// `matmul.wgsl`: the products of more than 8 tokens.
    Matmul {
        /// Its walk.
        walk: TileWalk,
        /// Its register tile.
        tile: Tile,
    },
    /// `matvec.wgsl`: the products of at most 8 tokens.
    Matvec {
        /// Its walk.
        walk: TileWalk,
        /// Rows of w of a workgroup: 1, 2, 4, 8 or 16.
        rows: usize,
        /// Invocations of a workgroup, which share out k: a power of two, at most 256.
        lanes: usize,
    },
    /// `block_attention.wgsl`, `block_attention_tiled.wgsl` or, for few queries, `block_attention_few.wgsl`.
    BlockAttention {
        /// Elements of a token in a head.
        head_dim: usize,
        /// How queries are divided. Of a tile for few, plans take no more queries than the heads of a problem that share their keys have together.
        tile: AttentionTile,
    },
    /// `xattention_score.wgsl`.
    XattentionScore {
        /// Query and key groups of a block: block / stride.
        groups_per_block: usize,
        /// Rows are key groups, columns and lanes query groups.
        tile: Tile,
    },
}

/// Tokens that a tile is for, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRange {
    /// The fewest.
    pub from: usize,
    /// The most.
    pub to: usize,
}

/// What made a tile the better one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TileMeasurement {
    /// The problem, in words.
    pub problem: String,
    /// The tile that a plan takes without the table.
    pub default_tile: String,
    /// Median time with that, milliseconds.
    pub default_ms: f64,
    /// Median time with the tile of the entry, milliseconds.
    pub ms: f64,
    /// How much the gain differed from round to round: `(p75 - p25) / median`.
    pub spread: f64,
}

/// A line of a [`super::TileTable`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TileEntry {
    /// Kernel and tile.
    pub kernel: KernelTile,
    /// Bytes of a stored element, 2 or 4: of the weights of a product, of k in attention and scoring.
    pub element_bytes: usize,
    /// Tokens: of x in a product, all items of a batch that share w together where neither x nor y is transposed; of k in attention; of q in scoring.
    pub tokens: TokenRange,
    /// What was measured, for readers; plans do not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<TileMeasurement>,
}

/// A [`KernelTile`] without its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Problems {
    Matmul(TileWalk),
    Matvec(TileWalk),
    BlockAttention { head_dim: usize, few: bool },
    XattentionScore { groups_per_block: usize },
}

/// No number of a tile is larger, so that products of three of them are numbers on 32 bits too.
const MOST: usize = 1 << 10;
/// Rows that share a list of k, at most: the next power of two is a number.
const MOST_ROWS: usize = 1 << 24;

impl KernelTile {
    /// Whether both are tiles of the same kernel for the same problems.
    pub fn is_of_same_kernel(&self, other: &Self) -> bool {
        self.problems() == other.problems()
    }

    /// The kernel, and what of the problem beside width and tokens decides whether a plan may take the tile.
    pub(super) fn problems(&self) -> Problems {
        match *self {
            Self::Matmul { walk, .. } => Problems::Matmul(walk),
            Self::Matvec { walk, .. } => Problems::Matvec(walk),
            Self::BlockAttention { head_dim, tile } => Problems::BlockAttention {
                head_dim,
                few: is_few(tile),
            },
            Self::XattentionScore {
                groups_per_block, ..
            } => Problems::XattentionScore { groups_per_block },
        }
    }

    /// The tile alone, in words.
    pub fn tile_words(&self) -> String {
        match self {
            Self::Matmul { tile, .. } | Self::XattentionScore { tile, .. } => tile.to_string(),
            Self::Matvec { rows, lanes, .. } => format!("{rows} rows, {lanes} lanes"),
            Self::BlockAttention { tile, .. } => tile.to_string(),
        }
    }

    /// The kernel alone, in words.
    pub fn kernel_words(&self) -> String {
        match self {
            Self::Matmul { walk, .. } => format!("matmul {walk}"),
            Self::Matvec { walk, .. } => format!("matvec {walk}"),
            Self::BlockAttention { head_dim, tile } => {
                let few = if is_few(*tile) { " of few queries" } else { "" };
                format!("block_attention{few}, head_dim {head_dim}")
            }
            Self::XattentionScore {
                groups_per_block, ..
            } => {
                format!("xattention_score, {groups_per_block} groups a block")
            }
        }
    }

    /// Whether the templates can be expanded with the tile, and the tile divides what the kernel is for.
    ///
    /// # Errors
    /// [`TileTableError::Tile`], which rule is broken and what is possible.
    pub fn check(&self) -> Result<(), TileTableError> {
        let refuse = |reason: String| TileTableError::Tile {
            kernel: self.kernel_words(),
            reason,
        };
        let template = |result: Result<(), ConfigError>| result.map_err(|e| refuse(e.to_string()));
        if self.numbers().into_iter().any(|n| n > MOST) {
            return Err(refuse(format!("a number of it is larger than {MOST}")));
        }
        match *self {
            Self::Matmul { walk, tile } => {
                template(MatmulKernel::new(walk.example(), tile).check())?;
                Self::check_strip(walk, tile.rows).map_err(refuse)
            }
            Self::Matvec { walk, rows, lanes } => {
                template(MatvecKernel::new(walk.example(), rows, 1, lanes).check())?;
                Self::check_strip(walk, rows).map_err(refuse)
            }
            Self::BlockAttention { tile, .. } => {
                // Whether it divides the block shows when a plan is made; this block it does divide.
                let block = tile.queries().max(1) * tile.keys().max(1);
                template(tile.check(block, &|| tile.to_string()))
            }
            Self::XattentionScore {
                groups_per_block,
                tile,
            } => {
                if groups_per_block == 0 {
                    return Err(refuse("a block of no groups".to_owned()));
                }
                template(tile.check(&|| tile.to_string()))
            }
        }
    }

    /// A tile of more rows than share a list computes the rest in vain.
    fn check_strip(walk: TileWalk, rows: usize) -> Result<(), String> {
        let strip = walk.example().strip_rows(rows);
        if rows <= strip.min(MOST_ROWS).next_power_of_two() {
            return Ok(());
        }
        Err(format!("a tile of {rows} rows, {strip} share a list of k"))
    }

    fn numbers(&self) -> [usize; 4] {
        match *self {
            Self::Matmul { tile, .. } | Self::XattentionScore { tile, .. } => {
                [tile.rows, tile.cols, tile.lanes, 0]
            }
            Self::Matvec { rows, lanes, .. } => [rows, lanes, 0, 0],
            Self::BlockAttention { tile, .. } => match tile {
                AttentionTile::Direct {
                    lanes,
                    queries,
                    keys,
                    dims,
                } => [lanes, queries, keys, dims],
                AttentionTile::Tiled { queries, split } => [queries, split, 0, 0],
                AttentionTile::Few { queries, lanes } => [queries, lanes, 0, 0],
            },
        }
    }
}

impl TileMeasurement {
    fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let Self {
            default_ms,
            ms,
            spread,
            ..
        } = *self;
        [
            ("`default_ms`", default_ms),
            ("`ms`", ms),
            ("`spread`", spread),
        ]
        .into_iter()
    }
}

impl TokenRange {
    /// Whether `tokens` are in the range.
    pub const fn contains(self, tokens: usize) -> bool {
        self.from <= tokens && tokens <= self.to
    }
}

impl TileEntry {
    pub(super) fn check(&self) -> Result<(), TileTableError> {
        self.kernel.check()?;
        let refuse = |reason: String| {
            Err(TileTableError::Entry {
                kernel: self.kernel.kernel_words(),
                reason,
            })
        };
        if !matches!(self.element_bytes, 2 | 4) {
            let reason = format!("elements of {} bytes; they have 2 or 4", self.element_bytes);
            return refuse(reason);
        }
        let TokenRange { from, to } = self.tokens;
        if from == 0 || from > to {
            return refuse(format!("{from} to {to} tokens is no range"));
        }
        let few = matches!(self.kernel, KernelTile::Matvec { .. });
        if few && to > MatvecKernel::MAX_TOKENS {
            let most = MatvecKernel::MAX_TOKENS;
            return refuse(format!("{to} tokens; it takes at most {most}"));
        }
        // JSON has no word for others: they would be written as null, which no reader takes for a number.
        if let Some(measured) = &self.measured
            && let Some((name, value)) = measured.numbers().find(|(_, value)| !value.is_finite())
        {
            let reason = format!(
                "{name} is {value}, and a measured number is finite; measure again, or leave `measured` out"
            );
            return refuse(reason);
        }
        Ok(())
    }
}
