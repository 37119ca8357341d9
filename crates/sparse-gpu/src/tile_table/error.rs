//! What can be wrong with a table of tiles.

use super::{OLDEST, VERSION};

/// A table of tiles that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileTableError {
    /// It is no JSON, or its fields are not those of a table.
    #[error("no table of tiles: {reason}; `sparse-bench tune` writes one")]
    Json {
        /// Where, and what is expected.
        reason: String,
    },
    /// It is JSON of something else.
    #[error(
        "no table of tiles: its format is {found:?}, that of a table is {:?}; `sparse-bench tune` writes one",
        super::FORMAT
    )]
    Format {
        /// What the file says.
        found: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "the table of tiles has version {found}, this program reads versions {OLDEST} to {VERSION}; {}",
        if *found > u64::from(VERSION) { "take a newer program, or tune again with this one" } else { "tune again" }
    )]
    Version {
        /// What the file says.
        found: u64,
    },
    /// A walk that no kernel has.
    #[error("there is no walk {found:?}; known are {known}")]
    Walk {
        /// What the table says.
        found: String,
        /// What it may say.
        known: &'static str,
    },
    /// A tile that no kernel can be made with.
    #[error("the table of tiles has an impossible tile for {kernel}: {reason}")]
    Tile {
        /// The kernel.
        kernel: String,
        /// Which rule is broken.
        reason: String,
    },
    /// An entry that makes no sense.
    #[error("the table of tiles has an impossible entry for {kernel}: {reason}")]
    Entry {
        /// The kernel.
        kernel: String,
        /// Which rule is broken.
        reason: String,
    },
    /// Two entries for the same problems.
    #[error(
        "the table of tiles has two tiles for {kernel} with {tokens} tokens of {element_bytes} bytes; keep one"
    )]
    Twice {
        /// The kernel.
        kernel: String,
        /// The fewest tokens that both are for.
        tokens: usize,
        /// Bytes of an element.
        element_bytes: usize,
    },
    /// It was measured on something else.
    #[error(
        "the table of tiles was measured on {measured_on}, this device is {device}; tune on this one, or say that it is meant \
         (`Gpu::with_tiles_of_any_adapter`, `--tiles-of-any-adapter`)"
    )]
    Adapter {
        /// The adapter of the table.
        measured_on: String,
        /// The adapter of the device.
        device: String,
    },
}
