//! Why a calibration was refused.

use std::path::PathBuf;

use sparse_core::attention::MaskHeads;
use sparse_gpu::profile::{Layer, Target};

/// Targets that cannot be reached and inputs that do not go together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// Even the highest threshold misses the target.
    #[error(
        "{of} head {head} cannot reach {}: at threshold 1 it has {reached:e}; {}",
        target, advice(*target, *reached)
    )]
    OutOfReach {
        /// The head of the mask.
        head: usize,
        /// Which heads those are.
        of: MaskHeads,
        /// What was asked for.
        target: Target,
        /// What it has.
        reached: f64,
    },
    /// The same thresholds gave another result.
    #[error(
        "{of} head {head} reached {} at threshold {threshold} and then missed it with {reached:e}: this device does not repeat its results",
        target
    )]
    NotRepeated {
        /// The head of the mask.
        head: usize,
        /// Which heads those are.
        of: MaskHeads,
        /// Its threshold.
        threshold: f64,
        /// What was asked for.
        target: Target,
        /// What it had the second time.
        reached: f64,
    },
    /// Files of different layers.
    #[error(
        "one profile is for one layer: the first file has {first}, this one {other}: {}",
        path.display()
    )]
    Layers {
        /// Of the first file.
        first: Layer,
        /// Of the other.
        other: Layer,
        /// The other.
        path: PathBuf,
    },
    /// A file without a single query or key.
    #[error(
        "there is nothing to calibrate on: q is {q:?} and there are {k_len} keys: {}",
        path.display()
    )]
    Nothing {
        /// Sizes of q.
        q: [usize; 4],
        /// Keys.
        k_len: usize,
        /// The file.
        path: PathBuf,
    },
    /// The device is wrong.
    #[error(
        "the device computes wrong numbers: the largest error of scores or dense attention is {ratio} times its bound: {}",
        path.display()
    )]
    Wrong {
        /// Error over bound.
        ratio: f64,
        /// The file.
        path: PathBuf,
    },
}

fn advice(target: Target, reached: f64) -> &'static str {
    match target {
        _ if reached.is_nan() => "this device did not write all of its output",
        Target::RelativeL2Error(_) => "ask for a larger --target-error",
        Target::KeptMass(_) => "ask for a smaller --target-mass",
    }
}
