//! The tile of a product where neither the caller nor a table names one.

use sparse_shaders::{MatvecKernel, Tile, Walk};

use super::kernel::MatvecTile;
use crate::AdapterClass;
use crate::matmul::tiles;

/// The register tile: the widest of the class, with as many rows as fit a strip and as few columns as the tokens need.
pub(crate) fn tile(walk: Walk, tokens: usize, class: AdapterClass) -> Tile {
    let expands = matches!(walk, Walk::NmExpand { .. } | Walk::NmTransposed { .. });
    let widest = match walk {
        Walk::NmBranch { .. } => tiles::branching_as_asked(class),
        _ => tiles::widest(class, expands),
    };
    let mut tile = Tile {
        rows: rows(
            walk.strip_rows(widest.rows),
            least(walk),
            widest.rows.min(walk.most_rows()),
        ),
        ..widest
    };
    let lists = matches!(
        walk,
        Walk::Nm { .. } | Walk::Bsr { .. } | Walk::BsrTransposed { .. }
    );
    if let Some(cols) = tiles::cols_of_few_rows(class, tile.rows, lists) {
        tile.cols = cols;
    }
    narrowed(tile, tokens, widest.cols, class)
}

/// The tile with as few columns as so many `tokens` need; `cols` are those of the class.
pub(crate) fn narrowed(mut tile: Tile, tokens: usize, cols: usize, class: AdapterClass) -> Tile {
    if class == AdapterClass::SoftwareAvx512 && tile.cols > 8 {
        tile.cols = wide_columns(tokens, tile);
    }
    while tile.panel() / 2 >= tokens {
        if tile.rows > 1 && tile.cols > cols {
            // Columns that were to share what few rows cost: a subgroup with idle lanes costs more.
            tile.cols /= 2;
        } else if tile.lanes > tiles::subgroup(class) {
            tile.lanes /= 2;
        } else if tile.cols > 4 {
            tile.cols /= 2;
        } else if tile.lanes > 8 {
            tile.lanes /= 2;
        } else {
            break;
        }
    }
    tile
}

/// Columns of wide tiles, which processors take for their own sake: a panel costs them, idle ones included, and about one more. Sixteen save 5 % of a product
/// of eight (1.23 against 1.17, see [`tiles::widest`]), twelve 4 %, so that the last panel should not be emptier than that.
fn wide_columns(tokens: usize, widest: Tile) -> usize {
    let cost = |cols: usize| {
        let panels = tokens.div_ceil(cols * widest.lanes);
        panels.saturating_mul(cols + 1)
    };
    let columns = (8..=widest.cols).rev().step_by(4);
    columns
        .min_by_key(|&cols| cost(cols))
        .unwrap_or(widest.cols)
}

/// The tile for few tokens and so many outputs.
pub(crate) fn matvec_tile(
    walk: Walk,
    tokens: usize,
    n_out: usize,
    class: AdapterClass,
) -> MatvecTile {
    let software = class.is_software();
    let panel = [1, 4, MatvecKernel::MAX_TOKENS]
        .into_iter()
        .find(|&panel| tokens <= panel)
        .unwrap_or(MatvecKernel::MAX_TOKENS);
    let most = match (panel, walk) {
        _ if walk.columns() => most_columns(walk, panel, n_out, software),
        // Measured on lavapipe, where loading from a place that differs by lane is what a mat-vec costs: rows share the loads of x, and the sums of
        // sixteen may leave the registers. Not where each row gathers an x of its own, nor in the dense product of one token, which loads little x.
        (_, Walk::NmGather { .. }) if software => 4,
        (1, Walk::Dense { .. }) if software => 8,
        // Selecting keeps the x of eight columns beside the sums: with the 16 vector registers that there are before AVX-512, a step of sixteen
        // rows is spilled and too long to stay decoded: 0.66x of dense for one token in f16, 1.13x with eight.
        (1, Walk::NmSelect { .. }) if class == AdapterClass::Software => 8,
        (4, Walk::NmSelect { .. }) if class == AdapterClass::Software => 4,
        _ if software => 16,
        (8, _) => 4,
        _ => 8,
    };
    let rows = rows(walk.strip_rows(most), least(walk), most);
    MatvecTile {
        rows,
        panel,
        lanes: if software { 8 } else { 64 },
    }
}

