//! Block attention: every head dimension that models have, dense and masked.

use anyhow::Result;
use sparse_gpu::sparse_core::attention::AttentionShape;
use sparse_gpu::{AdapterClass, BlockAttention, defaults};
use sparse_shaders::{AttentionKernel, AttentionOrder, BlockWalk, Storage};

use super::{Entry, entry};

/// Tokens of a block: what XAttention selects.
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
    Ok(entries)
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
        q: storage,
        k: storage,
        v: storage,
        out: storage,
    };
    Ok(Entry {
        waves_matter: head_dim <= STRICT_HEAD_DIM,
        must_not_spill: head_dim <= STRICT_HEAD_DIM,
        ..entry(&kernel)?
    })
}
