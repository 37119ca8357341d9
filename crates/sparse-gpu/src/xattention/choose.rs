//! Which tile the scores get, and why.

use sparse_shaders::Tile;

use crate::AdapterClass;

/// The register tile of `xattention_score.wgsl`: rows are key groups, columns query groups.
pub(crate) fn tile(query_groups: usize, class: AdapterClass) -> Tile {
    let mut tile = widest(class);
    while tile.lanes > 8 && tile.panel() / 2 >= query_groups {
        tile.lanes /= 2;
    }
    tile
}

/// The widest tile of a class; figures are of the drivers' compilers (`docs/isa`).
const fn widest(class: AdapterClass) -> Tile {
    let (rows, cols, lanes) = match class {
        // One subgroup of 8 is a workgroup, and 16 rows share what its lanes load from different places; with 8 columns the loop would have to
        // be decoded in every round.
        AdapterClass::Software => (16, 4, 8),
        // 1.15 times as fast as four columns, D = 64 and 128; 16 columns gain no more, and 12 less than nothing.
        AdapterClass::SoftwareAvx512 => (16, 8, 8),
        // RDNA3: 60 registers, 24 waves, 98 % of the vector work are multiply-adds; 8 x 8 gains nothing and spills scalar registers. Drivers
        // may choose subgroups of 64. Adreno 730: 24 of 48 registers, 8 waves, subgroups of 64.
        AdapterClass::Amd | AdapterClass::Adreno => (8, 4, 64),
        // Ampere: 96 registers, 20 warps; 8 x 8 would just leave 12. DG2: 114 of 128 registers live; 8 x 8 spills 368.
        _ => (8, 4, 32),
    };
    Tile { rows, cols, lanes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_fit_short_sequences() {
        let panel = |groups, class| tile(groups, class).panel();
        assert_eq!(panel(1000, AdapterClass::Software), 32);
        assert_eq!(panel(1000, AdapterClass::SoftwareAvx512), 64);
        assert_eq!(panel(1000, AdapterClass::Amd), 256);
        assert_eq!(panel(1000, AdapterClass::Nvidia), 128);
        assert_eq!(panel(20, AdapterClass::Software), 32);
        assert_eq!(panel(20, AdapterClass::Amd), 32);
    }
}