/// Outputs of a workgroup, at most, where neighbours in memory are outputs.
///
/// What decides on lavapipe, for weights that are not in the cache: the more of a page is read at once the better, up to all of it. But an
/// invocation owns them all, and compilers take seconds for long loops: fewer where putting weights in their places is long, or tokens are more.
fn most_columns(walk: Walk, panel: usize, n_out: usize, software: bool) -> usize {
    let [for_one, for_four, for_more] = match walk {
        // 16 invocations of 64 read 256 bytes of f32 each k, the rest share out k.
        _ if !software => [64; 3],
        Walk::DenseTransposed {
            vector_weights: true,
            ..
        } => [1024, 512, 256],
        Walk::NmTransposed { n: 2, m: 4, .. } => [512, 128, 64],
        Walk::DenseTransposed { .. } => [256, 64, 32],
        _ => [64, 32, 32],
    };
    let mut columns = match panel {
        1 => for_one,
        4 => for_four,
        _ => for_more,
    };
    let idle = |columns: usize| match n_out % columns {
        0 => 0,
        rest => columns - rest,
    };
    while columns > 32 && idle(columns) > n_out / 8 {
        columns /= 2;
    }
    columns
}

/// Rows of a tile: the power of two up to `most` for which covering `strip_rows` costs least. A tile costs its rows, padding
/// included, and about two more for what all of its rows share.
fn rows(strip_rows: usize, least: usize, most: usize) -> usize {
    [1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
        .into_iter()
        .filter(|&rows| (least..=most).contains(&rows))
        .min_by_key(|&rows| strip_rows.div_ceil(rows).saturating_mul(rows + 2))
        .unwrap_or(least)
}

/// Rows of a tile, at least: transposed weights come in fours.
fn least(walk: Walk) -> usize {
    if walk.quads() { 4 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_cover_a_strip_with_little_waste() {
        let chosen: Vec<_> = [1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 32]
            .map(|v| rows(v, 1, 8))
            .into();
        assert_eq!(chosen, [1, 2, 4, 4, 8, 8, 8, 4, 8, 8, 8]);
        assert_eq!([8, 16, 20, 32].map(|v| rows(v, 1, 16)), [8, 16, 8, 16]);
    }

    #[test]
    fn few_idle_columns() {
        let columns = |n_out, vector_weights| {
            let walk = Walk::DenseTransposed {
                vector_weights,
                whole_steps: true,
            };
            matvec_tile(walk, 1, n_out, AdapterClass::Software).rows
        };
        let chosen = [1, 33, 768, 1000, 1024, 1100, 4096].map(|n_out| columns(n_out, true));
        assert_eq!(chosen, [32, 32, 256, 1024, 1024, 128, 1024]);
        assert_eq!(columns(1022, false), 256);
    }

    #[test]
    fn rows_that_select_are_fewer_where_registers_are() {
        let select = Walk::NmSelect {
            n: 2,
            v: 1,
            whole_steps: true,
        };
        let rows = |class| [1, 4, 8].map(|tokens| matvec_tile(select, tokens, 4096, class).rows);
        assert_eq!(rows(AdapterClass::Software), [8, 4, 16]);
        assert_eq!(rows(AdapterClass::SoftwareAvx512), [16, 16, 16]);
    }

    #[test]
    fn wide_panels_are_not_left_empty() {
        let dense = Walk::Dense {
            vector_weights: true,
        };
        let panel = |tokens| tile(dense, tokens, AdapterClass::SoftwareAvx512).panel();
        let chosen = [1024, 1100, 513, 512, 192, 129, 128, 65, 64, 33, 32, 1].map(panel);
        assert_eq!(chosen, [128, 128, 96, 128, 96, 96, 128, 96, 64, 64, 32, 32]);
    }

    #[test]
    fn few_tokens_get_small_panels() {
        let dense = Walk::Dense {
            vector_weights: true,
        };
        assert_eq!(tile(dense, 1024, AdapterClass::Amd).panel(), 512);
        assert_eq!(tile(dense, 100, AdapterClass::Amd).panel(), 128);
        // Columns of few rows are given up before lanes.
        let four_rows = Walk::Nm {
            n: 2,
            m: 4,
            v: 4,
            index_bits: 2,
        };
        let of = |tokens| tile(four_rows, tokens, AdapterClass::Amd).to_string();
        assert_eq!([1024, 512, 256].map(of), ["4x16x64", "4x8x64", "4x8x32"]);
        assert_eq!(
            tile(dense, 9, AdapterClass::Amd),
            Tile {
                rows: 8,
                cols: 4,
                lanes: 8
            }
        );
    }
}
