//! The register tiles of the products, per class of adapter.

use sparse_shaders::Tile;

use crate::AdapterClass;

/// The tile for many tokens and long strips; `expands` where a step also puts weights back in their places, which more columns share.
///
/// What decides: an invocation keeps `rows * cols` sums, four k of its columns and of its rows' weights in registers; and a workgroup of fewer
/// lanes than a subgroup leaves the others idle. Figures are of the drivers' compilers, f32 (`docs/isa`).
pub(crate) const fn widest(class: AdapterClass, expands: bool) -> Tile {
    let (rows, cols, lanes) = match (class, expands) {
        // Measured on lavapipe: one subgroup of 8 is enough for a workgroup and small panels stay in its cache; what its lanes load from
        // different places is the dearest part of a step, and 16 rows share it. More columns make a loop that has to be decoded in every round.
        (AdapterClass::Software, false) => (16, 4, 8),
        // Selects are shared by columns.
        (AdapterClass::Software, true) => (16, 8, 8),
        // Measured on lavapipe: 1.23 times as fast as four columns, which load the weights of 16 rows for a quarter of the tokens; eight have 1.17.
        (AdapterClass::SoftwareAvx512, _) => (16, 16, 8),
        // RDNA2 to RDNA4: 84 of 256 registers, 98 % of the vector work are multiply-adds. Drivers may choose subgroups of 64, which 32 lanes
        // leave half empty.
        (AdapterClass::Amd, false) => (8, 8, 64),
        (AdapterClass::Amd, true) => (8, 16, 64),
        // Ampere: 112 to 128 registers, 16 warps; 8 x 16 takes 232 and leaves 8.
        (AdapterClass::Nvidia, false) => (8, 8, 32),
        // 152 registers, 12 warps; half the scalar work a multiply-add that 8 columns have.
        (AdapterClass::Nvidia, true) => (8, 16, 32),
        // DG2 and Battlemage: 8 x 8 spills 108 to 180 registers in the dense product, 4 x 8 none with 91 of 128 live.
        (AdapterClass::Intel, _) => (4, 8, 32),
        // Adreno 730: 32 of 48 registers, 6 waves; its subgroups have 64 lanes, 32 would leave half of them idle.
        (AdapterClass::Adreno, false) => (8, 8, 64),
        // 48 registers, 4 waves, no spills.
        (AdapterClass::Adreno, true) => (8, 16, 64),
        // 64 registers an invocation on Valhall, 32 of them sums. Not compiled here; others likewise.
        (AdapterClass::Mali | AdapterClass::Apple | AdapterClass::Other, _) => (4, 8, 32),
    };
    Tile { rows, cols, lanes }
}

/// Columns of tiles that have only so many rows because the strips have no more, where others than those of [`widest`] are better; `lists` where
/// the rows walk a list of k.
///
/// What decides: what a step costs besides multiplying, weights and the list among it, is shared by columns.
pub(crate) const fn cols_of_few_rows(
    class: AdapterClass,
    rows: usize,
    lists: bool,
) -> Option<usize> {
    match (class, rows, lists) {
        (_, 1, _) => Some(16),
        // Measured on lavapipe: a loop of few rows is short enough for eight.
        (AdapterClass::Software, 2..=8, true) => Some(8),
        // 8:2:4 to 8:2:16 1.08 to 1.13 times as fast as with eight, 2:2:8 and 4:2:8 1.07 to 1.1 times.
        (AdapterClass::SoftwareAvx512, 2..=8, true) => Some(16),
        // RDNA3 at 4:2:4, four rows, 8 -> 16 columns: 361 -> 332 cycles for 128 multiply-adds, Ampere 15832 -> 12865; as many sums as 8 x 8 has.
        // Adreno: 8 % more issues than the dense twin instead of 15. Two and three rows are taken to be alike.
        (AdapterClass::Amd | AdapterClass::Nvidia | AdapterClass::Adreno, 2..=4, true) => Some(16),
        _ => None,
    }
}

/// The tile for many tokens whose weights branch on the pattern of each row; none where that is not seen to pay.
///
/// What decides: a leaf has two multiply-adds a column at 2:4, which more columns make longer than what it takes to get there; all four columns of
/// a quad are in registers at once. Figures are instructions for each k, row and token along the executed path, vector and all, and in
/// brackets those of expanding in the tile of the class (`docs/isa`).
pub(crate) const fn branching(class: AdapterClass) -> Option<Tile> {
    let (rows, cols, lanes) = match class {
        // RDNA3: 0.53 and 1.06 (1.03 and 1.62), 108 registers, 14 waves, scalar branches. 8 x 16: 0.84 in all, but 6 waves.
        AdapterClass::Amd => (8, 8, 64),
        // 1.36 and 2.28 (1.77 and 2.57), 144 registers, 12 warps, predicates of the warp. 8 x 12: 1.94 in all, but 8 warps.
        AdapterClass::Nvidia => (8, 8, 32),
        // DG2: 0.79 and 1.80 (1.68 and 2.82), Battlemage 0.79 and 1.43 (1.68 and 2.43); no spills, 4 x 12 has hundreds.
        AdapterClass::Intel => (4, 8, 32),
        // 0.76 and 0.99 (1.78 and 2.00), 4 waves as there. With 4 columns leaves are turned into selects.
        AdapterClass::Adreno => (4, 16, 64),
        // Measured on lavapipe: slower than expanding, whose selects are cheap there.
        AdapterClass::Software | AdapterClass::SoftwareAvx512 => return None,
        // Not compiled here.
        AdapterClass::Mali | AdapterClass::Apple | AdapterClass::Other => return None,
    };
    Some(Tile { rows, cols, lanes })
}

/// The tile for branches that were asked for: that of the class, or one for classes that have none.
pub(crate) const fn branching_as_asked(class: AdapterClass) -> Tile {
    let (rows, cols, lanes) = match (branching(class), class) {
        (Some(tile), _) => return tile,
        // SwiftShader's compiler takes seconds for eight trees in a row, minutes for sixteen of some shapes.
        (None, AdapterClass::Software | AdapterClass::SoftwareAvx512) => (2, 16, 8),
        (None, _) => (4, 8, 32),
    };
    Tile { rows, cols, lanes }
}

/// Lanes below which a workgroup is not cut for few tokens while it has columns to give up instead: a subgroup of most GPUs.
pub(crate) const fn subgroup(class: AdapterClass) -> usize {
    if class.is_software() { 8 } else { 32 }
}
