//! Scoring and selection.

use anyhow::Result;
use sparse_gpu::{AdapterClass, defaults};
use sparse_shaders::{
    Storage, XAttentionPackKernel, XAttentionReduceKernel, XAttentionRules, XAttentionScoreKernel,
    XAttentionSelectKernel, XAttentionSumHeadsKernel,
};

use super::{Entry, entry};

pub(super) fn list(class: AdapterClass) -> Result<Vec<Entry>> {
    let tile = defaults::score_tile(1024, class);
    let mut entries = Vec::new();
    for (exact, causal) in [(true, true), (false, true), (true, false)] {
        let rules = XAttentionRules { exact, causal };
        // Blocks of 128 tokens at strides of 8, 16 and 32.
        for groups_per_block in [16, 8, 4] {
            let kernel = XAttentionScoreKernel {
                groups_per_block,
                tile,
                rules,
            };
            entries.push(entry(&kernel)?);
        }
    }
    let rules = XAttentionRules {
        exact: true,
        causal: true,
    };
    for (input, panel) in [
        (Storage::F32, tile.panel()),
        (Storage::F16, tile.panel()),
        (Storage::F32, 0),
    ] {
        entries.push(entry(&XAttentionPackKernel {
            input,
            head_dim: 128,
            token_heads: 1,
            panel,
            reversed: panel > 0,
        })?);
    }
    entries.push(entry(&XAttentionReduceKernel {
        groups_per_block: 8,
        rules,
        softmax: true,
    })?);
    entries.push(entry(&XAttentionSelectKernel {
        rules,
        row_lanes: 32,
        rows: 1,
        top_k: false,
        forced_mask: false,
    })?);
    entries.push(entry(&XAttentionSumHeadsKernel)?);
    for entry in &mut entries {
        entry.waves_matter = true;
    }
    Ok(entries)
}
