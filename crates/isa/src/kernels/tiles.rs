//! Every tile that an operation could take, for choosing the default of a make.

use anyhow::Result;
use sparse_shaders::{
    AttentionKernel, AttentionOrder, AttentionTile, BlockWalk, Kernel as _, MatmulKernel,
    MatvecKernel, Output, Storage, Tile, Walk, XAttentionRules, XAttentionScoreKernel,
};

use super::{Entry, entry};

/// An operation whose tiles can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tiled {
    /// `block_attention`, masked and causal.
    Attention,
    /// `xattention_score`.
    Score,
    /// The products of many tokens.
    Matmul,
    /// The products of one token and of eight.
    Matvec,
}

impl Tiled {
    /// The operation's kernels, f32, with every tile that the templates take.
    ///
    /// # Errors
    /// A kernel that does not expand.
    pub fn list(self) -> Result<Vec<Entry>> {
        match self {
            Self::Attention => attention(),
            Self::Score => score(),
            Self::Matmul => matmul(),
            Self::Matvec => matvec(),
        }
    }
}

fn attention() -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for head_dim in [32, 64, 96, 128, 256] {
        for split in [4, 8, 16] {
            for queries in [16, 32, 64, 128] {
                let kernel = AttentionKernel {
                    walk: BlockWalk::Mask,
                    head_dim,
                    block: 128,
                    causal: true,
                    soft_cap: false,
                    order: AttentionOrder::Computed,
                    token_heads: None,
                    tile: AttentionTile::Tiled { queries, split },
                    heads: 1,
                    mask_group: 1,
                    in_parts: false,
                    q: Storage::F32,
                    k: Storage::F32,
                    v: Storage::F32,
                    out: Storage::F32,
                };
                if kernel.check().is_ok() && kernel.tile.lanes() >= 32 {
                    entries.push(entry(&kernel)?);
                }
            }
        }
    }
    Ok(entries)
}

fn tiles(rows: &'static [usize]) -> impl Iterator<Item = Tile> {
    let shapes = rows
        .iter()
        .flat_map(|&rows| [4, 8, 12, 16].map(|cols| (rows, cols)));
    shapes.flat_map(|(rows, cols)| [32, 64].map(|lanes| Tile { rows, cols, lanes }))
}

fn score() -> Result<Vec<Entry>> {
    let rules = XAttentionRules {
        exact: true,
        causal: true,
    };
    let kernels = tiles(&[4, 8, 16]).map(|tile| XAttentionScoreKernel {
        groups_per_block: 8,
        tile,
        rules,
    });
    kernels.map(|kernel| entry(&kernel)).collect()
}

const WALKS: [Walk; 5] = [
    Walk::Dense {
        vector_weights: true,
    },
    Walk::Nm {
        n: 2,
        m: 8,
        v: 16,
        index_bits: 4,
    },
    Walk::Bsr { br: 32, bc: 32 },
    Walk::NmExpand {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
    },
    Walk::NmBranch {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
    },
];

fn matmul() -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for walk in WALKS {
        let path_of = match walk {
            Walk::Dense { .. } | Walk::NmExpand { .. } => Some(4),
            Walk::NmBranch { .. } => Some(8),
            _ => None,
        };
        for tile in tiles(&[4, 8, 16]).filter(|tile| tile.rows <= walk.most_rows()) {
            let kernel = MatmulKernel {
                output: Output {
                    vectors: true,
                    ..Output::of(Storage::F32)
                },
                ..MatmulKernel::new(walk, tile)
            };
            entries.push(Entry {
                path_of,
                ..entry(&kernel)?
            });
        }
    }
    Ok(entries)
}

fn matvec() -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for walk in WALKS {
        let walk = match walk {
            Walk::NmBranch { .. } => continue,
            Walk::NmExpand {
                n,
                m,
                v,
                index_bits,
            } => Walk::NmGather {
                n,
                m,
                v,
                index_bits,
            },
            walk => walk,
        };
        for rows in [2, 4, 8] {
            for panel in [1, 8] {
                for lanes in [32, 64, 128] {
                    entries.push(entry(&MatvecKernel::new(walk, rows, panel, lanes))?);
                }
            }
        }
    }
    Ok(entries)
}
