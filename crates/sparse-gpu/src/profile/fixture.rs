//! A made-up profile for tests.

use sparse_core::attention::MaskHeads;

use super::{
    AttentionProfile, CalibratedOn, CalibrationInput, HeadThreshold, Layer, ScoreMode, Settings,
    Target,
};

/// Of a layer with two query heads that share k and v, not causal.
pub(super) fn profile() -> AttentionProfile {
    let head = |threshold| HeadThreshold {
        threshold,
        density: 0.25,
        relative_l2_error: 0.09,
        kept_mass: 0.91,
    };
    let adapter = CalibratedOn {
        name: "llvmpipe".into(),
        driver: "Mesa".into(),
        backend: "vulkan".into(),
    };
    let layer = Layer {
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
    };
    let settings = Settings {
        block: 32,
        stride: 4,
        causal: false,
        scale: Some(0.25),
        mode: ScoreMode::Exact,
        chunk: None,
        soft_cap: None,
        sink_tokens: None,
        window_tokens: None,
        dilated: None,
        head_kinds: None,
        mask_heads: MaskHeads::Query,
    };
    let heads = vec![head(0.5), head(0.75)];
    let target = Target::RelativeL2Error(0.1);
    let mut profile = AttentionProfile::new(adapter, layer, settings, target, heads);
    profile.created = "2026-11-22 17:05 UTC".into();
    profile.inputs.push(CalibrationInput {
        file: "t.safetensors".into(),
        batch: 1,
        q_len: 200,
        k_len: 200,
        dtype: "f32".into(),
    });
    profile
}
