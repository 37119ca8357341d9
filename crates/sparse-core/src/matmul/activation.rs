//! Functions applied to each output of a matmul.

use std::f64::consts::SQRT_2;

/// What is applied to each output after the bias. NaN stays NaN in all of them.
///
/// `sparse-shaders` has an enum of the same names: it says which WGSL is written, this one what is right. Neither crate knows the other, so
/// that a reference never computes what a kernel does because both read it in the same place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The output as it is.
    #[default]
    None,
    /// 0 where `x < 0`, else `x`.
    Relu,
    /// `x * Phi(x)` with the normal distribution function `Phi(x) = erfc(-x / sqrt(2)) / 2`, not its tanh
    /// approximation. At minus infinity, `-inf * 0`, it is NaN.
    Gelu,
    /// `x / (1 + exp(-x))`, also called swish. At minus infinity, `-inf / inf`, it is NaN.
    Silu,
}

impl Activation {
    /// All activations.
    pub const ALL: [Self; 4] = [Self::None, Self::Relu, Self::Gelu, Self::Silu];

    /// `none`, `relu`, `gelu` or `silu`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }

    /// The activation of `x`, to within `1e-15 * |x|`. The relative error is a few units of `2^-53`, and grows as
    /// `2 * x * x * 2^-53` in the negative tail of [`Gelu`](Self::Gelu).
    ///
    /// ```
    /// use sparse_core::Activation;
    /// assert_eq!(Activation::Relu.apply(-2.0), 0.0);
    /// assert!((Activation::Gelu.apply(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
    /// ```
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            // Written as a comparison because f64::max would turn NaN into 0.
            Self::Relu if x < 0.0 => 0.0,
            Self::Relu => x,
            // erfc, because 1 + erf cancels for negative x.
            Self::Gelu => x * libm::erfc(-x / SQRT_2) / 2.0,
            Self::Silu => x / (1.0 + (-x).exp()),
        }
    }

    /// An upper bound of the slope, so that `|apply(a) - apply(b)| <= max_slope * |a - b|`: what an activation makes
    /// of an error before it.
    pub const fn max_slope(self) -> f64 {
        match self {
            Self::None | Self::Relu => 1.0,
            Self::Gelu => 1.129, // at x = sqrt(2): 1.128904..
            Self::Silu => 1.1,   // at x = 2.3994: 1.099839..
        }
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `apply(x)` to the last place. The argument of erfc is rounded twice (the constant and the
    /// quotient), which its condition `x * x` turns into `2 * x * x` units; 8 units are for the rest.
    fn assert_close(activation: Activation, x: f64, expected: f64) {
        let actual = activation.apply(x);
        let error = (actual - expected).abs() / expected.abs();
        let bound = (2.0 * x * x + 8.0) * (f64::EPSILON / 2.0);
        assert!(
            error <= bound,
            "{activation}({x}) = {actual:e}, {error:e} off {expected:e}"
        );
    }

    #[test]
    fn gelu_is_the_erf_form_down_its_negative_tail() {
        assert_close(Activation::Gelu, 1.0, 0.841_344_746_068_542_9);
        assert_close(Activation::Gelu, -1.0, -0.158_655_253_931_457_05);
        assert_close(Activation::Gelu, 3.0, 2.995_950_305_905_11);
        assert_close(Activation::Gelu, -10.0, -7.619_853_024_160_526e-23);
        assert_eq!(Activation::Gelu.apply(0.0), 0.0);
        assert_eq!(Activation::Gelu.apply(f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn silu_is_x_times_the_logistic_function() {
        assert_close(Activation::Silu, 1.0, 0.731_058_578_630_004_9);
        assert_close(Activation::Silu, -1.0, -0.268_941_421_369_995_1);
        assert_eq!(Activation::Silu.apply(-1e4), 0.0);
        assert_eq!(Activation::Silu.apply(f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn relu_cuts_negatives_only() {
        assert_eq!(Activation::Relu.apply(-3.0), 0.0);
        assert_eq!(Activation::Relu.apply(3.0), 3.0);
    }

    #[test]
    fn nan_stays_nan() {
        for activation in Activation::ALL {
            assert!(activation.apply(f64::NAN).is_nan(), "{activation}");
        }
    }

    #[test]
    fn max_slope_bounds_the_slope_and_is_nearly_reached() {
        for activation in Activation::ALL {
            let step = 1.0 / 1024.0;
            let steepest = (-8192..8192)
                .map(|i| f64::from(i) * step)
                .map(|x| (activation.apply(x + step) - activation.apply(x)).abs() / step)
                .fold(0.0, f64::max);
            assert!(
                steepest <= activation.max_slope(),
                "{activation}: {steepest}"
            );
            assert!(
                steepest > activation.max_slope() - 1e-3,
                "{activation}: {steepest}"
            );
        }
    }
}
