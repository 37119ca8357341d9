//! Block attention: every head dimension that models have, dense and masked; of few queries, and what puts their parts together.

use anyhow::Result;
use sparse_gpu::sparse_core::attention::{AttentionShape, MaskHeads};
use sparse_gpu::{AdapterClass, BlockAttention, defaults};
use sparse_shaders::{AttentionKernel, AttentionMergeKernel, AttentionOrder, BlockWalk, Storage};

use super::{Entry, entry};

/// Tokens of a block of a mask: what XAttention selects.
const BLOCK: usize = 128;

/// Up to here no attention kernel may spill.
const STRICT_HEAD_DIM: usize = 128;

pub(super) fn list(class: AdapterClass) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for head_dim in [32, 64, 96, 128, 256] {
        for walk in [BlockWalk::All, BlockWalk::Mask] {
            entries.push(one(class, head_dim, walk, true, Storage::F32)?);
        }
    }
    entries.push(one(class, 128, BlockWalk::Mask, false, Storage::F32)?);
    for head_dim in [64, 128] {
        entries.push(one(class, head_dim, BlockWalk::Mask, true, Storage::F16)?);
    }
    for head_dim in [64, 128, 256] {
        // One query of four heads that share their keys, of a head with a mask, of four with one mask, and eight queries.
        entries.push(few(class, head_dim, (BlockWalk::All, 4), 1, Storage::F32)?);
        entries.push(few(class, head_dim, (BlockWalk::Mask, 1), 1, Storage::F32)?);
        entries.push(few(class, head_dim, (BlockWalk::Mask, 4), 1, Storage::F32)?);
        entries.push(few(class, head_dim, (BlockWalk::All, 4), 8, Storage::F16)?);
    }
    entries.push(entry(&AttentionMergeKernel {
        head_dim: 128,
        token_major: false,
        out: Storage::F16,
    })?);
    Ok(entries)
}

/// Few queries of so many heads together, whose keys are divided into parts.
fn few(
    class: AdapterClass,
    head_dim: usize,
    (walk, heads): (BlockWalk, usize),
    q_len: usize,
    storage: Storage,
) -> Result<Entry> {
    let problem = BlockAttention {
        block: BLOCK,
        masked: walk == BlockWalk::Mask,
        mask_heads: if heads > 1 {
            MaskHeads::Key
        } else {
            MaskHeads::Query
        },
        ..BlockAttention::new(AttentionShape::try_new(1, 8, 2, q_len, 8192, head_dim)?)
    };
    let tile = defaults::attention_tile(&problem, class);
    let kernel = AttentionKernel {
        walk,
        head_dim,
        block: defaults::attention_block(&problem, tile),
        causal: true,
        soft_cap: false,
        order: AttentionOrder::Computed,
        token_heads: None,
        tile,
        heads,
        mask_group: if problem.masked { heads } else { 1 },
        in_parts: true,
        q: storage,
        k: storage,
        v: storage,
        out: Storage::F32,
    };
    strict_entry(&kernel)
}

fn one(
    class: AdapterClass,
    head_dim: usize,
    walk: BlockWalk,
    causal: bool,
    storage: Storage,
) -> Result<Entry> {
    let problem = BlockAttention {
        block: BLOCK,
        causal,
        ..BlockAttention::new(AttentionShape::try_new(1, 8, 8, 8192, 8192, head_dim)?)
    };
    let kernel = AttentionKernel {
        walk,
        head_dim,
        block: BLOCK,
        causal,
        soft_cap: false,
        // Long masks have their rows sorted.
        order: if walk == BlockWalk::Mask {
            AttentionOrder::Rows
        } else {
            AttentionOrder::Computed
        },
        token_heads: None,
        tile: defaults::attention_tile(&problem, class),
        heads: 1,
        mask_group: 1,
        in_parts: false,
        q: storage,
        k: storage,
        v: storage,
        out: storage,
    };
    strict_entry(&kernel)
}

/// The entry of a kernel that may spill beyond [`STRICT_HEAD_DIM`] only.
fn strict_entry(kernel: &AttentionKernel) -> Result<Entry> {
    let strict = kernel.head_dim <= STRICT_HEAD_DIM;
    Ok(Entry {
        waves_matter: strict,
        must_not_spill: strict,
        ..entry(kernel)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_queries_without_a_mask_have_the_block_of_plans() {
        for class in AdapterClass::ALL {
            let few = list(class).unwrap().into_iter().map(|e| e.source.name);
            let few: Vec<_> = few.filter(|name| name.contains("_few-")).collect();
            assert_eq!(few.len(), 12, "{few:?}");
            for name in few {
                let block = if name.contains("_all_blocks_") {
                    256
                } else {
                    BLOCK
                };
                assert!(name.contains(&format!("_block-{block}_")), "{name}");
            }
        }
    }
}
