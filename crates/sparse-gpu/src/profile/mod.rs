//! Profiles of attention: the threshold of each head of one layer, found by `sparse-bench attention --calibrate`, and the options that they
//! were found with.
//!
//! A profile is a JSON object; its fields are documented in `docs/FORMATS.md`. It names no model: it fits every layer with the same
//! heads, and says what it was found with.

mod error;
mod file;
#[cfg(test)]
mod fixture;
mod head_kinds;
mod settings;

use serde::{Deserialize, Serialize};
use sparse_core::attention::{AttentionShape, PackedShape};
use sparse_core::xattention::{Threshold, XAttentionError, XAttentionOptions};

pub use error::ProfileError;
pub use head_kinds::{HeadKinds, HeadKindsError, head_kind_words};
pub use settings::{Dilated, DilatedError, ScoreMode, Settings};

use crate::AdapterSummary;

/// What `format` says in every profile.
const FORMAT: &str = "sparse-bench attention profile";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The thresholds of one layer and how they were found.
///
/// Plain data, written as JSON by `sparse-bench attention --calibrate`. A program reads the file and takes the options for its lengths:
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::{AttentionProfile, CostModel, Gpu, Policy, XAttention};
///
/// let gpu = Gpu::new_blocking()?;
/// let profile = AttentionProfile::from_json(&std::fs::read_to_string("layer11.json")?)?;
/// // Batch and lengths are free; heads and head_dim are those of the layer that was calibrated.
/// let shape = AttentionShape::try_new(1, 32, 8, 4096, 4096, 128)?;
/// let mut attention = XAttention::new(shape, profile.options(shape)?);
///
/// // To let a cost model choose between this and dense attention, tell it what the thresholds kept.
/// attention.policy = Policy::Auto(CostModel {
///     expected_density: Some(profile.mean_density()),
///     ..CostModel::of_class(gpu.class())
/// });
/// let plan = gpu.plan_blocking(&attention)?;
/// println!("{}", plan.explain());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionProfile {
    format: String,
    version: u32,
    /// When, as in `2026-11-22 17:05 UTC`. For readers.
    pub created: String,
    /// On which adapter the errors were measured. For readers.
    pub adapter: CalibratedOn,
    /// The heads that the layer must have.
    pub layer: Layer,
    /// What the thresholds were found with; `options` in the file.
    #[serde(rename = "options")]
    pub settings: Settings,
    /// What they were to reach.
    pub target: Target,
    /// The inputs that they reach it on.
    pub inputs: Vec<CalibrationInput>,
    /// One entry per head of the mask, in order: per query head, or per key/value head where query heads share masks.
    pub heads: Vec<HeadThreshold>,
}

/// The adapter that a profile was calibrated on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedOn {
    /// Name of the adapter.
    pub name: String,
    /// Driver and its version.
    pub driver: String,
    /// Graphics API.
    pub backend: String,
}

impl CalibratedOn {
    /// What a profile says of this adapter.
    pub fn of(summary: &AdapterSummary) -> Self {
        Self {
            name: summary.name.clone(),
            driver: summary.driver.clone(),
            backend: summary.backend.clone(),
        }
    }
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
        let [s, kv_s] = [heads, kv_heads].map(|&count| if count == 1 { "" } else { "s" });
        write!(
            f,
            "{heads} query head{s}, {kv_heads} head{kv_s} of k and v, head_dim {head_dim}"
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

impl Target {
    fn number(self) -> f64 {
        match self {
            Self::RelativeL2Error(number) | Self::KeptMass(number) => number,
        }
    }
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

/// The threshold of one head of the mask, and what it gave on the calibration inputs: the worst over inputs, batch items, and the sparse query heads that
/// share it, or all of them where none is sparse.
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

impl AttentionProfile {
    /// A profile that does not say yet when, and on which inputs.
    pub fn new(
        adapter: CalibratedOn,
        layer: Layer,
        settings: Settings,
        target: Target,
        heads: Vec<HeadThreshold>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            created: String::new(),
            adapter,
            layer,
            settings,
            target,
            inputs: Vec::new(),
            heads,
        }
    }

    /// The options for a problem of `shape`: those that the thresholds were found with, the thresholds, and the blocks that are always selected.
    ///
    /// # Errors
    /// Those of [`AttentionProfile::check`], [`ProfileError::Layer`] for another layer, [`ProfileError::Shape`] where the options do not go
    /// with the lengths.
    pub fn options(&self, shape: AttentionShape) -> Result<XAttentionOptions, ProfileError> {
        // Its fields may have been set or read without a check, and some damage would run as something else.
        self.check()?;
        self.check_layer(shape)?;
        self.options_of_layer(shape)
            .map_err(|reason| ProfileError::Shape { reason })
    }

    fn options_of_layer(
        &self,
        shape: AttentionShape,
    ) -> Result<XAttentionOptions, XAttentionError> {
        let options = XAttentionOptions {
            forced: self.settings.forced(shape)?,
            ..self.settings.without_patterns(self.threshold())
        };
        options.layout(shape)?;
        Ok(options)
    }

    /// The options for packed sequences, of [`VarlenXAttention`](crate::VarlenXAttention): as [`AttentionProfile::options`] gives them for each item, with the
    /// blocks that are always selected in one mask.
    ///
    /// # Errors
    /// Those of [`AttentionProfile::options`].
    pub fn packed_options(&self, shape: &PackedShape) -> Result<XAttentionOptions, ProfileError> {
        self.check()?;
        self.check_layer(shape.longest())?;
        self.packed_options_of_layer(shape)
            .map_err(|reason| ProfileError::Shape { reason })
    }

    fn packed_options_of_layer(
        &self,
        shape: &PackedShape,
    ) -> Result<XAttentionOptions, XAttentionError> {
        let items = shape.item_shapes().map(|item| self.settings.forced(item));
        // All items have patterns, or none has.
        let forced: Option<Vec<_>> = items.collect::<Result<_, _>>()?;
        let pack = |masks: Vec<_>| {
            let (block, heads) = (self.settings.block, self.settings.mask_heads);
            shape.pack_masks(&masks, block, heads)
        };
        let options = XAttentionOptions {
            forced: forced
                .map(pack)
                .transpose()?
                .filter(|_| self.settings.has_patterns()),
            ..self.settings.without_patterns(self.threshold())
        };
        options.packed_layouts(shape)?;
        Ok(options)
    }

    /// The thresholds as an option.
    pub fn threshold(&self) -> Threshold {
        Threshold::PerHead(self.heads.iter().map(|head| head.threshold).collect())
    }

    /// Mean over the sparse query heads of the density that their masks had, which is what a cost model expects; over all where none is sparse.
    pub fn mean_density(&self) -> f64 {
        let options = self.settings.without_patterns(self.threshold());
        let group = self.layer.heads / self.heads.len().max(1);
        let is_counted = |head: usize| !options.any_sparse() || options.is_sparse(head);
        // Counts of heads and kinds are checked when a profile is read, not when a program fills one in.
        let kinds = options.head_kinds.as_ref().map_or(usize::MAX, Vec::len);
        let counted = (0..self.layer.heads.min(kinds)).filter(|&head| is_counted(head));
        let densities = counted.filter_map(|head| self.heads.get(head / group.max(1)));
        let (sum, count) = densities.fold((0.0, 0_u32), |(sum, count), head| {
            (sum + head.density, count + 1)
        });
        sum / f64::from(count.max(1))
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

#[cfg(test)]
mod tests;
