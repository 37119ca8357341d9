//! Comparing a result with its reference, element by element.

/// The element of a result that comes closest to its bound, or exceeds it most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The largest `|actual - expected| / bound`; infinite where the result is NaN or the lengths differ.
    pub ratio: f64,
    /// Where.
    pub index: usize,
    /// The result there.
    pub actual: f64,
    /// The reference there.
    pub expected: f64,
    /// The bound there.
    pub bound: f64,
}

impl Comparison {
    /// Whether every element lies within its bound.
    pub fn holds(&self) -> bool {
        self.ratio <= 1.0
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "element {}: {:e}, expected {:e}, error is {:.3} of the bound {:e}",
            self.index, self.actual, self.expected, self.ratio, self.bound
        )
    }
}

/// Compares element by element. Equal values, infinities included, have ratio 0; a NaN matches only a NaN. A bound that is negative or NaN
/// holds for nothing but equal values, an infinite one for every finite result.
///
/// ```
/// use sparse_core::bounds::compare;
/// assert!(compare([1.0, 2.5], &[1.0, 2.0], &[0.1, 0.5]).holds());
/// assert!(!compare([1.0, 2.6], &[1.0, 2.0], &[0.1, 0.5]).holds());
/// assert!(!compare([1.0, f64::NAN], &[1.0, 2.0], &[0.1, 0.5]).holds());
/// assert!(!compare([1.0], &[1.0, 2.0], &[0.1, 0.5]).holds());
/// ```
pub fn compare(
    actual: impl IntoIterator<Item = f64>,
    expected: &[f64],
    bounds: &[f64],
) -> Comparison {
    let mut worst = Comparison {
        ratio: 0.0,
        index: 0,
        actual: 0.0,
        expected: 0.0,
        bound: 0.0,
    };
    let mut count = 0;
    for (index, actual) in actual.into_iter().enumerate() {
        count += 1;
        let (Some(&expected), Some(&bound)) = (expected.get(index), bounds.get(index)) else {
            break;
        };
        let ratio = ratio(actual, expected, bound);
        if ratio > worst.ratio || index == 0 {
            worst = Comparison {
                ratio,
                index,
                actual,
                expected,
                bound,
            };
        }
    }
    if count != expected.len() || count != bounds.len() {
        worst.ratio = f64::INFINITY;
    }
    worst
}

fn ratio(actual: f64, expected: f64, bound: f64) -> f64 {
    if actual == expected || (actual.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let ratio = (actual - expected).abs() / bound;
    // NaN: the result or the reference is NaN, or an infinity meets an infinite bound.
    if bound >= 0.0 && !ratio.is_nan() {
        ratio
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_a_nan_and_a_wrong_length_fail() {
        let (expected, bounds) = ([1.0, -2.0, 3.0], [0.5, 0.5, 0.0]);
        assert!(compare([1.5, -2.5, 3.0], &expected, &bounds).holds());
        for wrong in [
            [1.6, -2.0, 3.0],
            [1.0, 2.0, 3.0],
            [1.0, -2.0, 3.1],
            [f64::NAN, -2.0, 3.0],
        ] {
            assert!(!compare(wrong, &expected, &bounds).holds(), "{wrong:?}");
        }
        assert!(!compare([1.0, -2.0], &expected, &bounds).holds());
        assert!(!compare([1.0, -2.0, 3.0, 4.0], &expected, &bounds).holds());
        assert!(!compare([1.0], &[1.0], &[0.5, 0.5]).holds());
        assert!(!compare([1.0], &[1.0, 1.0], &[0.5]).holds());
        assert!(!compare([f64::INFINITY], &[1.0], &[f64::INFINITY]).holds());
        assert!(compare([2.0], &[1.0], &[f64::INFINITY]).holds());
        for no_bound in [-1.0, f64::NEG_INFINITY, f64::NAN] {
            assert!(!compare([2.0], &[1.0], &[no_bound]).holds(), "{no_bound}");
            assert!(compare([1.0], &[1.0], &[no_bound]).holds(), "{no_bound}");
        }
    }

    #[test]
    fn the_worst_element_is_named() {
        let worst = compare([1.0, 2.2, 3.1], &[1.0, 2.0, 3.0], &[0.1, 0.1, 0.1]);
        assert_eq!(worst.index, 1);
        // The first of those that are equally bad.
        assert_eq!(compare([2.0, 3.0], &[1.0, 2.0], &[0.5, 0.5]).index, 0);
        assert!((worst.ratio - 2.0).abs() < 1e-9);
    }
}
