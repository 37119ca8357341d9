//! Bounds of the attention kernels.

use super::{SMALLEST_NORMAL, UNIT_ROUNDOFF, gamma, storage_error};
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
        let score = gamma(head_dim + 3) * logit + tanh + SMALLEST_NORMAL;
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
        let sums = sums / (1.0 - sums);
        // Numerator and denominator each, and a division good to 2.5 units.
        let division = 2.5 * ulp;
        let relative = (2.0 * (weight + sums) + division).exp_m1();
        // An average of values is never beyond the largest.
        let farthest = largest_v * (2.0 + 2.0 * (2.0 * sums + division));
        // Weights below the smallest normal number may be flushed to zero or stay there.
        let flushed = 4.0 * keys as f64 * SMALLEST_NORMAL * (1.0 + largest_v);
        for at in row * head_dim..(row + 1) * head_dim {
            let error = (relative * reference.magnitude[at]).min(farthest) + flushed;
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
