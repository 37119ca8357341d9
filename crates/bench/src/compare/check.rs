//! Error against error bound.

/// The largest ratio of `|actual - expected|` to `bound`, over all elements: right where it is at most 1.
///
/// NaN where an element or its bound is NaN, infinite where an element must be exact (bound 0) and is not. Slices of
/// different lengths give infinity: elements are missing.
pub fn worst_ratio(
    actual: impl ExactSizeIterator<Item = f64>,
    expected: &[f64],
    bound: impl Fn(usize) -> f64,
) -> f64 {
    if actual.len() != expected.len() {
        return f64::INFINITY;
    }
    let mut worst = 0.0_f64;
    for (i, (actual, &expected)) in actual.zip(expected).enumerate() {
        let error = (actual - expected).abs();
        let ratio = if actual == expected {
            0.0
        } else {
            error / bound(i)
        };
        if ratio.is_nan() {
            return f64::NAN;
        }
        worst = worst.max(ratio);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(actual: &[f64], expected: &[f64], bound: f64) -> f64 {
        worst_ratio(actual.iter().copied(), expected, |_| bound)
    }

    #[test]
    fn the_worst_element_counts() {
        assert_eq!(ratio(&[1.0, 2.5, 3.0], &[1.0, 2.0, 3.25], 0.25), 2.0);
        assert_eq!(ratio(&[1.0], &[1.0], 0.0), 0.0);
    }

    #[test]
    fn a_poisoned_missing_or_inexact_element_is_never_right() {
        assert!(ratio(&[1.0, f64::NAN], &[1.0, 2.0], 1.0).is_nan());
        assert_eq!(ratio(&[f64::INFINITY], &[1.0], 1.0), f64::INFINITY);
        assert_eq!(ratio(&[1.0], &[1.0, 2.0], 1.0), f64::INFINITY);
        assert_eq!(ratio(&[1.5], &[1.0], 0.0), f64::INFINITY);
        assert!(ratio(&[1.0], &[f64::NAN], 1.0).is_nan());
    }

    #[test]
    fn equal_infinities_are_right() {
        assert_eq!(ratio(&[f64::INFINITY], &[f64::INFINITY], 1.0), 0.0);
    }
}
