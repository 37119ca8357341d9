//! Attention over key blocks, what orders its rows, and what rounds its results.

use super::Variants;
use crate::{
    AttentionKernel, AttentionMergeKernel, AttentionOrder, AttentionTile, BlockWalk, ConvertKernel,
    ExpandError, RowOrderKernel, RowWeightsKernel, Storage, TokenHeads,
};

const ATTENTION_TILES: [AttentionTile; 7] = [
    AttentionTile::Direct {
        lanes: 8,
        queries: 2,
        keys: 4,
        dims: 16,
    },
    AttentionTile::Direct {
        lanes: 16,
        queries: 2,
        keys: 8,
        dims: 128,
    },
    AttentionTile::Direct {
        lanes: 32,
        queries: 1,
        keys: 4,
        dims: 16,
    },
    AttentionTile::Direct {
        lanes: 16,
        queries: 1,
        keys: 16,
        dims: 64,
    },
    AttentionTile::Tiled {
        queries: 64,
        split: 8,
    },
    AttentionTile::Tiled {
        queries: 32,
        split: 16,
    },
    AttentionTile::Tiled {
        queries: 16,
        split: 4,
    },
];

pub(super) fn add(all: &mut Variants) -> Result<(), ExpandError> {
    for storage in Storage::ALL {
        for kernel in stored_as(storage).chain(few_stored_as(storage)) {
            all.add(&kernel)?;
        }
        all.add(&ConvertKernel { output: storage })?;
    }
    for kernel in ordered().chain(few()) {
        all.add(&kernel)?;
    }
    for head_dim in [1, 6, 64] {
        for out in Storage::ALL {
            for token_major in [false, true] {
                all.add(&AttentionMergeKernel {
                    head_dim,
                    token_major,
                    out,
                })?;
            }
        }
    }
    all.add(&RowOrderKernel::DEFAULT)?;
    row_weights(all)
}

fn row_weights(all: &mut Variants) -> Result<(), ExpandError> {
    for (walk, mask_group) in [
        (BlockWalk::All, 1),
        (BlockWalk::Mask, 1),
        (BlockWalk::Mask, 4),
        (BlockWalk::Streaming, 1),
        (BlockWalk::Mixed, 1),
        (BlockWalk::Mixed, 4),
    ] {
        for causal in [false, true] {
            let block = 128;
            all.add(&RowWeightsKernel {
                walk,
                block,
                causal,
                mask_group,
            })?;
        }
    }
    Ok(())
}

/// All walks, causal and not, with and without a soft cap, head dimensions of every way to read and write a row, with `storage` throughout.
fn stored_as(storage: Storage) -> impl Iterator<Item = AttentionKernel> {
    let tiles = ATTENTION_TILES
        .into_iter()
        .zip([128, 32, 64, 128, 64, 128, 16]);
    tiles.flat_map(move |(tile, block)| {
        // The widest rows, each where it is used: whole rows are long texts.
        let widest = match tile {
            AttentionTile::Direct {
                lanes: 8, keys: 4, ..
            }
            | AttentionTile::Tiled { .. } => 256,
            AttentionTile::Direct { .. } | AttentionTile::Few { .. } => 80,
        };
        [1, 3, 6, 40, 64, widest]
            .into_iter()
            .flat_map(move |head_dim| {
                [
                    (BlockWalk::All, true, false),
                    (BlockWalk::Mask, true, true),
                    (BlockWalk::All, false, true),
                    (BlockWalk::Mask, false, false),
                    (BlockWalk::Streaming, true, false),
                    (BlockWalk::Mixed, false, true),
                ]
                .map(|(walk, causal, soft_cap)| AttentionKernel {
                    order: AttentionOrder::Computed,
                    token_heads: None,
                    walk,
                    head_dim,
                    block,
                    causal,
                    soft_cap,
                    tile,
                    heads: 1,
                    mask_group: 1,
                    in_parts: false,
                    q: storage,
                    k: storage,
                    v: storage,
                    // Rows of an odd number of halves are written as f32.
                    out: if head_dim % 2 == 0 {
                        storage
                    } else {
                        Storage::F32
                    },
                })
            })
    })
}

