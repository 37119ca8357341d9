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
    with_roundings(reference, terms, activation, output)
}

/// As [`matmul_bounds`], for a kernel that multiplies f16 by cooperative matrices and adds in f32: in any order, four or more products at a
/// time or one by one, and cutting off where others round, with k in so many `parts`. Derivation: `docs/NUMERICS.md`, section 2.
///
/// ```
/// use sparse_core::bounds::{cooperative_matmul_bounds, matmul_bounds};
/// use sparse_core::{Activation, DType, Epilogue, Matrix, matmul::dense_matmul};
/// let x = Matrix::new(1, 8, vec![1.0_f32; 8]);
/// let product = dense_matmul(&x, &x, &Epilogue::NONE)?;
/// let rounding = matmul_bounds(&product, 8, Activation::None, DType::F32)[0];
/// let cutting = cooperative_matmul_bounds(&product, 8, 1, Activation::None, DType::F32)[0];
/// assert!(cutting > 2.0 * rounding && cutting < 3.0 * rounding);
/// # Ok::<(), sparse_core::MatmulError>(())
/// ```
pub fn cooperative_matmul_bounds(
    reference: &MatmulReference,
    terms: usize,
    parts: usize,
    activation: Activation,
    output: DType,
) -> Vec<f64> {
    let blocks = terms.div_ceil(4) + parts - parts.min(1);
    let roundings = 2 * (terms + 2 * blocks) + parts - parts.min(1);
    with_roundings(reference, roundings, activation, output)
}

/// Of sums with so many roundings.
fn with_roundings(
    reference: &MatmulReference,
    roundings: usize,
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
            let roundings = roundings + 2 + reference.epilogue_roundings;
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
