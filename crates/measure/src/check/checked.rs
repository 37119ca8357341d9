//! What a result of attention is against its reference.

use serde::Serialize;

use super::finite::NotFinite;

/// A result of attention, or its block scores, against the CPU reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(into = "f64")]
pub struct CheckedAttention {
    /// At the samples.
    ratio: f64,
    /// Anywhere.
    not_finite: Option<NotFinite>,
}

impl CheckedAttention {
    pub(super) const fn new(ratio: f64, not_finite: Option<NotFinite>) -> Self {
        Self { ratio, not_finite }
    }

    /// The largest error over its bound; right where it is at most 1. Infinite where a number is not finite that must be, sampled or not.
    pub fn ratio(self) -> f64 {
        match self.not_finite {
            Some(_) => f64::INFINITY,
            None => self.ratio,
        }
    }

    /// That of the two whose error is larger over its bound.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.ratio() > self.ratio() {
            other
        } else {
            self
        }
    }

    /// Where `contender` is wrong, how; nothing where it is right.
    pub fn fault(self, contender: &str) -> Option<String> {
        if let Some(found) = self.not_finite {
            return Some(format!("{contender}: {found}"));
        }
        let ratio = self.ratio;
        (ratio.is_nan() || ratio > 1.0)
            .then(|| format!("{contender}: the largest error is {ratio} times its bound"))
    }
}

/// Of samples alone.
impl From<f64> for CheckedAttention {
    fn from(ratio: f64) -> Self {
        Self::new(ratio, None)
    }
}

impl From<CheckedAttention> for f64 {
    fn from(checked: CheckedAttention) -> Self {
        checked.ratio()
    }
}