/// Every way to find the queries and to lay out the tokens, with both templates; rows of vec4s and of elements.
fn ordered() -> impl Iterator<Item = AttentionKernel> {
    let heads = Some(TokenHeads { q: 6, kv: 2 });
    let tiles = [ATTENTION_TILES[0], ATTENTION_TILES[4]];
    tiles.into_iter().flat_map(move |tile| {
        [64, 5].into_iter().flat_map(move |head_dim| {
            [
                (AttentionOrder::Computed, heads, BlockWalk::All, 1),
                (AttentionOrder::Rows, None, BlockWalk::Mask, 1),
                (AttentionOrder::Rows, heads, BlockWalk::Mixed, 3),
                (AttentionOrder::Items, heads, BlockWalk::All, 1),
                (AttentionOrder::Items, heads, BlockWalk::Mask, 3),
                (AttentionOrder::Items, heads, BlockWalk::Mixed, 1),
            ]
            .map(|(order, token_heads, walk, mask_group)| AttentionKernel {
                walk,
                head_dim,
                block: 128,
                causal: true,
                soft_cap: false,
                order,
                token_heads,
                tile,
                heads: 1,
                mask_group,
                in_parts: false,
                q: Storage::F16,
                k: Storage::Bf16,
                v: Storage::F32,
                out: Storage::F32,
            })
        })
    })
}

/// Few queries: heads together and alone, whole and in parts, more dimensions than invocations and fewer, every way to find the queries.
fn few() -> impl Iterator<Item = AttentionKernel> {
    let token_heads = Some(TokenHeads { q: 8, kv: 2 });
    let tiles = [(1, 8), (8, 8), (2, 32), (4, 64)];
    tiles.into_iter().flat_map(move |(queries, lanes)| {
        [1, 6, 40, 64, 256].into_iter().flat_map(move |head_dim| {
            [
                (AttentionOrder::Computed, None, BlockWalk::All, 4, true),
                (AttentionOrder::Computed, None, BlockWalk::Mask, 1, true),
                (AttentionOrder::Computed, None, BlockWalk::Mask, 4, true),
                (
                    AttentionOrder::Items,
                    token_heads,
                    BlockWalk::Mask,
                    4,
                    false,
                ),
                (
                    AttentionOrder::Computed,
                    token_heads,
                    BlockWalk::All,
                    4,
                    false,
                ),
                (AttentionOrder::Rows, None, BlockWalk::Mixed, 1, false),
                (AttentionOrder::Items, token_heads, BlockWalk::All, 2, true),
                (
                    AttentionOrder::Items,
                    token_heads,
                    BlockWalk::Streaming,
                    1,
                    false,
                ),
            ]
            .map(
                |(order, token_heads, walk, heads, in_parts)| AttentionKernel {
                    walk,
                    head_dim,
                    block: 128,
                    causal: true,
                    soft_cap: heads == 2,
                    order,
                    token_heads,
                    tile: AttentionTile::Few { queries, lanes },
                    heads,
                    mask_group: if walk == BlockWalk::Mask { heads } else { 1 },
                    in_parts,
                    q: Storage::F32,
                    k: Storage::F16,
                    v: Storage::Bf16,
                    out: if in_parts || head_dim % 2 == 1 {
                        Storage::F32
                    } else {
                        Storage::F16
                    },
                },
            )
        })
    })
}

/// Few queries that see all keys, as in cross attention, with `storage` throughout and the tile of GPUs; rows of vec4s and of elements.
fn few_stored_as(storage: Storage) -> impl Iterator<Item = AttentionKernel> {
    let kinds = [(BlockWalk::All, 4, true), (BlockWalk::Mask, 1, false)];
    kinds.into_iter().flat_map(move |(walk, heads, in_parts)| {
        [6, 64].map(|head_dim| AttentionKernel {
            walk,
            head_dim,
            block: 128,
            causal: false,
            soft_cap: false,
            order: AttentionOrder::Computed,
            token_heads: None,
            tile: AttentionTile::Few {
                queries: 4,
                lanes: 32,
            },
            heads,
            mask_group: 1,
            in_parts,
            q: storage,
            k: storage,
            v: storage,
            out: if in_parts { Storage::F32 } else { storage },
        })
    })
}
