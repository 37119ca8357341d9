//! Error bounds of the GPU kernels, derived in `docs/NUMERICS.md`, and the comparison that applies them.
//!
//! Every element has a bound of its own, made of the reference's magnitudes; there is no tolerance to choose.

mod attention;
mod compare;
mod matmul;
mod xattention;

pub use attention::{AttentionBounds, attention_bounds};
pub use compare::{Comparison, compare};
pub use matmul::{cooperative_matmul_bounds, matmul_bounds};
pub use xattention::{block_score_bounds, selection_rounding, selection_tolerance};

/// Unit roundoff of f32, in which every kernel accumulates.
pub const UNIT_ROUNDOFF: f64 = 5.960_464_477_539_063e-8;

/// The smallest normal f32: devices may flush anything below to zero.
pub const SMALLEST_NORMAL: f64 = crate::DType::F32.smallest_normal();

/// `gamma(n) = n u / (1 - n u)`: the relative error of a product of `n` factors `1 + d`, `|d| <= u` (Higham, Accuracy and Stability
/// of Numerical Algorithms, lemma 3.1). Infinite from 2^24 factors on, where the lemma says nothing.
///
/// ```
/// use sparse_core::bounds::{UNIT_ROUNDOFF, gamma};
/// assert!(gamma(2) > 2.0 * UNIT_ROUNDOFF);
/// assert_eq!(gamma(1 << 24), f64::INFINITY);
/// ```
pub fn gamma(n: usize) -> f64 {
    share_of_rest(n as f64 * UNIT_ROUNDOFF)
}

/// `error / (1 - error)`; infinite where nothing is left of the 1, never a negative bound, which every result would satisfy.
fn share_of_rest(error: f64) -> f64 {
    if error < 1.0 {
        error / (1.0 - error)
    } else {
        f64::INFINITY
    }
}

/// What rounding `value`, itself uncertain by `error`, to a storage type may add.
///
/// One unit in the last place, two roundoffs: the conversion of WGSL does not promise to round to nearest. And where what is stored may be
/// subnormal, all of the value that `error` has not counted: devices may store zero then.
pub fn storage_error(dtype: crate::DType, value: f64, error: f64) -> f64 {
    if dtype == crate::DType::F32 {
        return 0.0;
    }
    let rounding = 2.0 * dtype.unit_roundoff() * (value.abs() + error) + 2.0 * dtype.underflow();
    let smallest = value.abs() - error;
    if smallest < dtype.smallest_normal() {
        rounding.max(smallest)
    } else {
        rounding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `actual` is `expected` but for terms that are `relative` of it.
    pub(super) fn assert_within(relative: f64, actual: f64, expected: f64) {
        assert!(
            (actual / expected - 1.0).abs() < relative,
            "{actual:e}, expected {expected:e}"
        );
    }

    #[test]
    fn no_bound_is_negative_however_many_roundings_there_are() {
        let half = 1 << 23;
        assert_eq!(gamma(0), 0.0);
        assert_eq!(gamma(half), 1.0);
        assert!(gamma((1 << 24) - 1) > 1e7);
        for n in [1 << 24, 1 << 25, usize::MAX] {
            assert_eq!(gamma(n), f64::INFINITY, "{n} factors");
        }
    }

    #[test]
    fn a_half_width_result_may_be_off_by_a_unit_in_the_last_place() {
        use crate::DType;
        assert_eq!(storage_error(DType::F32, 3.0, 1.0), 0.0);
        // Of numbers from 4 on, f16 has every 2^-8th and bf16 every 2^-5th.
        let unit = 2.0_f64.powi(-8) + 2.0_f64.powi(-24);
        assert_eq!(storage_error(DType::F16, -3.0, 1.0), unit);
        let unit = 2.0_f64.powi(-5) + 2.0_f64.powi(-133);
        assert_eq!(storage_error(DType::Bf16, 4.0, 0.0), unit);
    }

    #[test]
    fn a_result_that_is_stored_as_zero_is_within_the_bound_and_a_normal_one_is_not() {
        use crate::DType;
        for dtype in [DType::F16, DType::Bf16] {
            let least = dtype.smallest_normal();
            let holds = |actual: f64, value: f64, error: f64| {
                let bound = error + storage_error(dtype, value, error);
                compare([actual], &[value], &[bound]).holds()
            };
            for error in [0.0, least / 64.0] {
                // What was computed may be up to `error` below.
                for (value, may_be_zero) in
                    [(0.5, true), (0.99, true), (1.01, error > 0.0), (1.1, false)]
                {
                    let value = -value * least;
                    assert_eq!(
                        holds(0.0, value, error),
                        may_be_zero,
                        "{value} {dtype} {error}"
                    );
                    // Beyond zero there is nothing that a device might store instead.
                    assert!(
                        !holds(1e-3 * least, value, error),
                        "{value} {dtype} {error}"
                    );
                }
            }
            // Nothing is lost of what is known to be anything.
            assert_eq!(storage_error(dtype, 1.0, f64::INFINITY), f64::INFINITY);
        }
    }
}
