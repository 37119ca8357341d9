//! Whose tile a plan takes: the caller's, that of the table, or the default of the class.

use sparse_core::DType;
use sparse_core::xattention::XAttentionLayout;
use sparse_shaders::{AttentionTile, Kernel as _, PackKernel, Tile, Walk, XAttentionScoreKernel};

use super::{KernelTile, TileEntry, TileTable, TileWalk};
use crate::attention::few::{is_few, undivided_keys, within_rows};
use crate::matmul::choose::MatvecTile;
use crate::xattention::parts::MOST_BYTES;
use crate::xattention::rules;
use crate::{BlockAttention, Gpu};

/// Where a plan's tile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TileOrigin {
    /// The problem names it.
    Caller,
    /// The table that was given to [`Gpu::with_tiles`].
    Table,
    /// The default of the adapter's class.
    ClassDefault,
}

impl std::fmt::Display for TileOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Caller => "of the caller",
            Self::Table => "of the tuned table",
            Self::ClassDefault => "default of the adapter's class",
        })
    }
}

/// A tile and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen<T> {
    pub(crate) tile: T,
    pub(crate) origin: TileOrigin,
}

/// The caller's, else the table's, else the default.
fn first<T>(caller: Option<T>, table: Option<T>, default: impl FnOnce() -> T) -> Chosen<T> {
    let (tile, origin) = match (caller, table) {
        (Some(tile), _) => (tile, TileOrigin::Caller),
        (None, Some(tile)) => (tile, TileOrigin::Table),
        (None, None) => (default(), TileOrigin::ClassDefault),
    };
    Chosen { tile, origin }
}

impl TileTable {
    /// What `of` makes of the entries for such elements and so many tokens; at most one entry makes something.
    fn find<T>(
        &self,
        dtype: DType,
        tokens: usize,
        of: impl Fn(&KernelTile) -> Option<T>,
    ) -> Option<T> {
        let fits = |entry: &&TileEntry| {
            entry.element_bytes == dtype.bytes() && entry.tokens.contains(tokens)
        };
        let mut entries = self.entries.iter().filter(fits);
        entries.find_map(|entry| of(&entry.kernel))
    }
}

impl Gpu {
    /// The register tile of a product with so many tokens.
    pub(crate) fn matmul_tile(
        &self,
        caller: Option<Tile>,
        (walk, weights): (Walk, DType),
        tokens: usize,
    ) -> Chosen<Tile> {
        let wanted = TileWalk::of(walk);
        let table = self.tiles().and_then(|table| {
            table.find(weights, tokens, |kernel| match *kernel {
                // Not every panel of tokens can be packed.
                KernelTile::Matmul { walk, tile } if Some(walk) == wanted => {
                    Some(tile).filter(|tile| PackKernel::takes_panel(tile.panel()))
                }
                _ => None,
            })
        });
        first(caller, table, || {
            crate::matmul::choose::tile(walk, tokens, self.class())
        })
    }

    /// The kernel of a product with few tokens, so many outputs and steps. How many tokens it takes follows from theirs.
    pub(crate) fn matvec_tile(
        &self,
        (walk, weights): (Walk, DType),
        tokens: usize,
        (n_out, steps): (usize, usize),
    ) -> Chosen<MatvecTile> {
        let wanted = TileWalk::of(walk);
        let default = crate::matmul::choose::matvec_tile(walk, tokens, n_out, self.class());
        let panel = default.panel;
        let table = self.tiles().and_then(|table| {
            table.find(weights, tokens, |kernel| match *kernel {
                KernelTile::Matvec {
                    walk: of,
                    rows,
                    lanes,
                } if Some(of) == wanted => {
                    // A table is checked for one token: more sums may not fit.
                    let tile = MatvecTile { rows, panel, lanes };
                    let rounds = tile.loop_rounds(walk, steps);
                    Some(tile)
                        .filter(|_| tile.kernel(walk).check().is_ok() && self.runs_loops(rounds))
                }
                _ => None,
            })
        });
        first(None, table, || default)
    }

    /// The tile of an attention problem.
    pub(crate) fn attention_tile(&self, problem: &BlockAttention) -> Chosen<AttentionTile> {
        let (shape, block) = (problem.shape, problem.block);
        let (head_dim, k_len) = (shape.head_dim(), shape.k_len());
        let default = crate::attention::choose::tile(problem, self.class());
        let fits = |tile: &AttentionTile| {
            // A tile for few queries computes many slowly, and the other way round.
            is_few(*tile) == is_few(default)
                && tile.check(block, &|| tile.to_string()).is_ok()
                && self.runs_loops(tile.loop_rounds(
                    head_dim,
                    undivided_keys(problem, *tile),
                    block,
                ))
        };
        let table = self.tiles().and_then(|table| {
            table.find(problem.types.k, k_len, |kernel| match *kernel {
                KernelTile::BlockAttention { head_dim: d, tile } if d == head_dim => Some(tile)
                    .map(|tile| within_rows(tile, problem))
                    .filter(fits),
                _ => None,
            })
        });
        first(problem.tile, table, || default)
    }

    /// The tile of the scores of a layout whose keys are stored as `k`.
    pub(crate) fn score_tile(
        &self,
        caller: Option<Tile>,
        layout: &XAttentionLayout,
        k: DType,
    ) -> Chosen<Tile> {
        let groups = layout.groups_per_block();
        let [_, _, _, k_blocks] = layout.score_shape();
        let steps = layout
            .options()
            .stride
            .saturating_mul(layout.shape().head_dim())
            .div_ceil(4);
        let fits = |tile: &Tile| {
            // One panel of queries, and its maxima and sums, within what scratch memory is kept below.
            let panel = steps
                .saturating_mul(16)
                .max(k_blocks.saturating_mul(8))
                .saturating_mul(tile.panel());
            let kernel = XAttentionScoreKernel {
                groups_per_block: groups,
                tile: *tile,
                rules: rules(layout.options()),
            };
            panel as u64 <= MOST_BYTES && self.runs_loops(kernel.loop_rounds(steps))
        };
        let table = self.tiles().and_then(|table| {
            table.find(k, layout.shape().q_len(), |kernel| match *kernel {
                KernelTile::XattentionScore {
                    groups_per_block,
                    tile,
                } if groups_per_block == groups => Some(tile).filter(fits),
                _ => None,
            })
        });
        first(caller, table, || {
            crate::xattention::choose::tile(layout.q_groups(), self.class())
        })
    }

    /// What an explanation adds for a tile of the table.
    pub(crate) fn note_of_origin(&self, origin: TileOrigin) -> Option<String> {
        let table = self.tiles().filter(|_| origin == TileOrigin::Table)?;
        Some(format!(
            "the tile is from a table measured on {}",
            table.measured_on
        ))
    }
}
