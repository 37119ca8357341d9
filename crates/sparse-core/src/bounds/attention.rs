//! Bounds of the attention kernels.

use super::{SMALLEST_NORMAL, UNIT_ROUNDOFF, gamma, share_of_rest, storage_error};
use crate::DType;
use crate::attention::AttentionReference;

/// One bound per element of [`AttentionReference::out`] and of [`AttentionReference::lse`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionBounds {
    /// Of the output.
    pub out: Vec<f64>,
    /// Of the log-sum-exps.
    pub lse: Vec<f64>,
}

/// Bounds for a kernel that accumulates in f32 in any order, takes exponentials of differences to a running maximum at least four keys at
/// a time, and stores the output as `output`, the log-sum-exps as f32. `largest_v` bounds the values' magnitudes. Derivation:
/// `docs/NUMERICS.md`, block attention.
pub fn attention_bounds(
    reference: &AttentionReference,
    largest_v: f64,
    output: DType,
) -> AttentionBounds {
    let head_dim = reference.shape[3];
    // Two roundoffs: a unit in the last place.
    let ulp = 2.0 * UNIT_ROUNDOFF;
    let mut bounds = AttentionBounds {
        out: Vec::with_capacity(reference.out.len()),
        lse: Vec::with_capacity(reference.lse.len()),
    };
    for (row, &keys) in reference.keys.iter().enumerate() {
        if keys == 0 {
            bounds.out.extend(std::iter::repeat_n(0.0, head_dim));
            bounds.lse.push(0.0);
            continue;
        }
        // Seen keys fill whole steps of at least four, but for the last.
        let steps = keys.div_ceil(4);
        let logit = reference.logit_magnitude[row];
        // A soft cap is a contraction: it lets the error of the dot product through, bounds the score, and adds that of its tanh.
        let largest = reference.soft_cap.map_or(logit, |cap| logit.min(cap));
        let tanh = reference.soft_cap.map_or(0.0, |cap| {
            UNIT_ROUNDOFF * (15.0 * cap).min(45.0 * logit) + (1.0 + cap) * SMALLEST_NORMAL
        });
        // A difference of two scores, and so every exponent, is at most this, in powers of two.
        let exponent = 2.0 * largest * std::f64::consts::LOG2_E;
        // Operands below the smallest normal number of their type may be read as zero.
        let read = reference.logit_flushed[row];
        let score = gamma(head_dim + 3) * logit + read + tanh + SMALLEST_NORMAL;
        // Two capped scores are never further apart, however wrong the dot product.
        let farthest = reference
            .soft_cap
            .map_or(f64::INFINITY, |cap| cap * (2.0 + 15.0 * UNIT_ROUNDOFF));
        let score = score.min(farthest);
        let differences = UNIT_ROUNDOFF * exponent * std::f64::consts::LN_2;
        let exponentials = ulp * (3.0 * (steps + 1) as f64 + 2.0 * exponent);
        // Logarithm of the factor by which a weight may be wrong.
        let weight = score + differences + exponentials;
        let sums = gamma(keys + steps + 1);
        let sums = share_of_rest(sums);
        // Numerator and denominator each, and a division good to 2.5 units.
        let division = 2.5 * ulp;
        let relative = (2.0 * (weight + sums) + division).exp_m1();
        // An average of values is never beyond the largest.
        let farthest = largest_v * (2.0 + 2.0 * (2.0 * sums + division));
        // Weights below the smallest normal number may be flushed to zero or stay there.
        let flushed = 4.0 * keys as f64 * SMALLEST_NORMAL * (1.0 + largest_v);
        for at in row * head_dim..(row + 1) * head_dim {
            let error = (relative * reference.magnitude[at]).min(farthest)
                + reference.flushed[at]
                + flushed;
            let out = reference.out[at];
            bounds.out.push(error + storage_error(output, out, error));
        }
        let lse = reference.lse[row];
        // log2 is good to 2^-21 near 1 and to 3 units elsewhere; then a sum, a product and a rounded constant.
        let logarithm = 2.0_f64.powi(-21) + 3.0 * ulp * (keys as f64).log2();
        let roundings = 4.0 * UNIT_ROUNDOFF * (largest + (keys as f64).ln() + lse.abs());
        bounds.lse.push(weight + sums + logarithm + roundings);
    }
    bounds
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::tests::assert_within;
    use super::*;
    use crate::attention::{AttentionOptions, block_attention};
    use crate::bounds::compare;
    use crate::{Element, Tensor};

    /// One query of head dimension 3, its outputs of magnitude 0.5.
    fn reference(keys: usize, logit_magnitude: f64, soft_cap: Option<f64>) -> AttentionReference {
        AttentionReference {
            shape: [1, 1, 1, 3],
            out: vec![0.25; 3],
            lse: vec![0.25],
            magnitude: vec![0.5; 3],
            flushed: vec![0.0; 3],
            logit_magnitude: vec![logit_magnitude],
            logit_flushed: vec![0.0],
            keys: vec![keys],
            soft_cap,
        }
    }

    fn assert_close(actual: f64, expected: f64) {
        assert_within(1e-3, actual, expected);
    }

    /// To first order in the roundoff, for logits of magnitude `a` that no cap cuts: a score has `6 a`, differences `2 a`, exponentials
    /// `6 (steps + 1) + 8 a / ln 2`, sums `keys + steps + 1`. The output has all of that twice and 5 for the division.
    #[test]
    fn a_row_has_the_roundings_of_its_derivation() {
        for (keys, magnitude, soft_cap, out, lse) in [
            (8, 1.0, None, 102.083, 87.859),
            (8, 4.0, None, 219.332, 158.484),
            (9, 1.0, None, 118.083, 97.350),
            // A cap above: 4.5 for the tanh of a logit of 0.1.
            (8, 0.1, Some(0.5), 75.908, 71.172),
            // A cap below: 7.5 for the tanh, and differences of at most twice the cap.
            (8, 1.0, Some(0.5), 103.542, 86.589),
        ] {
            let reference = reference(keys, magnitude, soft_cap);
            let bounds = attention_bounds(&reference, 1.0, DType::F32);
            for bound in bounds.out {
                assert_close(bound, 0.5 * out * UNIT_ROUNDOFF);
            }
            assert_close(bounds.lse[0], lse * UNIT_ROUNDOFF);
        }
    }

    #[test]
    fn an_output_is_never_further_off_than_two_values() {
        // Sums of so many keys that they may be off by five sixths, numerator and denominator each.
        for (keys, farthest) in [(8, 6.0), (1 << 22, 3.0 * (2.0 + 4.0 * 5.0 / 6.0))] {
            let bounds = attention_bounds(&reference(keys, 1e9, None), 3.0, DType::F32);
            assert_close(bounds.out[0], farthest);
            assert!(bounds.lse[0] > 0.0);
        }
        // Of eight keys: twice 22 roundings of the sums and 5 of the division, for values up to 3.
        let few = attention_bounds(&reference(8, 1e9, None), 3.0, DType::F32);
        assert_close(few.out[0] - 6.0, 3.0 * 2.0 * 27.0 * UNIT_ROUNDOFF);
        // More keys than f32 can count: nothing is known, which is no negative bound.
        let bounds = attention_bounds(&reference(1 << 25, 1.0, None), 3.0, DType::F32);
        assert_eq!(
            (bounds.out[0], bounds.lse[0]),
            (f64::INFINITY, f64::INFINITY)
        );
    }

    #[test]
    fn every_row_has_bounds_of_its_own() {
        let rows: Vec<_> = [1.0, 2.0, 4.0].map(|a| reference(8, a, None)).into();
        let all = AttentionReference {
            shape: [1, 1, 3, 3],
            out: vec![0.25; 9],
            lse: vec![0.25; 3],
            magnitude: vec![0.5; 9],
            flushed: vec![0.0; 9],
            logit_magnitude: vec![1.0, 2.0, 4.0],
            logit_flushed: vec![0.0; 3],
            keys: vec![8; 3],
            soft_cap: None,
        };
        let all = attention_bounds(&all, 1.0, DType::F32);
        for (row, reference) in rows.iter().enumerate() {
            let alone = attention_bounds(reference, 1.0, DType::F32);
            assert_eq!(all.out[3 * row..3 * row + 3], alone.out);
            assert_eq!(all.lse[row], alone.lse[0]);
        }
        assert_eq!(all.out.len(), 9);
    }

    #[test]
    fn weights_may_be_flushed_to_zero() {
        let mut reference = reference(8, 1.0, None);
        reference.magnitude = vec![0.0; 3];
        // Four smallest numbers for each of eight keys, of weights and of values up to 3.
        let bounds = attention_bounds(&reference, 3.0, DType::F32);
        assert_eq!(bounds.out, [4.0 * 8.0 * SMALLEST_NORMAL * 4.0; 3]);
    }

    /// Two keys, of which a device that reads what is subnormal in f16 as zero sees other numbers.
    #[test]
    fn operands_that_a_device_reads_as_zero_are_within_the_bound_and_nothing_more_is() {
        let attend = |logit: f64, value: f64, soft_cap| {
            let tensor = |numbers: &[f64]| {
                let halves: Vec<_> = numbers
                    .iter()
                    .map(|&x| <f16 as Element>::from_f64(x))
                    .collect();
                Tensor::new(vec![1, 1, halves.len() / 2, 2], halves)
            };
            let (q, k) = (tensor(&[logit, 1.0]), tensor(&[6e4, 1.0, 1.0, 1.0]));
            let options = AttentionOptions {
                scale: Some(1e-3),
                causal: false,
                soft_cap,
                ..AttentionOptions::default()
            };
            let v = tensor(&[value, 1.0, 2.0, value]);
            block_attention(&q, &k, &v, None, &options).unwrap()
        };
        // Half the smallest normal number, and one that is normal and as small for what it is multiplied with.
        let (small, normal) = (2.0_f64.powi(-15), 2.0_f64.powi(-14));
        for (logit, value) in [(small, 1.0), (normal, small), (small, small)] {
            let lost = |x: f64| if x == small { 0.0 } else { x };
            for soft_cap in [None, Some(4.0)] {
                let expected = attend(logit, value, soft_cap);
                let read = attend(lost(logit), lost(value), soft_cap);
                let bounds = attention_bounds(&expected, 2.0, DType::F32);
                assert!(compare(read.out.clone(), &expected.out, &bounds.out).holds());
                assert!(compare(read.lse.clone(), &expected.lse, &bounds.lse).holds());
                // The bound lets a logit be wrong by so much on both sides of the division, for every key.
                let moved = expected.out.iter().zip(&read.out);
                let further = moved.map(|(&expected, &read)| expected + 16.0 * (read - expected));
                assert!(!compare(further, &expected.out, &bounds.out).holds());
                let uncounted = AttentionReference {
                    flushed: vec![0.0; 2],
                    logit_flushed: vec![0.0],
                    ..expected
                };
                let bounds = attention_bounds(&uncounted, 2.0, DType::F32);
                assert!(!compare(read.out, &uncounted.out, &bounds.out).holds());
                let same = compare(read.lse, &uncounted.lse, &bounds.lse).holds();
                assert_eq!(same, logit != small, "only q and k change the sums");
            }
        }
    }

    #[test]
    fn capped_scores_are_never_further_apart_than_two_caps() {
        let bounds = attention_bounds(&reference(8, 1e9, Some(0.5)), 100.0, DType::F32);
        assert_close(bounds.out[0], 0.5 * 2.0_f64.exp_m1());
        // Twice 7.5 roundings of the two caps and 35.77 of the rest, and 5 of the division.
        let roundings = bounds.out[0] - 0.5 * 2.0_f64.exp_m1();
        assert_close(roundings, 0.5 * 2.0_f64.exp() * 91.542 * UNIT_ROUNDOFF);
    }

    #[test]
    fn a_query_without_keys_has_no_error_and_a_stored_output_that_of_its_type() {
        let bounds = attention_bounds(&reference(0, 1.0, None), 1.0, DType::F16);
        assert_eq!((bounds.out, bounds.lse), (vec![0.0; 3], vec![0.0]));
        let stored = |dtype| attention_bounds(&reference(8, 1.0, None), 1.0, dtype).out[0];
        let more = stored(DType::F16) - stored(DType::F32);
        assert_close(more, storage_error(DType::F16, 0.25, stored(DType::F32)));
    }
}
