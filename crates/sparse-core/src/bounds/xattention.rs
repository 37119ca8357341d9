//! Bounds of the scoring and selection kernels.

use super::{SMALLEST_NORMAL, UNIT_ROUNDOFF, gamma, share_of_rest};
use crate::xattention::{ScoreReference, XAttentionLayout};

/// One bound per block score, for a kernel that accumulates logits in f32 in any order and keeps, per query group and key block, a maximum
/// and a sum of exponentials below it. Relative to each score, by the magnitude of its block row's logits. Derivation:
/// `docs/NUMERICS.md`, sections 4 and 5. Infinite where logits are so large that their rounding errors leave nothing of a score.
pub fn block_score_bounds(reference: &ScoreReference, layout: &XAttentionLayout) -> Vec<f64> {
    let [_, _, _, k_blocks] = reference.scores.shape();
    let flushed = flushed(layout);
    let scores = reference.scores.data().iter();
    scores
        .enumerate()
        .map(|(at, score)| {
            let error = relative_error(reference.logit_magnitude[at / k_blocks], layout);
            if error.is_infinite() {
                // Also of a score of zero, which in f32 may be any: infinity times it is no bound.
                error
            } else {
                error * score + flushed
            }
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
    2.0 * share_of_rest(weight + sums) + 5.0 * ulp
}

/// Weights below the smallest normal number may be flushed to zero or stay there.
fn flushed(layout: &XAttentionLayout) -> f64 {
    4.0 * (layout.groups_per_block() * layout.groups_per_block()) as f64 * SMALLEST_NORMAL
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_within;
    use super::*;
    use crate::attention::AttentionShape;
    use crate::xattention::{BlockScores, XAttentionOptions};

    /// Three groups of two tokens of three elements a block, three key blocks.
    fn layout() -> XAttentionLayout {
        let shape = AttentionShape::try_new(1, 1, 1, 6, 18, 3).unwrap();
        let options = XAttentionOptions {
            block: 6,
            stride: 2,
            ..XAttentionOptions::default()
        };
        options.layout(shape).unwrap()
    }

    fn reference(logit_magnitude: f64) -> ScoreReference {
        ScoreReference {
            scores: BlockScores::try_new([1, 1, 1, 3], vec![0.5, 0.0, 1.5]).unwrap(),
            logit_magnitude: vec![logit_magnitude],
        }
    }

    /// To first order in the roundoff a logit has 14 of its magnitude, a weight two of those, 10 more for exponents and 60 for the ten
    /// exponentials, sums have 73; both twice, and ten for the rest.
    #[test]
    fn a_score_has_the_roundings_of_its_derivation() {
        for (magnitude, roundings) in [(0.0, 276.0), (1.0, 352.0), (10.0, 1036.0)] {
            let bounds = block_score_bounds(&reference(magnitude), &layout());
            for (bound, score) in bounds.iter().zip([0.5, 0.0, 1.5]) {
                let expected = roundings * UNIT_ROUNDOFF * score;
                assert!(
                    (bound - expected).abs() <= 1e-3 * expected + 1e-36,
                    "{bound:e}"
                );
            }
            // A comparison has that twice, and five steps of 2^-31.
            let tolerance = selection_tolerance(&reference(magnitude), &layout())[0];
            let expected = (2.0 * roundings + 5.0 / 128.0) * UNIT_ROUNDOFF;
            assert_within(1e-3, tolerance, expected);
            let steps = (tolerance - 2.0 * bounds[0] / 0.5) * 2.0_f64.powi(31);
            assert!((steps - 5.0).abs() < 1e-3, "{steps} steps");
        }
        // Four times nine products of groups that may be flushed.
        let flushed = block_score_bounds(&reference(0.0), &layout())[1];
        assert_eq!(flushed, 36.0 * SMALLEST_NORMAL);
    }

    #[test]
    fn logits_beyond_the_precision_of_f32_have_infinite_bounds() {
        for magnitude in [1e6, 1e9, 1e12] {
            let reference = reference(magnitude);
            let bounds = block_score_bounds(&reference, &layout());
            assert_eq!(bounds, [f64::INFINITY; 3], "{magnitude:e}");
            assert_eq!(selection_tolerance(&reference, &layout()), [f64::INFINITY]);
        }
    }
}
