//! Options of `attention` that do not go together.

use sparse_core::xattention::XAttentionError;

/// Options of `attention` that do not go together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionArgsError {
    /// A chunk in exact mode.
    #[error(
        "--chunk {chunk} has no meaning in --mode exact, which has no chunks; add --mode reference or leave it out"
    )]
    ChunkWithoutReference {
        /// Tokens of a chunk.
        chunk: usize,
    },
    /// Several files without `--calibrate`.
    #[error(
        "--qkv names {count} files; only --calibrate takes several, attention runs on one at a time"
    )]
    SeveralFiles {
        /// Files named.
        count: usize,
    },
    /// An option that the profile was not made with.
    #[error(
        "{option} is {given}, but the thresholds of the profile were found with {found_with}; leave the option out, or calibrate again with it"
    )]
    Profile {
        /// The option.
        option: &'static str,
        /// Its value.
        given: String,
        /// That of the profile.
        found_with: String,
    },
    /// A rule of `XAttention` itself.
    #[error(transparent)]
    Options(#[from] XAttentionError),
}
