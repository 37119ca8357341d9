//! The tiles of the attention kernels, per class of adapter.

use crate::AdapterClass;

/// Queries of a workgroup and invocations that share four of them, where the block is long enough for both.
///
/// What decides: an invocation keeps 4 queries by `head_dim / split` dimensions of the output in registers, 16 scores, and what it has loaded;
/// tiles of 64 queries read k and v half as often as tiles of 32. Figures are of the drivers' compilers, f32 and masked (`docs/isa`).
pub(crate) const fn widest(class: AdapterClass, head_dim: usize) -> (usize, usize) {
    match class {
        // RDNA2 to RDNA4: no spills and 4 to 8 waves a SIMD with either split; 64 queries for the traffic. At D = 256 split 8 holds 252 of
        // 256 registers, split 16 180 and 8 waves.
        AdapterClass::Amd => match head_dim {
            ..=128 => (64, 8),
            _ => (32, 16),
        },
        // Ampere: 72 to 128 of 255 registers, 16 to 28 warps up to D = 128. At D = 256 split 8 takes 200 registers and leaves 8 warps.
        AdapterClass::Nvidia => match head_dim {
            ..=128 => (64, 8),
            _ => (32, 16),
        },
        // DG2 has 128 registers for 8 lanes, Battlemage as many of twice the width for 16: split 8 spills 175 registers at D = 96 and
        // 390 at D = 128, split 16 none (118 to 121 live). Up to D = 64 split 8 fits (118 to 123 live).
        AdapterClass::Intel => match head_dim {
            ..=64 => (64, 8),
            _ => (32, 16),
        },
        // Adreno 730: 32 of 48 registers and 6 waves of 64 at 32 queries, one wave a workgroup; 64 queries take all 48 and leave 4.
        AdapterClass::Adreno => match head_dim {
            ..=128 => (32, 8),
            _ => (32, 16),
        },
        // Valhall: 64 registers an invocation. Split 16 holds least: 16 registers of output for each 64 of D. Not compiled here.
        AdapterClass::Mali => (32, 16),
        // Apple documents no count; what fits Intel's 128 registers keeps half of the invocations there. Not compiled here. Others likewise.
        AdapterClass::Apple | AdapterClass::Other => match head_dim {
            ..=64 => (64, 8),
            _ => (32, 16),
        },
        // Processors take the direct kernel; this one where a caller names none of its tiles.
        AdapterClass::Software | AdapterClass::SoftwareAvx512 => (32, 16),
    }
}

/// Dimensions of a loop of the direct kernel, at least, where rounds of loops are not what binds.
pub(crate) fn dims_on_processors(class: AdapterClass, head_dim: usize) -> usize {
    match class {
        // Measured on lavapipe with AVX-512, keys 4: loops over 64 dimensions are 1.2 to 1.3 times as fast as over 16 at D = 64, 128 and 256, over
        // 72, 80, 2 x 48 and 40 likewise at D = 72, 80, 96 and 40; a short last loop takes a tenth of that. 96 or 128 in one loop are too long.
        AdapterClass::SoftwareAvx512 => {
            let loops = head_dim.div_ceil(80).max(1);
            head_dim.div_ceil(loops).next_multiple_of(4).max(16)
        }
        // A loop over 16 fits what such a processor keeps decoded.
        _ => 16,
    }
}
