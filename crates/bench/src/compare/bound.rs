//! Error bounds of the operations as they run on the GPU: sums in f32, in any order.

use sparse_core::{Activation, DType, MatmulReference};

/// Results that are too small for a normal f32 may be flushed to zero, each product too.
const SMALLEST_NORMAL: f64 = 1.175_494_350_822_287_5e-38;

/// `n u / (1 - n u)` with u of f32: the relative error of a sum of `n` rounded terms in any order (Higham, Accuracy and
/// Stability of Numerical Algorithms, section 3.1). Infinite where the sum is too long for any bound.
#[expect(
    clippy::cast_precision_loss,
    reason = "an f64 holds every length below 2^52"
)]
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * DType::F32.unit_roundoff();
    if nu < 1.0 {
        nu / (1.0 - nu)
    } else {
        f64::INFINITY
    }
}

/// The bound of element `i` of a product of at most `terms` terms per output, y in f32.
///
/// `terms` products and sums, the bias and the final rounding make `gamma(terms + 2)` of the magnitude; the activation
/// stretches that by its largest slope and adds its own error.
#[expect(
    clippy::cast_precision_loss,
    reason = "an f64 holds every length below 2^52"
)]
pub fn matmul_bound(
    reference: &MatmulReference,
    activation: Activation,
    terms: usize,
    i: usize,
) -> f64 {
    let sum = gamma(terms + 2) * reference.magnitude[i] + terms as f64 * SMALLEST_NORMAL;
    activation.max_slope() * sum + activation_error(activation, reference.pre[i], reference.y[i])
}

/// What the kernel's formula of an activation and WGSL's accuracy of `exp` (3 + 2 |x| units in the last place) add.
fn activation_error(activation: Activation, pre: f64, y: f64) -> f64 {
    let unit = DType::F32.unit_roundoff();
    match activation {
        Activation::None | Activation::Relu => 0.0,
        // erf by a polynomial: 1.5e-7 absolute, 5 products and sums, exp at most 3 units at its largest value of 1.
        Activation::Gelu => 0.5 * pre.abs() * (1.5e-7 + 16.0 * unit),
        // exp, one sum, one quotient of at most 2.5 units.
        Activation::Silu => y.abs() * (14.0 + 4.0 * pre.abs()) * unit + SMALLEST_NORMAL,
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::matmul::dense_matmul;
    use sparse_core::synthetic::normal_matrix;
    use sparse_core::{Epilogue, Matrix};

    use super::*;

    #[test]
    fn gamma_grows_with_the_length_and_ends_in_infinity() {
        assert_eq!(gamma(0), 0.0);
        assert!(gamma(1) > 5.9e-8 && gamma(1) < 6.0e-8);
        assert_eq!(gamma(1 << 24), f64::INFINITY);
    }

    #[test]
    fn a_sum_in_f32_lies_within_the_bound_and_one_wrong_product_does_not() {
        let (x, w): (Matrix<f32>, Matrix<f32>) = (
            normal_matrix(3, 200, 1).unwrap(),
            normal_matrix(5, 200, 2).unwrap(),
        );
        let reference = dense_matmul(&x, &w, &Epilogue::NONE).unwrap();
        for i in 0..15 {
            let (x, w) = (x.row(i / 5), w.row(i % 5));
            let sum: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            let without_first: f32 = x.iter().zip(w).skip(1).map(|(x, w)| x * w).sum();
            let bound = matmul_bound(&reference, Activation::None, 200, i);
            assert!((f64::from(sum) - reference.y[i]).abs() <= bound, "{i}");
            assert!(
                (f64::from(without_first) - reference.y[i]).abs() > bound,
                "{i}"
            );
        }
    }
}
