//! Profiles: the threshold of each head of one attention layer, found by `attention --calibrate` and used by `attention --profile`.
//!
//! A profile is a JSON object; its fields are documented in `docs/FORMATS.md`. It names no model: it fits every layer with the same
//! heads, and says what it was found with.

mod error;
mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod settings;

use serde::{Deserialize, Serialize};
use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::Threshold;
use sparse_measure::counted;

pub use error::ProfileError;
pub use settings::{Dilated, DilatedError, Settings};

use crate::device::AdapterWords;

/// What `format` says in every profile.
pub const FORMAT: &str = "sparse-bench attention profile";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The thresholds of one layer and how they were found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// When, as in `2026-11-22 17:05 UTC`.
    pub created: String,
    /// On which adapter the errors were measured.
    pub adapter: AdapterWords,
    /// The heads that the layer must have.
    pub layer: Layer,
    /// What the thresholds were found with.
    pub options: Settings,
    /// What they were to reach.
    pub target: Target,
    /// The inputs that they reach it on.
    pub inputs: Vec<CalibrationInput>,
    /// One entry per query head, in order.
    pub heads: Vec<HeadThreshold>,
}

/// Sizes that a layer must share with the profile; lengths and batch may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Query heads.
    pub heads: usize,
    /// Heads of k and v.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
}

impl Layer {
    /// Of a problem.
    pub fn of(shape: AttentionShape) -> Self {
        Self {
            heads: shape.q_heads(),
            kv_heads: shape.kv_heads(),
            head_dim: shape.head_dim(),
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            heads,
            kv_heads,
            head_dim,
        } = self;
        write!(
            f,
            "{}, {} of k and v, head_dim {head_dim}",
            counted(*heads, "query head"),
            counted(*kv_heads, "head")
        )
    }
}

/// What calibration is to reach for each head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// `|out - dense out| / |dense out|`, at most.
    RelativeL2Error(f64),
    /// Mean over the queries of the attention mass on kept keys, at least.
    KeptMass(f64),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RelativeL2Error(error) => write!(f, "a relative error of at most {error}"),
            Self::KeptMass(mass) => write!(f, "a kept mass of at least {mass}"),
        }
    }
}

/// A file that was calibrated on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationInput {
    /// Its name, without folder.
    pub file: String,
    /// Items.
    pub batch: usize,
    /// Query tokens.
    pub q_len: usize,
    /// Key tokens.
    pub k_len: usize,
    /// Storage of q, k and v: `f32`, `f16` or `bf16`.
    pub dtype: String,
}

impl CalibrationInput {
    /// Of a file's tensors.
    pub fn of(path: &std::path::Path, shape: AttentionShape, dtype: DType) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self {
            file: name.to_string_lossy().into_owned(),
            batch: shape.batch(),
            q_len: shape.q_len(),
            k_len: shape.k_len(),
            dtype: dtype.name().into(),
        }
    }
}

/// The threshold of one query head, and what it gave on the calibration inputs: the worst over inputs and batch items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadThreshold {
    /// Share of the estimated mass that the selected blocks of a row must reach.
    pub threshold: f64,
    /// Largest share of the reachable blocks that is kept.
    pub density: f64,
    /// Largest `|out - dense out| / |dense out|`.
    pub relative_l2_error: f64,
    /// Least mean over the queries of the attention mass on kept keys.
    pub kept_mass: f64,
}

impl Profile {
    /// The thresholds as an option.
    pub fn threshold(&self) -> Threshold {
        Threshold::PerHead(self.heads.iter().map(|head| head.threshold).collect())
    }

    /// Mean over the heads of the density that they had.
    #[expect(clippy::cast_precision_loss, reason = "a number of heads")]
    pub fn mean_density(&self) -> f64 {
        let sum: f64 = self.heads.iter().map(|head| head.density).sum();
        sum / self.heads.len().max(1) as f64
    }

    /// Checks that the profile fits a layer.
    ///
    /// # Errors
    /// [`ProfileError::Layer`], with both sizes.
    pub fn check_layer(&self, shape: AttentionShape) -> Result<(), ProfileError> {
        let given = Layer::of(shape);
        if given == self.layer {
            return Ok(());
        }
        Err(ProfileError::Layer {
            profile: self.layer,
            given,
        })
    }
}
