//! A small problem of attention.

use sparse_core::synthetic::{AttentionInputs, normal_tensor};
use sparse_core::xattention::XAttentionOptions;

/// Four query heads over two heads of keys, 50 tokens.
pub(super) fn inputs() -> AttentionInputs<f32> {
    let tensor = |heads, seed| normal_tensor(vec![1, heads, 50, 16], seed).unwrap();
    AttentionInputs {
        q: tensor(4, 1),
        k: tensor(2, 2),
        v: tensor(2, 3),
    }
}

/// Blocks that 50 tokens do not divide into.
pub(super) fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 8,
        stride: 4,
        threshold: 0.7.into(),
        ..XAttentionOptions::default()
    }
}

/// As the device gives results.
#[expect(
    clippy::cast_possible_truncation,
    reason = "results of the device are f32"
)]
pub(super) fn rounded(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}
