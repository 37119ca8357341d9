//! What tests of packed rows have in common.

use sparse_core::DType;
use sparse_core::attention::MaskHeads;
use sparse_gpu::{CostModel, Policy};

use crate::presets::PackedCase;

/// A prompt, a short one, and a chunk of one on top of cached keys.
pub(super) fn case() -> PackedCase {
    PackedCase {
        model: "test",
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        lengths: vec![(70, 70), (20, 20), (80, 130)],
        dtype: DType::F32,
        causal: true,
        block: 16,
        stride: 4,
        threshold: 0.5,
        mask_heads: MaskHeads::Query,
        auto: false,
    }
}

/// A policy that scores the two long items of [`case`]: a tenth of the blocks is expected, and dispatches cost more than the short item.
pub(super) fn only_long_items() -> Policy {
    Policy::Auto(CostModel {
        efficiency: 1.0,
        estimate_factor: 0.0,
        pack_per_element: 0.0,
        select_per_block: 0.0,
        dispatch: 1e4,
        most_regret: 1.0,
        expected_density: Some(0.1),
    })
}
