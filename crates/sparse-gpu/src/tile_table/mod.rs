//! Tiles that were measured on one adapter, as plain data that programs load: [`TileTable`].

mod choose;
mod entry;
mod error;
mod older;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AdapterSummary, Error, Gpu};

pub(crate) use choose::Chosen;
pub use choose::TileOrigin;
pub use entry::{KernelTile, TileEntry, TileMeasurement, TokenRange};
pub use error::TileTableError;
pub use walk::TileWalk;

/// What the files say that they are.
const FORMAT: &str = "sparse-gpu tiles";
/// Of the fields below. A version that knows more kernels or fields has a higher one; 2 knows `dims` of a direct tile of attention, 3 the tiles of
/// attention for few queries.
const VERSION: u32 = 3;
/// The first whose tables are read; [`older`] gives them what they do not have.
const OLDEST: u32 = 1;

/// The adapter that tiles were measured on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredOn {
    /// Name of the adapter.
    pub adapter: String,
    /// `vulkan`, `metal`, `dx12`, ...
    pub backend: String,
    /// Driver and its version. A table is not refused for another one: drivers change often, and tiles little with them.
    pub driver: String,
    /// Name of the [`crate::AdapterClass`], whose defaults the tiles were measured against. The name of the adapter does not tell it: that of llvmpipe is
    /// the same on a processor with AVX-512 and on one without.
    pub class: String,
}

impl MeasuredOn {
    /// An adapter as tables name it.
    pub fn of(summary: &AdapterSummary) -> Self {
        Self {
            adapter: summary.name.clone(),
            backend: summary.backend.clone(),
            driver: summary.driver.clone(),
            class: summary.class.name().to_owned(),
        }
    }

    fn is_same_adapter(&self, other: &Self) -> bool {
        (&self.adapter, &self.backend, &self.class)
            == (&other.adapter, &other.backend, &other.class)
    }
}

impl std::fmt::Display for MeasuredOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            adapter,
            backend,
            driver,
            class,
        } = self;
        write!(f, "{adapter} ({backend}, {driver}, class {class})")
    }
}

/// The tiles that were faster than the defaults on one adapter, by kernel, storage width and tokens.
///
/// Plain data, written as JSON by `sparse-bench tune`. Nothing is tuned implicitly: a program reads the file and gives the table to
/// [`Gpu::with_tiles`].
///
/// ```
/// use sparse_gpu::{KernelTile, MeasuredOn, Tile, TileEntry, TileTable, TileWalk, TokenRange};
///
/// let mut table = TileTable::new(MeasuredOn {
///     adapter: "Example 3000".to_owned(),
///     backend: "vulkan".to_owned(),
///     driver: "example 1.2".to_owned(),
///     class: "other".to_owned(),
/// });
/// table.entries.push(TileEntry {
///     kernel: KernelTile::Matmul {
///         walk: "nm 8:2:4".parse()?,
///         tile: Tile { rows: 8, cols: 4, lanes: 64 },
///     },
///     element_bytes: 2,
///     tokens: TokenRange { from: 65, to: 1024 },
///     measured: None,
/// });
/// let text = table.to_json()?;
/// assert_eq!(TileTable::from_json(&text)?, table);
/// # Ok::<(), sparse_gpu::TileTableError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TileTable {
    format: String,
    version: u32,
    /// Where.
    pub measured_on: MeasuredOn,
    /// What; no two for the same problems.
    pub entries: Vec<TileEntry>,
}

/// What is read first, so that another version is refused as such and not for its fields.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

impl TileTable {
    /// A table without tiles.
    pub fn new(measured_on: MeasuredOn) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            measured_on,
            entries: Vec::new(),
        }
    }

    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// [`TileTableError`], the first rule broken.
    pub fn from_json(text: &str) -> Result<Self, TileTableError> {
        let json = |e: serde_json::Error| TileTableError::Json {
            reason: e.to_string(),
        };
        let header: Header = serde_json::from_str(text).map_err(json)?;
        if header.format != FORMAT {
            return Err(TileTableError::Format {
                found: header.format,
            });
        }
        if !(u64::from(OLDEST)..=u64::from(VERSION)).contains(&header.version) {
            return Err(TileTableError::Version {
                found: header.version,
            });
        }
        let table = older::read(text, header.version).map_err(json)?;
        table.check()?;
        Ok(table)
    }

    /// As the text of a file.
    ///
    /// # Errors
    /// [`TileTableError`] where [`TileTable::from_json`] would refuse it.
    pub fn to_json(&self) -> Result<String, TileTableError> {
        self.check()?;
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|e| TileTableError::Json {
                reason: e.to_string(),
            })
    }

    /// Whether kernels can be made with all tiles, and no two are for the same problems.
    ///
    /// # Errors
    /// [`TileTableError`], the first rule broken.
    pub fn check(&self) -> Result<(), TileTableError> {
        // Per kernel and width the ranges so far, by their first tokens. They do not overlap, so only the last that begins within a new one, or
        // before it, can: a long table takes no longer per entry than a short one.
        let mut ranges: HashMap<_, BTreeMap<usize, usize>> = HashMap::new();
        for entry in &self.entries {
            entry.check()?;
            let TokenRange { from, to } = entry.tokens;
            let ranges = ranges
                .entry((entry.kernel.problems(), entry.element_bytes))
                .or_default();
            if let Some((&other_from, &other_to)) = ranges.range(..=to).next_back()
                && other_to >= from
            {
                return Err(TileTableError::Twice {
                    kernel: entry.kernel.kernel_words(),
                    tokens: from.max(other_from),
                    element_bytes: entry.element_bytes,
                });
            }
            ranges.insert(from, to);
        }
        Ok(())
    }
}

impl Gpu {
    /// The same device, for plans that prefer the tiles of `table` where it has one that fits; otherwise they take the default of the
    /// adapter's class. A tile that a problem names itself comes before both. `plan.explain()` says which it was.
    ///
    /// # Errors
    /// [`Error::Tiles`] where the table was measured on another adapter, or one of another class, or its tiles make no kernels.
    pub fn with_tiles(&self, table: &TileTable) -> Result<Self, Error> {
        let device = MeasuredOn::of(self.adapter());
        if !table.measured_on.is_same_adapter(&device) {
            return Err(Error::Tiles(TileTableError::Adapter {
                measured_on: table.measured_on.to_string(),
                device: device.to_string(),
            }));
        }
        self.with_tiles_of_any_adapter(table)
    }

    /// As [`Gpu::with_tiles`], whatever adapter the table was measured on: for one that is alike, under another name or of another class.
    ///
    /// # Errors
    /// [`Error::Tiles`] where tiles of the table make no kernels.
    pub fn with_tiles_of_any_adapter(&self, table: &TileTable) -> Result<Self, Error> {
        table.check()?;
        Ok(self.with_table(Some(Arc::new(table.clone()))))
    }

    /// The same device, for plans that take the defaults of the adapter's class.
    #[must_use]
    pub fn without_tiles(&self) -> Self {
        self.with_table(None)
    }
}
