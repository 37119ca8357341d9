//! A made-up profile for tests.

use super::{CalibrationInput, FORMAT, HeadThreshold, Layer, Profile, Settings, Target, VERSION};
use crate::cli::ScoreMode;
use crate::device::AdapterWords;

/// Of a layer with two query heads that share k and v, not causal.
pub(crate) fn profile() -> Profile {
    let head = |threshold| HeadThreshold {
        threshold,
        density: 0.25,
        relative_l2_error: 0.09,
        kept_mass: 0.91,
    };
    Profile {
        format: FORMAT.into(),
        version: VERSION,
        created: "2026-11-22 17:05 UTC".into(),
        adapter: AdapterWords {
            adapter: "llvmpipe".into(),
            driver: "Mesa".into(),
            backend: "vulkan".into(),
        },
        layer: Layer {
            heads: 2,
            kv_heads: 1,
            head_dim: 16,
        },
        options: Settings {
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
        },
        target: Target::RelativeL2Error(0.1),
        inputs: vec![CalibrationInput {
            file: "t.safetensors".into(),
            batch: 1,
            q_len: 200,
            k_len: 200,
            dtype: "f32".into(),
        }],
        heads: vec![head(0.5), head(0.75)],
    }
}
