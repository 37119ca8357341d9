//! What can be wrong with a profile. Paths come last.

use std::path::PathBuf;

use super::{FORMAT, Layer, VERSION};

/// A profile that cannot be used as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("cannot read the profile: {reason}: {}", path.display())]
    Read {
        /// The system's reason.
        reason: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// It is no JSON, or its fields are not those of a profile.
    #[error("no profile that attention --calibrate wrote: {reason}: {}", path.display())]
    Json {
        /// Which field, and what is expected.
        reason: serde_json::Error,
        /// The file.
        path: PathBuf,
    },
    /// It is JSON of something else.
    #[error(
        "no profile: its format is {found:?}, that of a profile is {FORMAT:?}; attention --calibrate writes one: {}",
        path.display()
    )]
    Format {
        /// What the file says.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// Another program version wrote it.
    #[error(
        "the profile has version {found}, this program reads version {VERSION}; calibrate again: {}",
        path.display()
    )]
    Version {
        /// What the file says.
        found: u64,
        /// The file.
        path: PathBuf,
    },
    /// The list of heads is not that of the layer.
    #[error(
        "damaged profile: it is for {heads} query heads and has {thresholds} thresholds: {}",
        path.display()
    )]
    Heads {
        /// Query heads that the layer of the profile has.
        heads: usize,
        /// Entries of the list.
        thresholds: usize,
        /// The file.
        path: PathBuf,
    },
    /// A threshold or a density is no share.
    #[error(
        "damaged profile: the {field} of head {head} is {value:?}, it must lie between 0 and 1; calibrate again: {}",
        path.display()
    )]
    Share {
        /// The head.
        head: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// The file.
        path: PathBuf,
    },
    /// A chunk in exact mode.
    #[error(
        "damaged profile: it has chunk {chunk} in mode exact, which has no chunks; calibrate again: {}",
        path.display()
    )]
    Chunk {
        /// Tokens of a chunk.
        chunk: usize,
        /// The file.
        path: PathBuf,
    },
    /// A pattern of always selected blocks that selects none.
    #[error(
        "damaged profile: {field} is 0, which selects no block; null says that there is no such pattern, else it is at least 1: {}",
        path.display()
    )]
    EmptyPattern {
        /// The field.
        field: &'static str,
        /// The file.
        path: PathBuf,
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
}
