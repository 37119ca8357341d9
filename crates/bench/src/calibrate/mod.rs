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

    /// The worse of both in every number.
    pub fn worse(self, other: Self) -> Self {
        Self {
            density: self.density.max(other.density),
            relative_l2_error: self.relative_l2_error.max(other.relative_l2_error),
            kept_mass: self.kept_mass.min(other.kept_mass),
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
