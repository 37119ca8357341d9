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
    let more_parts = parts.saturating_sub(1);
    let blocks = terms.div_ceil(4).saturating_add(more_parts);
    let roundings = terms
        .saturating_add(blocks.saturating_mul(2))
        .saturating_mul(2)
        .saturating_add(more_parts);
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
        .zip(&reference.flushed)
        .zip(&reference.y);
    elements
        .map(|(((&pre, &magnitude), &operands), &y)| {
            let roundings = roundings.saturating_add(2 + reference.epilogue_roundings);
            let results = roundings as f64 * SMALLEST_NORMAL * reference.epilogue_gain;
            let sum = gamma(roundings) * magnitude + results + operands;
            let error = activated(activation, pre, y, sum);
            error + storage_error(output, y, error)
        })
        .collect()
}

/// The error after the activation, of an argument `pre` uncertain by `sum`.
fn activated(activation: Activation, pre: f64, y: f64, sum: f64) -> f64 {
    // Two roundoffs: a unit in the last place.
    let ulp = 2.0 * UNIT_ROUNDOFF;
    let passed_on = activation.max_slope() * sum;
    match activation {
        Activation::None | Activation::Relu => passed_on,
        // The shader's erf is off by less than 4.5e-6, and three products follow.
        Activation::Gelu => {
            let argument = pre.abs() + sum;
            passed_on + argument * (0.5 * 4.5e-6 + 3.0 * ulp)
        }
        // exp is good to 3 + 2 |v| units, division to 2.5; below -80 the shader stops at 80 e^-80.
        Activation::Silu => {
            let argument = (pre.abs() + sum).min(80.0);
            passed_on
                + (y.abs() + passed_on) * (8.0 + 2.0 * argument) * ulp
                + 2e-33 * pre.abs().max(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_within;
    use super::*;
    use crate::bounds::compare;
    use crate::matmul::dense_matmul;
    use crate::{Element, Epilogue, Matrix};
    use half::{bf16, f16};

    /// One output `pre` of ten terms whose magnitudes add up to 3.
    fn reference(pre: f64, activation: Activation) -> MatmulReference {
        let mut reference = MatmulReference::zeros(1, 1, &Epilogue::NONE).unwrap();
        reference.pre[0] = pre;
        reference.y[0] = activation.apply(pre);
        reference.magnitude[0] = 3.0;
        reference
    }

    fn assert_close(actual: f64, expected: f64) {
        assert_within(1e-4, actual, expected);
    }

    /// To first order in the roundoff; a sum of ten terms has twelve roundings, which is 36 of a magnitude of 3.
    #[test]
    fn an_output_has_the_roundings_of_its_derivation() {
        let bound = |pre, activation| {
            matmul_bounds(&reference(pre, activation), 10, activation, DType::F32)[0]
        };
        let u = UNIT_ROUNDOFF;
        assert_close(bound(2.0, Activation::None), 36.0 * u);
        assert_close(bound(2.0, Activation::Relu), 36.0 * u);
        // 1.129 of the sum's, and of the argument half the error of erf and six roundings.
        let gelu = (1.129 * 36.0 + 2.0 * 6.0) * u + 2.0 * 2.25e-6;
        assert_close(bound(2.0, Activation::Gelu), gelu);
        // 1.1 of the sum's, and of the result 8 + 2 * 2 units.
        let silu = (1.1 * 36.0 + 1.761_594 * 12.0 * 2.0) * u;
        assert_close(bound(2.0, Activation::Silu), silu);
    }

    #[test]
    fn a_stored_output_has_the_error_of_its_type_besides() {
        let stored = |output| {
            let reference = reference(2.0, Activation::None);
            matmul_bounds(&reference, 10, Activation::None, output)[0]
        };
        let sum = stored(DType::F32);
        assert_eq!(
            stored(DType::F16),
            sum + storage_error(DType::F16, 2.0, sum)
        );
    }

    /// Devices may read subnormal numbers as zero, however large what they are multiplied with.
    #[test]
    fn operands_that_a_device_reads_as_zero_are_within_the_bound_and_nothing_more_is() {
        fn product<T: Element>(subnormal: f64, large: f64, normal: f64) -> MatmulReference {
            let row = |numbers: [f64; 3]| Matrix::new(1, 3, numbers.map(T::from_f64).to_vec());
            let (x, w) = (
                row([subnormal, 1.0, large]),
                row([large, normal, subnormal]),
            );
            dense_matmul(&x, &w, &Epilogue::NONE.with_alpha(0.5)).unwrap()
        }
        let (none, f32) = (Activation::None, DType::F32);
        for (reference, lost) in [
            (product::<f32>(1e-39, 1e30, 2e-9), 2e-9),
            (product::<bf16>(1e-39, 1e30, 2e-9), 2e-9),
            // Subnormal in 16 bits, and a normal number in f32.
            (product::<f16>(6e-5, 6e4, 7.0), 7.2),
        ] {
            let bound = matmul_bounds(&reference, 3, none, f32)[0];
            // Half of twice the product of both.
            let flushed = reference.flushed[0];
            assert_within(0.02, flushed, lost / 2.0);
            let left = reference.y[0] - flushed;
            assert!(compare([left], &reference.y, &[bound]).holds());
            let too_little = left - 1e-4 * flushed;
            assert!(!compare([too_little], &reference.y, &[bound]).holds());
        }
        // As large without a subnormal number: nothing is lost, and the bound is that of the roundings.
        let normal = product::<f32>(2e-38, 1e29, 2e-9);
        assert_eq!(normal.flushed, [0.0]);
        let bound = matmul_bounds(&normal, 3, none, f32)[0];
        assert_close(bound, 6.0 * UNIT_ROUNDOFF * normal.magnitude[0]);
    }

    #[test]
    fn silu_stops_at_the_argument_where_the_shader_does() {
        let mut far = reference(-200.0, Activation::Silu);
        far.magnitude[0] = 0.0;
        let bound = matmul_bounds(&far, 10, Activation::Silu, DType::F32)[0];
        assert_close(bound, 4e-31);
        // An argument of 1000 costs what one of 80 does: 8 + 2 * 80 units.
        let near = reference(1000.0, Activation::Silu);
        let bound = matmul_bounds(&near, 10, Activation::Silu, DType::F32)[0];
        assert_close(bound, (1.1 * 36.0 + 1000.0 * 168.0 * 2.0) * UNIT_ROUNDOFF);
    }

    #[test]
    fn alpha_and_an_addend_are_roundings_more() {
        let mut scaled = reference(2.0, Activation::None);
        (scaled.epilogue_roundings, scaled.epilogue_gain) = (2, 5.0);
        let bound = |reference: &_| matmul_bounds(reference, 10, Activation::None, DType::F32)[0];
        assert_close(bound(&scaled), 42.0 * UNIT_ROUNDOFF);
        // What is flushed grows with the gain, one smallest number a rounding.
        scaled.magnitude[0] = 0.0;
        assert_close(bound(&scaled), 14.0 * 5.0 * SMALLEST_NORMAL);
    }

    #[test]
    fn cooperative_matrices_cut_off_and_add_their_parts() {
        let reference = reference(2.0, Activation::None);
        // Ten products and three blocks of four, cut: 2 (10 + 2 * 3) + 2. Two parts more: five blocks and two sums.
        for (parts, roundings) in [(0, 34.0), (1, 34.0), (3, 44.0)] {
            let (none, f32) = (Activation::None, DType::F32);
            let bound = cooperative_matmul_bounds(&reference, 10, parts, none, f32)[0];
            assert_close(bound, 3.0 * roundings * UNIT_ROUNDOFF);
        }
    }

    #[test]
    fn more_terms_than_the_lemma_has_room_for_bound_nothing() {
        let (reference, none) = (reference(2.0, Activation::None), Activation::None);
        for count in [1 << 24, usize::MAX] {
            let rounding = matmul_bounds(&reference, count, none, DType::F32)[0];
            let cutting = cooperative_matmul_bounds(&reference, count, count, none, DType::F32)[0];
            assert_eq!([rounding, cutting], [f64::INFINITY; 2]);
        }
    }
}
