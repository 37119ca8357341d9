//! Bounds of the matmul kernels.

use super::{SMALLEST_NORMAL, UNIT_ROUNDOFF, gamma, storage_error};
use crate::{Activation, DType, MatmulReference};

/// One bound per element of `reference.y`, for a kernel that sums `terms` products per element in f32 in any order, applies the epilogue
/// and stores the result as `output`. Derivation: `docs/NUMERICS.md`, section 2.
pub fn matmul_bounds(
    reference: &MatmulReference,
    terms: usize,
    activation: Activation,
    output: DType,
) -> Vec<f64> {
    let elements = reference
        .pre
        .iter()
        .zip(&reference.magnitude)
        .zip(&reference.y);
    elements
        .map(|((&pre, &magnitude), &y)| {
            let roundings = terms + 2 + reference.epilogue_roundings;
            let flushed = roundings as f64 * SMALLEST_NORMAL * reference.epilogue_gain;
            let sum = gamma(roundings) * magnitude + flushed;
            let error = activated(activation, pre, y, sum);
            error + storage_error(output, y, error)
        })
        .collect()
}

/// The error after the activation, of an argument `pre` uncertain by `sum`.
fn activated(activation: Activation, pre: f64, y: f64, sum: f64) -> f64 {
    // Two roundoffs: a unit in the last place.
    let ulp = 2.0 * UNIT_ROUNDOFF;
    match activation {
        Activation::None | Activation::Relu => sum,
        // |gelu'| < 1.13; the shader's erf is off by less than 4.5e-6, and three products follow.
        Activation::Gelu => {
            let argument = pre.abs() + sum;
            1.13 * sum + argument * (0.5 * 4.5e-6 + 3.0 * ulp)
        }
        // |silu'| < 1.1; exp is good to 3 + 2 |v| units, division to 2.5; below -80 the shader stops at 80 e^-80.
        Activation::Silu => {
            let argument = (pre.abs() + sum).min(80.0);
            1.1 * sum
                + (y.abs() + 1.1 * sum) * (8.0 + 2.0 * argument) * ulp
                + 2e-33 * pre.abs().max(1.0)
        }
    }
}
