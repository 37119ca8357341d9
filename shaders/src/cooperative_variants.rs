//! Variants of the matmul on cooperative matrices.

use crate::{
    Activation, Addend, CooperativeKernel, CooperativeTile, MatrixSize, Output, Storage, Walk,
};

const DENSE: Walk = Walk::Dense {
    vector_weights: true,
};

/// Every walk, padded and not, both sizes, tiles of processors and of GPUs, all kinds of results. Those that contradict each other are among
/// them, and are refused when they are expanded.
pub(crate) fn cooperative_variants() -> Vec<CooperativeKernel> {
    let mut kernels = Vec::new();
    for size in MatrixSize::ALL {
        let side = size.side();
        let tiles = [(1, 1, 1, 8), (2, 4, 1, 8), (2, 4, 4, 128), (4, 2, 4, 128)].map(
            |(row_matrices, token_matrices, shares, lanes)| CooperativeTile {
                size,
                row_matrices,
                token_matrices,
                shares,
                lanes,
            },
        );
        let nm = |n, m, strips, index_bits| Walk::Nm {
            n,
            m,
            v: strips * side,
            index_bits,
        };
        let walks = [
            DENSE,
            Walk::Dense {
                vector_weights: false,
            },
            nm(2, 4, 1, 2),
            nm(1, 2, 2, 1),
            nm(3, 7, 4, 4),
            nm(8, 32, 3, 8),
            Walk::Bsr { br: side, bc: side },
            Walk::Bsr {
                br: 4 * side,
                bc: 2 * side,
            },
        ];
        for tile in tiles {
            for walk in walks {
                for padded in [false, true] {
                    let outputs = outputs().into_iter();
                    // How results are stored has nothing to do with the size of a tile.
                    for output in outputs.take(if tile == tiles[1] { 8 } else { 1 }) {
                        kernels.push(CooperativeKernel {
                            padded,
                            output,
                            ..CooperativeKernel::new(walk, tile)
                        });
                    }
                }
            }
        }
        for (walk, padded) in [(DENSE, true), (nm(2, 4, 1, 2), false)] {
            let split = true;
            kernels.push(CooperativeKernel {
                padded,
                split,
                ..CooperativeKernel::new(walk, tiles[2])
            });
        }
        for activation in Activation::ALL {
            for addend in [Addend::Previous, Addend::Residual(Storage::F16)] {
                let output = Output {
                    scaled: true,
                    addend,
                    bias: Some(Storage::F32),
                    activation,
                    ..Output::of(Storage::F16)
                };
                kernels.push(CooperativeKernel {
                    output,
                    ..CooperativeKernel::new(DENSE, tiles[1])
                });
            }
        }
    }
    kernels
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
