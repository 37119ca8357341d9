//! Bounds of the scoring and selection kernels.

use super::{SMALLEST_NORMAL, UNIT_ROUNDOFF, gamma};
use crate::xattention::{ScoreReference, XAttentionLayout};

/// One bound per block score, for a kernel that accumulates logits in f32 in any order and keeps, per query group and key block, a maximum
/// and a sum of exponentials below it. Relative to each score, by the magnitude of its block row's logits. Derivation:
/// `docs/NUMERICS.md`, sections 4 and 5.
pub fn block_score_bounds(reference: &ScoreReference, layout: &XAttentionLayout) -> Vec<f64> {
    let [_, _, _, k_blocks] = reference.scores.shape();
    let flushed = flushed(layout);
    let scores = reference.scores.data().iter();
    scores
        .enumerate()
        .map(|(at, score)| {
            relative_error(reference.logit_magnitude[at / k_blocks], layout) * score + flushed
        })
        .collect()
}

/// What selecting from such scores may be off by in each of its comparisons, as a share of the row's mass, per block row
/// `[batch, q_heads, q_blocks]`: the tolerance of [`crate::xattention::ExactRow::check_choice`].
pub fn selection_tolerance(reference: &ScoreReference, layout: &XAttentionLayout) -> Vec<f64> {
    let [_, _, _, k_blocks] = reference.scores.shape();
    // Masses are cut to multiples of 2^-31 of the row's largest, at most its mass, and so is the threshold's share.
    let cut = (k_blocks + 2) as f64 * 2.0_f64.powi(-31);
    let magnitudes = reference.logit_magnitude.iter();
    // The score that is compared, and the total that the threshold is a share of.
    magnitudes
        .map(|&magnitude| 2.0 * relative_error(magnitude, layout) + cut)
        .collect()
}

fn relative_error(magnitude: f64, layout: &XAttentionLayout) -> f64 {
    let [_, _, _, k_blocks] = layout.score_shape();
    let groups = layout.groups_per_block();
    let products = layout.options().stride * layout.shape().head_dim();
    // Two roundoffs: a unit in the last place.
    let ulp = 2.0 * UNIT_ROUNDOFF;
    // A logit: its products, the scale (rounded, multiplied), a division good to 2.5 units.
    let logit = gamma(products + 8) * magnitude + SMALLEST_NORMAL;
    // The exponents of a chain of differences down from a group's logit to the row's maximum add up to at most this.
    let exponent = 2.0 * magnitude;
    // Exponentials of a chain: one of the logit, one for each tile that raises the maximum, and in the reduction one for each key block
    // that does, one for each part.
    let chain = (groups + k_blocks + 4) as f64;
    let exponentials = ulp * (3.0 * chain + 2.0 * exponent) + UNIT_ROUNDOFF * exponent;
    let weight = (2.0 * logit + exponentials).exp_m1();
    let sums = gamma(2 * groups + k_blocks + 64);
    // Numerator and denominator each, a reciprocal good to 2.5 units and two products.
    2.0 * (weight + sums) / (1.0 - weight - sums) + 5.0 * ulp
}

/// Weights below the smallest normal number may be flushed to zero or stay there.
fn flushed(layout: &XAttentionLayout) -> f64 {
    4.0 * (layout.groups_per_block() * layout.groups_per_block()) as f64 * SMALLEST_NORMAL
}
