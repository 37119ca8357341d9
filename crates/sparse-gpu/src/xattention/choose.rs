//! Which tile the scores get, and why.

use sparse_shaders::Tile;

use crate::AdapterClass;

/// The register tile of `xattention_score.wgsl`: rows are key groups, columns query groups.
pub(crate) fn tile(query_groups: usize, class: AdapterClass) -> Tile {
    let mut tile = widest(class);
    // Wider panels read keys half as often, and reach further over the diagonal.
    if class == AdapterClass::Software && query_groups >= LONG {
        tile.cols = 8;
    }
    while tile.lanes > 8 && tile.panel() / 2 >= query_groups {
        tile.lanes /= 2;
    }
    // A panel of as many groups as a head has would be half empty above the diagonal.
    if tile.cols > 4 && tile.panel() * 8 > query_groups {
        tile.cols = 4;
    }
    tile
}

/// Query groups of a head from which on a processor gains from panels of 64: 12 % at 512 groups, nothing at half of that (lavapipe).
const LONG: usize = 512;

/// On a processor one subgroup of 8 is a workgroup, and 16 rows share what its lanes load from different places; a GPU has registers for
/// 8 x 4 and wants whole subgroups of 32.
const fn widest(class: AdapterClass) -> Tile {
    match class {
        AdapterClass::Software => Tile {
            rows: 16,
            cols: 8,
            lanes: 8,
        },
        _ => Tile {
            rows: 8,
            cols: 4,
            lanes: 32,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_fit_short_sequences() {
        let panel = |groups, class| tile(groups, class).panel();
        assert_eq!(panel(1000, AdapterClass::Software), 64);
        assert_eq!(panel(1000, AdapterClass::Amd), 128);
        assert_eq!(panel(20, AdapterClass::Software), 32);
        assert_eq!(panel(20, AdapterClass::Amd), 32);
    }
}
