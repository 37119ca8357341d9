//! Softmax scale and soft cap, as the kernels multiply by them.

use std::f64::consts::LOG2_E;

use crate::Error;

/// Numbers that are positive, finite and not subnormal in f32, their products with `log2(e)` too.
const POSSIBLE: &str = "give 1.2e-38 to 2e38";

/// The two factors of a score, in powers of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ScoreFactors {
    /// Of a dot product: softmax scale times `log2(e)`, or with a soft cap `2 log2(e) scale / cap`, what its tanh takes.
    pub(crate) scale: f32,
    /// Soft cap times `log2(e)`; 0 without one.
    pub(crate) cap: f32,
}

impl ScoreFactors {
    /// Both numbers must be positive and finite in f32, in which the kernels compute, and so must be what they multiply by; not subnormal either,
    /// which a device may take for 0, and every score with it.
    pub(crate) fn try_new(
        operation: &'static str,
        scale: f64,
        soft_cap: Option<f64>,
    ) -> Result<Self, Error> {
        if !usable(scale) || !usable(scale * LOG2_E) {
            let reason = format!(
                "softmax scale {scale:?} is beyond what the kernels multiply by in f32; {POSSIBLE}, or leave it out for 1 / sqrt(head_dim)"
            );
            return Err(Error::invalid(operation, reason));
        }
        let Some(cap) = soft_cap else {
            return Ok(Self {
                scale: rounded(scale * LOG2_E),
                cap: 0.0,
            });
        };
        if !usable(cap) || !usable(cap * LOG2_E) {
            let reason = format!(
                "soft cap {cap:?} is beyond what the kernels multiply by in f32; {POSSIBLE}, or leave it out for uncapped logits"
            );
            return Err(Error::invalid(operation, reason));
        }
        let inner = 2.0 * LOG2_E * scale / cap;
        if !usable(inner) {
            let reason = format!(
                "softmax scale {scale:?} over soft cap {cap:?} is beyond what the kernels multiply by in f32: it may be 1e-38 to 1e38; \
                 models use caps of 20 to 50"
            );
            return Err(Error::invalid(operation, reason));
        }
        Ok(Self {
            scale: rounded(inner),
            cap: rounded(cap * LOG2_E),
        })
    }
}

/// A finite number may be infinite in f32, 0, or subnormal.
fn usable(x: f64) -> bool {
    rounded(x).is_finite() && rounded(x) >= f32::MIN_POSITIVE
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest f32 is the purpose"
)]
const fn rounded(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_applied_to_what_its_tanh_takes() {
        let plain = ScoreFactors::try_new("test", 0.125, None).unwrap();
        assert_eq!(plain.cap, 0.0);
        assert!((f64::from(plain.scale) - 0.125 * LOG2_E).abs() < 1e-8);
        let capped = ScoreFactors::try_new("test", 0.125, Some(50.0)).unwrap();
        // For small logits, cap * (r / 2 / log2 e) in powers of two is the plain score.
        let score = f64::from(capped.cap) * f64::from(capped.scale) / 2.0 / LOG2_E;
        assert!((score - f64::from(plain.scale)).abs() < 1e-7);
    }

    fn refused(scale: f64, cap: Option<f64>) -> String {
        ScoreFactors::try_new("test", scale, cap)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn numbers_that_f32_does_not_hold_are_refused_by_name() {
        for scale in [0.0, -1.0, f64::NAN, 1e-50, 1e-40, 1e39, 3e38] {
            assert!(refused(scale, None).contains("softmax scale"), "{scale}");
        }
        for cap in [0.0, -1.0, f64::NAN, 1e-50, 1e-40, 1e39, 3e38] {
            assert!(refused(1.0, Some(cap)).contains("soft cap"), "{cap}");
        }
        // Not three hundred digits.
        assert!(refused(1e300, None).contains("softmax scale 1e300 is"));
        assert!(refused(1e30, Some(1e-30)).contains("over soft cap"));
        assert!(refused(1e-30, Some(1e30)).contains("over soft cap"));
    }

    #[test]
    fn a_refusal_says_what_is_possible_and_that_is() {
        assert_eq!(
            refused(3e38, None),
            "test: softmax scale 3e38 is beyond what the kernels multiply by in f32; give 1.2e-38 to 2e38, or leave it out for \
             1 / sqrt(head_dim)"
        );
        for number in [1.2e-38, 2e38] {
            assert!(ScoreFactors::try_new("test", number, None).is_ok());
            assert!(ScoreFactors::try_new("test", number, Some(number)).is_ok());
        }
        assert!(refused(2e38, Some(1.0)).contains("it may be 1e-38 to 1e38"));
        // Quotients of 1e-37 and 1e38.
        for (scale, cap) in [(1.0, 1e37), (1.0, 1e-38 * 1.2)] {
            assert!(ScoreFactors::try_new("test", scale, Some(cap)).is_ok());
        }
        // A cap to switch caps off makes every score 0 on a device that flushes.
        assert!(refused(0.125, Some(1e38)).contains("over soft cap"));
    }
}
