//! How much of the result an invocation computes.

use sparse_shaders::Tile;

use crate::AdapterClass;
use crate::matmul::choose::narrowed;
use crate::matmul::tiles;

/// Rows and quads of columns of an invocation, and the invocations of a workgroup: those of the products, with tokens for k and columns for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampledTile {
    pub(crate) rows: usize,
    pub(crate) quads: usize,
    pub(crate) lanes: usize,
}

impl SampledTile {
    /// For rows that share their columns in strips of `strip`, of which each has so many `columns`.
    pub(crate) fn of_strips(strip: usize, columns: usize, class: AdapterClass) -> Self {
        let widest = tiles::widest(class, false);
        let rows = rows_of_strips(strip, widest.rows);
        let cols = tiles::cols_of_few_rows(class, rows, true).unwrap_or(widest.cols);
        let tile = Tile {
            rows,
            cols,
            ..widest
        };
        Self::of(tile, columns.div_ceil(4), 4, class)
    }

    /// For rows with columns of their own, each of which has so many `slots`: quads of them are chosen from `of_a_quad` columns.
    pub(crate) fn of_rows(of_a_quad: usize, slots: usize, class: AdapterClass) -> Self {
        // On GPUs sums of 16 columns leave 4 to 8 subgroups where those of 8 have 12 to 20 (`docs/tuning/tried-and-left.md`).
        let widest = tiles::widest(class, class.is_software());
        let tile = Self::of(widest, slots / 4, of_a_quad, class);
        let rows = widest.rows * widest.cols / (widest.cols / of_a_quad).max(1) / of_a_quad;
        Self {
            rows: rows.clamp(1, widest.rows),
            ..tile
        }
    }

    /// For blocks, whose columns are side by side.
    pub(crate) fn of_blocks((br, bc): (usize, usize), class: AdapterClass) -> Self {
        let lanes = tiles::widest(class, false).lanes;
        // Rows of a block come in fours.
        let strips = Self::of_strips(br, bc, class);
        let rows = strips.rows.next_multiple_of(4);
        let across = bc.div_ceil(4);
        // A workgroup within one tile of rows shares what it loads of dy. Not on processors: measured on lavapipe with AVX-512, 16 x 16 of 32x32 has 1.16 times the
        // speed of 16 x 4, of 64x64 that of 16 x 8.
        let shares = |quads: &usize| {
            !class.is_software()
                && across.is_multiple_of(*quads)
                && (across / quads).is_multiple_of(lanes)
        };
        // In others each invocation loads its own: the more columns share that the better.
        let most = tiles::widest(class, class.is_software()).cols / 4;
        let widest = (1..=most).min_by_key(|&quads| (across.div_ceil(quads) * quads, most - quads));
        let quads = (1..=strips.quads).rev().find(shares).or(widest);
        let quads = quads.unwrap_or(1);
        Self { rows, quads, lanes }
    }

    /// The tile with as many quads, of `of_a_quad` columns each, as suit rows that have so many.
    fn of(tile: Tile, quads: usize, of_a_quad: usize, class: AdapterClass) -> Self {
        let Tile { rows, cols, lanes } = tile;
        if class.is_software() {
            let quads = quads_on_processors(quads, cols / of_a_quad, lanes, of_a_quad);
            return Self { rows, quads, lanes };
        }
        let tile = narrowed(tile, quads * of_a_quad, cols, class);
        Self {
            rows,
            quads: (tile.cols / of_a_quad).max(1),
            lanes: tile.lanes,
        }
    }
}

/// Quads of an invocation, of at most `most`, where rows have so many: a tile costs its columns, idle ones included, and about three more for what they share.
///
/// Measured on lavapipe with AVX-512, 2:2:8 to 32:2:8: sums of two quads have 0.8 to 0.9 of the speed of four.
fn quads_on_processors(quads: usize, most: usize, lanes: usize, of_a_quad: usize) -> usize {
    (1..=most.max(1))
        .min_by_key(|&own| {
            let groups = quads.div_ceil(own * lanes);
            groups.saturating_mul(own * of_a_quad + 3)
        })
        .unwrap_or(1)
}

/// Rows of a tile of at most `most`, so that those of a strip are alike, and in fours where the strip is.
fn rows_of_strips(strip: usize, most: usize) -> usize {
    let alike = strip.div_ceil(strip.div_ceil(most).max(1)).max(1);
    if strip.is_multiple_of(4) {
        alike.next_multiple_of(4).min(most)
    } else {
        alike
    }
}
