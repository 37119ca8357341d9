//! What can be wrong with a profile.

use sparse_core::attention::MaskHeads;
use sparse_core::xattention::XAttentionError;

use super::{FORMAT, Layer, VERSION};

/// A profile that cannot be used as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It is no JSON, or its fields are not those of a profile.
    #[error("no profile that `sparse-bench attention --calibrate` wrote: {reason}")]
    Json {
        /// Which field, and what is expected.
        reason: String,
    },
    /// It is JSON of something else.
    #[error(
        "no profile: its format is {found:?}, that of a profile is {FORMAT:?}; `sparse-bench attention --calibrate` writes one"
    )]
    Format {
        /// What the file says.
        found: String,
    },
    /// Another program version wrote it.
    #[error(
        "the profile has version {found}, this program reads version {VERSION}; calibrate again"
    )]
    Version {
        /// What the file says.
        found: u64,
    },
    /// The list of heads is not that of the layer.
    #[error(
        "damaged profile: it is for masks of {heads} {of} heads and has {thresholds} thresholds; calibrate again"
    )]
    Heads {
        /// Heads that the masks of the profile's layer have.
        heads: usize,
        /// Which heads those are.
        of: MaskHeads,
        /// Entries of the list.
        thresholds: usize,
    },
    /// A threshold or a density is no share.
    #[error(
        "damaged profile: the {field} of head {head} is {value:?}, it must lie between 0 and 1; calibrate again"
    )]
    Share {
        /// The head.
        head: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A target that no file can hold.
    #[error("the target is {value:?}, for which JSON has no number; give a finite one")]
    Target {
        /// Its number.
        value: f64,
    },
    /// A measured number that no file can hold.
    #[error(
        "the {field} of head {head} is {value:?}, for which JSON has no number; {}",
        advice(field, *value)
    )]
    NotFinite {
        /// The head.
        head: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// The softmax scale is left to the reader.
    #[error(
        "damaged profile: the softmax scale is null, in a profile it is a number; calibrate again"
    )]
    NoScale,
    /// A softmax scale or a soft cap that is no factor.
    #[error(
        "damaged profile: {field} is {value:?}, it must be a finite number above 0; calibrate again"
    )]
    NotPositive {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A chunk in exact mode.
    #[error(
        "damaged profile: it has chunk {chunk} in mode exact, which has no chunks; calibrate again"
    )]
    Chunk {
        /// Tokens of a chunk.
        chunk: usize,
    },
    /// A pattern of always selected blocks that selects none.
    #[error(
        "damaged profile: {field} is 0, which selects no block; null says that there is no such pattern, else it is at least 1"
    )]
    EmptyPattern {
        /// The field.
        field: &'static str,
    },
    /// Options that no attention has, whatever its lengths.
    #[error("damaged profile: {reason}; calibrate again")]
    Options {
        /// The rule broken.
        reason: XAttentionError,
    },
    /// The profile is for another layer.
    #[error(
        "the profile does not fit: it is for {profile}, the tensors have {given}; calibrate on tensors of this layer"
    )]
    Layer {
        /// Of the profile.
        profile: Layer,
        /// Of the tensors.
        given: Layer,
    },
    /// The layer fits, and its options do not go with the lengths of this problem.
    #[error(
        "the options of the profile do not go with this problem: {reason}; for such lengths, calibrate on tensors that have them"
    )]
    Shape {
        /// The rule broken.
        reason: XAttentionError,
    },
}

/// An error relative to nothing is infinite, however often it is measured.
fn advice(field: &str, value: f64) -> &'static str {
    if field == "relative_l2_error" && value.is_infinite() {
        "make that head dense (or sparse, where it is streaming), or calibrate on other inputs: one of these gives it a dense output of 0"
    } else {
        "calibrate again, on another device if that does not help"
    }
}
