//! Tables of tiles: read as written, refused where they make no sense, used where they fit, with equal results.

#[path = "../support/mod.rs"]
mod support;

mod attention;
mod entries;
mod file;
mod lookup;
mod products;

use serde_json::Value;
use sparse_gpu::{
    AttentionTile, Gpu, KernelTile, MeasuredOn, Problem, Tile, TileEntry, TileMeasurement,
    TileTable, TileTableError, TileWalk, TokenRange,
};
use support::gpu::gpu;

fn elsewhere() -> MeasuredOn {
    MeasuredOn {
        adapter: "Example 3000".into(),
        backend: "vulkan".into(),
        driver: "example 1.2".into(),
        class: "other".into(),
    }
}

fn tile(rows: usize, cols: usize, lanes: usize) -> Tile {
    Tile { rows, cols, lanes }
}

fn matmul(walk: &str, tile: Tile) -> KernelTile {
    let walk = walk.parse::<TileWalk>().unwrap();
    KernelTile::Matmul { walk, tile }
}

fn entry(kernel: KernelTile, from: usize, to: usize) -> TileEntry {
    TileEntry {
        kernel,
        element_bytes: 4,
        tokens: TokenRange { from, to },
        measured: None,
    }
}

/// A table of this device with one tile, for all tokens that the kernel takes.
fn only(kernel: KernelTile) -> Gpu {
    let most = match kernel {
        KernelTile::Matvec { .. } => 8,
        _ => 100_000,
    };
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table.entries.push(entry(kernel, 1, most));
    gpu().with_tiles(&table).unwrap()
}

fn full_table() -> TileTable {
    let mut table = TileTable::new(elsewhere());
    let direct = AttentionTile::Direct {
        lanes: 8,
        queries: 2,
        keys: 4,
        dims: 16,
    };
    let tiled = AttentionTile::Tiled {
        queries: 32,
        split: 16,
    };
    let walk = |text: &str| text.parse().unwrap();
    table.entries = vec![
        entry(matmul("dense", tile(16, 8, 8)), 9, 512),
        entry(matmul("dense", tile(8, 8, 8)), 513, 4096),
        TileEntry {
            element_bytes: 2,
            ..entry(matmul("dense", tile(8, 8, 8)), 9, 512)
        },
        entry(matmul("nm 8:2:4", tile(8, 4, 64)), 9, 512),
        entry(matmul("bsr 32x16", tile(4, 4, 64)), 9, 512),
        entry(
            KernelTile::Matvec {
                walk: walk("nm_gather 1:2:4"),
                rows: 4,
                lanes: 16,
            },
            1,
            8,
        ),
        entry(
            KernelTile::BlockAttention {
                head_dim: 64,
                tile: direct,
            },
            1,
            4096,
        ),
        entry(
            KernelTile::BlockAttention {
                head_dim: 128,
                tile: tiled,
            },
            1,
            4096,
        ),
        // Another kernel: for few queries of the same keys.
        entry(
            KernelTile::BlockAttention {
                head_dim: 128,
                tile: AttentionTile::Few {
                    queries: 2,
                    lanes: 16,
                },
            },
            1,
            4096,
        ),
        TileEntry {
            measured: Some(TileMeasurement {
                problem: "8192 tokens".into(),
                default_tile: "16x4x8".into(),
                default_ms: 2.5,
                ms: 2.0,
                spread: 0.01,
            }),
            ..entry(
                KernelTile::XattentionScore {
                    groups_per_block: 8,
                    tile: tile(8, 8, 8),
                },
                1,
                16384,
            )
        },
    ];
    table
}

/// The refusal of the table whose JSON `change` has changed.
fn refusal(change: impl FnOnce(&mut Value)) -> TileTableError {
    let mut value: Value = serde_json::from_str(&full_table().to_json().unwrap()).unwrap();
    change(&mut value);
    TileTable::from_json(&value.to_string()).unwrap_err()
}

/// Plans with the table and without, and tells the origins.
fn both<P: Problem>(tuned: &Gpu, problem: &P) -> [P::Plan; 2] {
    [gpu(), tuned].map(|gpu| gpu.plan_blocking(problem).unwrap())
}
