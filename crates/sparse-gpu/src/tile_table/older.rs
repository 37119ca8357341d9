//! Tables of this version and of earlier ones, made ones of this version.

use serde::Deserialize;
use sparse_shaders::{AttentionTile, Tile};

use super::{
    KernelTile, MeasuredOn, TileEntry, TileMeasurement, TileTable, TileWalk, TokenRange, VERSION,
};

/// Reads a table of `version`. Every version is read into types with its fields, since they refuse a field that stands twice; of a
/// [`serde_json::Value`] the last would win.
pub(super) fn read(text: &str, version: u64) -> serde_json::Result<TileTable> {
    if version == 1 {
        return serde_json::from_str::<FirstTable>(text).map(TileTable::from);
    }
    // Version 2 is version 3 without tiles of attention for few queries.
    let table: TileTable = serde_json::from_str(text)?;
    Ok(TileTable {
        version: VERSION,
        ..table
    })
}

/// Before loops of attention had a length of their own, they took this many dimensions. Only of version 1 does the field have a default: from
/// version 2 on a table without it is a damaged one.
const fn dims_of_first() -> usize {
    128
}

/// [`TileTable`] of version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstTable {
    format: String,
    #[serde(rename = "version")]
    _version: u32,
    measured_on: MeasuredOn,
    entries: Vec<FirstEntry>,
}

/// [`TileEntry`] of version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstEntry {
    kernel: FirstKernelTile,
    element_bytes: usize,
    tokens: TokenRange,
    #[serde(default)]
    measured: Option<TileMeasurement>,
}

/// [`KernelTile`] of version 1.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum FirstKernelTile {
    Matmul {
        walk: TileWalk,
        tile: Tile,
    },
    Matvec {
        walk: TileWalk,
        rows: usize,
        lanes: usize,
    },
    BlockAttention {
        head_dim: usize,
        tile: FirstAttentionTile,
    },
    XattentionScore {
        groups_per_block: usize,
        tile: Tile,
    },
}

/// [`AttentionTile`] of version 1, whose direct tiles do not name `dims`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum FirstAttentionTile {
    Direct {
        lanes: usize,
        queries: usize,
        keys: usize,
        #[serde(default = "dims_of_first")]
        dims: usize,
    },
    Tiled {
        queries: usize,
        split: usize,
    },
    Few {
        queries: usize,
        lanes: usize,
    },
}

impl From<FirstTable> for TileTable {
    fn from(table: FirstTable) -> Self {
        Self {
            format: table.format,
            version: VERSION,
            measured_on: table.measured_on,
            entries: table.entries.into_iter().map(TileEntry::from).collect(),
        }
    }
}

impl From<FirstEntry> for TileEntry {
    fn from(entry: FirstEntry) -> Self {
        Self {
            kernel: entry.kernel.into(),
            element_bytes: entry.element_bytes,
            tokens: entry.tokens,
            measured: entry.measured,
        }
    }
}

impl From<FirstKernelTile> for KernelTile {
    fn from(kernel: FirstKernelTile) -> Self {
        use FirstKernelTile as First;
        match kernel {
            First::Matmul { walk, tile } => Self::Matmul { walk, tile },
            First::Matvec { walk, rows, lanes } => Self::Matvec { walk, rows, lanes },
            First::BlockAttention { head_dim, tile } => Self::BlockAttention {
                head_dim,
                tile: tile.into(),
            },
            First::XattentionScore {
                groups_per_block,
                tile,
            } => Self::XattentionScore {
                groups_per_block,
                tile,
            },
        }
    }
}

impl From<FirstAttentionTile> for AttentionTile {
    fn from(tile: FirstAttentionTile) -> Self {
        use FirstAttentionTile as First;
        match tile {
            First::Direct {
                lanes,
                queries,
                keys,
                dims,
            } => Self::Direct {
                lanes,
                queries,
                keys,
                dims,
            },
            First::Tiled { queries, split } => Self::Tiled { queries, split },
            First::Few { queries, lanes } => Self::Few { queries, lanes },
        }
    }
}
