//! A made-up profile for tests.

use sparse_gpu::AttentionProfile;

/// Of a layer with two query heads that share k and v, not causal.
pub(crate) fn profile() -> AttentionProfile {
    let text = r#"{
  "format": "sparse-bench attention profile",
  "version": 1,
  "created": "2026-11-22 17:05 UTC",
  "adapter": { "name": "llvmpipe", "driver": "Mesa", "backend": "vulkan" },
  "layer": { "heads": 2, "kv_heads": 1, "head_dim": 16 },
  "options": {
    "block": 32, "stride": 4, "causal": false, "scale": 0.25, "mode": "exact", "chunk": null, "soft_cap": null,
    "sink_tokens": null, "window_tokens": null, "dilated": null, "head_kinds": null
  },
  "target": { "relative_l2_error": 0.1 },
  "inputs": [{ "file": "t.safetensors", "batch": 1, "q_len": 200, "k_len": 200, "dtype": "f32" }],
  "heads": [
    { "threshold": 0.5, "density": 0.25, "relative_l2_error": 0.09, "kept_mass": 0.91 },
    { "threshold": 0.75, "density": 0.25, "relative_l2_error": 0.09, "kept_mass": 0.91 }
  ]
}"#;
    AttentionProfile::from_json(text).unwrap()
}
