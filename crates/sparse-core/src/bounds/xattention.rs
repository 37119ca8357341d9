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
            let error = relative_error(reference, at / k_blocks, layout);
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
/// `[batch, mask heads, q_blocks]` of the scores, which may be those of some whole groups of heads and of some rows alone: the tolerance of
/// [`crate::xattention::ExactRow::check_choice`].
pub fn selection_tolerance(reference: &ScoreReference, layout: &XAttentionLayout) -> Vec<f64> {
    let rounding = selection_rounding(layout);
    let [batch, heads, q_blocks, _] = reference.scores.shape();
    let group = layout.options().mask_heads.group_size(&layout.shape());
    let rows = 0..batch * heads / group * q_blocks;
    rows.map(|row| {
        // A sum of masses is off by no larger share than the worst of them.
        let first = row / q_blocks * group * q_blocks + row % q_blocks;
        let rows = (0..group).map(|member| first + member * q_blocks);
        let errors = rows.map(|row| relative_error(reference, row, layout));
        let error = errors.fold(0.0, largest);
        // The score that is compared, and the total that the threshold is a share of.
        2.0 * error + rounding
    })
    .collect()
}

/// What the selection itself may be off by in each of its comparisons, as a share of the row's mass: the tolerance of
/// [`XAttentionLayout::check_choice`] and of [`crate::xattention::ExactRow::check_choice`] where the scores are those that it was made from.
pub fn selection_rounding(layout: &XAttentionLayout) -> f64 {
    let [_, _, _, k_blocks] = layout.score_shape();
    let group = layout.options().mask_heads.group_size(&layout.shape());
    // Scores of heads that share a mask are added in f32: what is compared, and the total.
    let sums = 2.0 * gamma(group - 1);
    // Masses are multiples of 2^-31 of the row's largest, at most its mass, and so is the threshold's share.
    (k_blocks + 2) as f64 * 2.0_f64.powi(-31) + sums
}

