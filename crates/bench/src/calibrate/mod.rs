//! Finds the threshold of each head that reaches a wanted error or mass, by bisection on the device.

mod bisect;
mod error;
mod probe;

use sparse_gpu::profile::Target;

pub use bisect::{Calibrated, STEPS, bisect};
pub use error::CalibrateError;
pub use probe::Probe;

/// What one head gives at some threshold: the worst over all inputs and batch items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadReach {
    /// Largest share of the reachable blocks that is kept.
    pub density: f64,
    /// Largest `|out - dense out| / |dense out|`.
    pub relative_l2_error: f64,
    /// Least mean over the queries of the attention mass on kept keys.
    pub kept_mass: f64,
}

impl HeadReach {
    /// Of nothing: any other is worse.
    pub const BEST: Self = Self {
        density: 0.0,
        relative_l2_error: 0.0,
        kept_mass: f64::INFINITY,
    };

    /// The worse of both in every number. NaN is the worst: it is of an output that the device did not write.
    pub fn worse(self, other: Self) -> Self {
        let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        let smaller = |a: f64, b: f64| if a.is_nan() || a < b { a } else { b };
        Self {
            density: larger(self.density, other.density),
            relative_l2_error: larger(self.relative_l2_error, other.relative_l2_error),
            kept_mass: smaller(self.kept_mass, other.kept_mass),
        }
    }

    /// Whether it is good enough.
    pub(crate) fn meets(&self, target: Target) -> bool {
        match target {
            Target::RelativeL2Error(most) => self.relative_l2_error <= most,
            Target::KeptMass(least) => self.kept_mass >= least,
        }
    }

    /// The number that `target` is about.
    pub(crate) fn number(&self, target: Target) -> f64 {
        match target {
            Target::RelativeL2Error(_) => self.relative_l2_error,
            Target::KeptMass(_) => self.kept_mass,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_the_device_did_not_write_is_the_worst_and_meets_nothing() {
        let reach = |number| HeadReach {
            density: number,
            relative_l2_error: number,
            kept_mass: number,
        };
        let [good, none] = [0.5, f64::NAN].map(reach);
        for worst in [
            good.worse(none),
            none.worse(good),
            HeadReach::BEST.worse(none),
        ] {
            assert!(worst.density.is_nan(), "{worst:?}");
            assert!(!worst.meets(Target::RelativeL2Error(1.0)), "{worst:?}");
            assert!(!worst.meets(Target::KeptMass(0.0)), "{worst:?}");
        }
        let worst = good.worse(reach(0.75));
        assert_eq!(
            (worst.density, worst.relative_l2_error, worst.kept_mass),
            (0.75, 0.75, 0.5)
        );
        assert_eq!(worst, reach(0.75).worse(good));
    }
}
