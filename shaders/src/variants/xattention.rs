//! XAttention: scores, selection, and the decision on the device.

use super::{TILES, Variants};
use crate::{
    ExpandError, Storage, XAttentionCountKernel, XAttentionDecideKernel, XAttentionPackKernel,
    XAttentionReduceKernel, XAttentionRules, XAttentionScoreKernel, XAttentionSelectKernel,
    XAttentionSumHeadsKernel,
};

/// Both modes, causal and full.
pub(super) fn add(all: &mut Variants) -> Result<(), ExpandError> {
    packing(all)?;
    decision(all)?;
    all.add(&XAttentionSumHeadsKernel)?;
    for (exact, causal) in [(true, true), (true, false), (false, true), (false, false)] {
        let rules = XAttentionRules { exact, causal };
        scores(rules, all)?;
        selection(rules, all)?;
    }
    Ok(())
}

fn packing(all: &mut Variants) -> Result<(), ExpandError> {
    for input in Storage::ALL {
        for (head_dim, token_heads, panel, reversed) in [
            (64, 1, 64, true),
            (33, 6, 64, true),
            (128, 8, 128, false),
            (5, 1, 0, false),
            (64, 2, 0, false),
        ] {
            all.add(&XAttentionPackKernel {
                input,
                head_dim,
                token_heads,
                panel,
                reversed,
            })?;
        }
    }
    Ok(())
}

fn decision(all: &mut Variants) -> Result<(), ExpandError> {
    for causal in [true, false] {
        all.add(&XAttentionCountKernel { causal })?;
    }
    all.add(&XAttentionDecideKernel)
}

/// Blocks of few and of many groups, tiles of processors and of GPUs.
fn scores(rules: XAttentionRules, all: &mut Variants) -> Result<(), ExpandError> {
    for groups_per_block in [1, 2, 3, 8, 12, 32, 128] {
        for tile in [TILES[1], TILES[2]] {
            all.add(&XAttentionScoreKernel {
                groups_per_block,
                tile,
                rules,
            })?;
        }
        for softmax in [true, false] {
            all.add(&XAttentionReduceKernel {
                groups_per_block,
                rules,
                softmax,
            })?;
        }
    }
    Ok(())
}

fn selection(rules: XAttentionRules, all: &mut Variants) -> Result<(), ExpandError> {
    for (row_lanes, rows) in [(1, 8), (32, 1)] {
        for (top_k, forced_mask) in [(false, false), (false, true), (true, false), (true, true)] {
            all.add(&XAttentionSelectKernel {
                rules,
                row_lanes,
                rows,
                top_k,
                forced_mask,
            })?;
        }
    }
    Ok(())
}