/// NaN where one of them is, unlike [`f64::max`].
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Of a score of a block row. NaN, within which nothing is, where the reference lacks what belongs to the row.
fn relative_error(reference: &ScoreReference, row: usize, layout: &XAttentionLayout) -> f64 {
    let of_row = (
        reference.logit_magnitude.get(row),
        reference.logit_flushed.get(row),
    );
    let (Some(&magnitude), Some(&logit_flushed)) = of_row else {
        return f64::NAN;
    };
    let [_, _, _, k_blocks] = layout.score_shape();
    let groups = layout.groups_per_block();
    let products = layout.options().stride * layout.shape().head_dim();
    // Two roundoffs: a unit in the last place.
    let ulp = 2.0 * UNIT_ROUNDOFF;
    // A logit: its products, the scale (rounded, multiplied), a division good to 2.5 units. And what of it a device may have read as zero.
    // The result of each step may be flushed, and those before the scale are multiplied by it.
    let steps = products + 8;
    let gain = (layout.scale() / layout.options().norm).max(1.0);
    let logit = gamma(steps) * magnitude + logit_flushed + steps as f64 * SMALLEST_NORMAL * gain;
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
    use half::f16;

    use super::super::tests::assert_within;
    use super::*;
    use crate::attention::{AttentionShape, MaskHeads};
    use crate::bounds::compare;
    use crate::xattention::{BlockScores, XAttentionOptions, xattention_score};
    use crate::{Element, Tensor};

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
            logit_flushed: vec![0.0],
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

    /// Two items of two groups of two heads, two block rows each.
    #[test]
    fn a_row_of_a_shared_mask_is_off_by_what_its_worst_head_is_and_by_the_sum() {
        let shape = AttentionShape::try_new(2, 4, 2, 12, 12, 3).unwrap();
        let own = XAttentionOptions {
            block: 6,
            stride: 2,
            ..XAttentionOptions::default()
        };
        let shared = XAttentionOptions {
            mask_heads: MaskHeads::Key,
            ..own.clone()
        };
        let [own, shared] = [own, shared].map(|options| options.layout(shape).unwrap());
        let rows = 2 * 4 * 2;
        let magnitudes: Vec<f64> = (0..rows).map(|row| f64::from(row * 7 % 11)).collect();
        let reference = ScoreReference {
            scores: BlockScores::try_new([2, 4, 2, 2], vec![1.0; 32]).unwrap(),
            logit_magnitude: magnitudes,
            logit_flushed: vec![0.0; 16],
        };
        let of_heads = selection_tolerance(&reference, &own);
        let of_masks = selection_tolerance(&reference, &shared);
        assert_eq!((of_heads.len(), of_masks.len()), (16, 8));
        // One addition of two scores, in the compared sum and in the total.
        let addition = 2.0 * UNIT_ROUNDOFF / (1.0 - UNIT_ROUNDOFF);
        for (row, tolerance) in of_masks.iter().enumerate() {
            let first = row / 2 * 4 + row % 2;
            let worst = of_heads[first].max(of_heads[first + 2]);
            assert_within(1e-6, *tolerance, worst + addition);
        }
        let sums = selection_rounding(&shared) - selection_rounding(&own);
        assert_within(1e-6, sums, addition);
    }

    #[test]
    fn rows_of_which_nothing_is_known_are_within_no_bound() {
        let shape = AttentionShape::try_new(1, 2, 1, 12, 12, 3).unwrap();
        let options = XAttentionOptions {
            block: 6,
            stride: 2,
            mask_heads: MaskHeads::Key,
            ..XAttentionOptions::default()
        };
        let layout = options.layout(shape).unwrap();
        // Of three block rows, where the layout has two, and the last head lacks its last.
        let scores = BlockScores::try_new([1, 2, 3, 2], vec![1.0; 12]).unwrap();
        let reference = ScoreReference {
            scores: scores.clone(),
            logit_magnitude: vec![1.0; 5],
            logit_flushed: vec![0.0; 6],
        };
        let is_known: Vec<bool> = selection_tolerance(&reference, &layout)
            .iter()
            .map(|tolerance| tolerance.is_finite())
            .collect();
        assert_eq!(is_known, [true, true, false]);
        let bounds = block_score_bounds(&reference, &layout);
        let actual = scores.data().iter().map(|score| score * (1.0 + 1e-9));
        assert!(compare(actual.clone().take(10), &scores.data()[..10], &bounds[..10]).holds());
        assert!(!compare(actual.skip(10), &scores.data()[10..], &bounds[10..]).holds());
    }

    /// Scores of a device that reads what is subnormal in f16 as zero.
    #[test]
    fn operands_that_a_device_reads_as_zero_are_within_the_bound_and_nothing_more_is() {
        let score = |small: f64| {
            let tensor = |numbers: [f64; 2]| {
                let halves = numbers.map(<f16 as Element>::from_f64);
                Tensor::new(vec![1, 1, 2, 1], halves.to_vec())
            };
            let options = XAttentionOptions {
                block: 1,
                stride: 1,
                scale: Some(0.01),
                ..XAttentionOptions::default()
            };
            let (q, k) = (tensor([small, small]), tensor([1.0, 6e4]));
            let shape = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
            let reference = xattention_score(&q, &k, &options).unwrap();
            (reference, options.layout(shape).unwrap())
        };
        let (expected, layout) = score(2.0_f64.powi(-15));
        let read = score(0.0).0.scores;
        let bounds = block_score_bounds(&expected, &layout);
        let scores = expected.scores.data();
        assert!(compare(read.data().iter().copied(), scores, &bounds).holds());
        // The bound lets a logit be wrong by so much on both sides of a division, and twice at that.
        let moved = scores.iter().zip(read.data());
        let further = moved.map(|(&expected, &read)| expected + 16.0 * (read - expected));
        assert!(!compare(further, scores, &bounds).holds());
        let uncounted = ScoreReference {
            logit_flushed: vec![0.0; 2],
            ..expected.clone()
        };
        let bounds = block_score_bounds(&uncounted, &layout);
        assert!(!compare(read.data().iter().copied(), scores, &bounds).holds());
        // A comparison of the selection is off by what its scores are.
        let tolerance = |reference| selection_tolerance(reference, &layout)[1];
        let more = tolerance(&expected) - tolerance(&uncounted);
        assert_within(0.1, more, 8.0 * expected.logit_flushed[1]);
    }

    /// Scores of a device that flushes products, which a large scale would have made count.
    #[test]
    fn products_that_are_flushed_are_scaled_and_within_the_bound() {
        let score = |k: f32, norm: f64| {
            let q = Tensor::new(vec![1, 1, 1, 1], vec![2.0_f32.powi(-60)]);
            let k = Tensor::new(vec![1, 1, 2, 1], vec![k, 0.0]);
            let options = XAttentionOptions {
                block: 1,
                stride: 1,
                causal: false,
                scale: Some(norm * 2.0_f64.powi(119)),
                norm,
                ..XAttentionOptions::default()
            };
            let shape = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
            let reference = xattention_score(&q, &k, &options).unwrap();
            (reference, options.layout(shape).unwrap())
        };
        for norm in [1.0, 4.0] {
            // A product of 2^-127, and a logit of 2^-8.
            let (expected, layout) = score(2.0_f32.powi(-67), norm);
            assert_eq!(expected.logit_flushed, [0.0]);
            let flushed = score(0.0, norm).0.scores;
            let bounds = block_score_bounds(&expected, &layout);
            let scores = expected.scores.data();
            assert!(compare(flushed.data().iter().copied(), scores, &bounds).holds());
            // Nine steps of at most 2^-126 that are scaled to 2^-7, on both sides of a division and twice at that.
            let error = 18.0 * 2.0_f64.powi(-7);
            assert_within(0.3, bounds[0], 2.0 * error * scores[0]);
        }
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
