//! The product on cooperative matrices, and what packs for it.

use super::Variants;
use crate::{
    Activation, Addend, CooperativeKernel, CooperativeTile, ExpandError, MatrixSize, Output,
    PackHalvesKernel, Storage, Walk,
};

const DENSE: Walk = Walk::Dense {
    vector_weights: true,
};

pub(super) fn add(all: &mut Variants) -> Result<(), ExpandError> {
    for size in MatrixSize::ALL {
        of_size(size, all)?;
    }
    for panel in [8, 16, 64, 256] {
        for (vector_input, transposed) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            all.add(&PackHalvesKernel {
                vector_input,
                transposed,
                panel,
                reads_lines: panel == 256,
            })?;
        }
    }
    Ok(())
}

/// Every walk, padded and not, tiles of processors and of GPUs, all kinds of results. Those that contradict each other are among them, and are
/// refused when they are expanded.
fn of_size(size: MatrixSize, all: &mut Variants) -> Result<(), ExpandError> {
    let tiles = [(1, 1, 1, 8), (2, 4, 1, 8), (2, 4, 4, 128), (4, 2, 4, 128)].map(
        |(row_matrices, token_matrices, shares, lanes)| CooperativeTile {
            size,
            row_matrices,
            token_matrices,
            shares,
            lanes,
        },
    );
    for tile in tiles {
        // How results are stored has nothing to do with the size of a tile.
        let kinds = if tile == tiles[1] { 8 } else { 1 };
        for walk in walks(size.side()) {
            for padded in [false, true] {
                for output in outputs().into_iter().take(kinds) {
                    all.add(&CooperativeKernel {
                        padded,
                        output,
                        ..CooperativeKernel::new(walk, tile)
                    })?;
                }
            }
        }
    }
    for (walk, padded) in [(DENSE, true), (nm(2, 4, size.side(), 2), false)] {
        let split = true;
        all.add(&CooperativeKernel {
            padded,
            split,
            ..CooperativeKernel::new(walk, tiles[2])
        })?;
    }
    epilogues(tiles[1], all)
}

const fn nm(n: usize, m: usize, v: usize, index_bits: u32) -> Walk {
    Walk::Nm {
        n,
        m,
        v,
        index_bits,
    }
}

fn walks(side: usize) -> [Walk; 8] {
    [
        DENSE,
        Walk::Dense {
            vector_weights: false,
        },
        nm(2, 4, side, 2),
        nm(1, 2, 2 * side, 1),
        nm(3, 7, 4 * side, 4),
        nm(8, 32, 3 * side, 8),
        Walk::Bsr { br: side, bc: side },
        Walk::Bsr {
            br: 4 * side,
            bc: 2 * side,
        },
    ]
}

fn epilogues(tile: CooperativeTile, all: &mut Variants) -> Result<(), ExpandError> {
    for activation in Activation::ALL {
        for addend in [Addend::Previous, Addend::Residual(Storage::F16)] {
            let output = Output {
                scaled: true,
                addend,
                bias: Some(Storage::F32),
                activation,
                ..Output::of(Storage::F16)
            };
            all.add(&CooperativeKernel {
                output,
                ..CooperativeKernel::new(DENSE, tile)
            })?;
        }
    }
    Ok(())
}

fn outputs() -> Vec<Output> {
    let kinds = [
        (Storage::F32, true),
        (Storage::F32, false),
        (Storage::F16, false),
        (Storage::Bf16, false),
    ];
    kinds
        .into_iter()
        .flat_map(|(storage, vectors)| {
            [false, true].map(|transposed| Output {
                vectors,
                transposed,
                ..Output::of(storage)
            })
        })
        .collect()
}
