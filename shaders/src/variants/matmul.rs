//! The products, and what prepares and finishes them.

use super::{TILES, Variants};
use crate::{
    Activation, Addend, ExpandError, ExpandWeightsKernel, MatmulFinishKernel, MatmulKernel,
    MatvecKernel, NaiveMatmulKernel, NmSddmmKernel,
    NmSums::{Listed, Selected},
    Output, PackKernel, SampledDy,
    SampledReads::{Elements, Packed, Quads},
    SampledResult, SampledX, SddmmKernel, Storage, Walk,
};

/// Every walk, with patterns and blocks that divide words and steps, and with others.
const WALKS: [Walk; 29] = [
    Walk::NmGather {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
    },
    Walk::NmGather {
        n: 3,
        m: 32,
        v: 3,
        index_bits: 8,
    },
    Walk::NmSelect {
        n: 2,
        v: 1,
        whole_steps: true,
    },
    Walk::NmSelect {
        n: 2,
        v: 4,
        whole_steps: false,
    },
    Walk::NmSelect {
        n: 1,
        v: 1,
        whole_steps: false,
    },
    Walk::Dense {
        vector_weights: true,
    },
    Walk::Dense {
        vector_weights: false,
    },
    Walk::Nm {
        n: 2,
        m: 4,
        v: 8,
        index_bits: 2,
    },
    Walk::Nm {
        n: 1,
        m: 2,
        v: 16,
        index_bits: 1,
    },
    Walk::Nm {
        n: 3,
        m: 7,
        v: 12,
        index_bits: 4,
    },
    Walk::Nm {
        n: 8,
        m: 32,
        v: 32,
        index_bits: 8,
    },
    Walk::NmExpand {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
    },
    Walk::NmExpand {
        n: 1,
        m: 3,
        v: 2,
        index_bits: 2,
    },
    Walk::NmExpand {
        n: 1,
        m: 2,
        v: 1,
        index_bits: 1,
    },
    Walk::NmBranch {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
    },
    Walk::NmBranch {
        n: 1,
        m: 4,
        v: 3,
        index_bits: 2,
    },
    Walk::NmBranch {
        n: 1,
        m: 2,
        v: 1,
        index_bits: 1,
    },
    Walk::Bsr { br: 32, bc: 32 },
    Walk::Bsr { br: 4, bc: 6 },
    Walk::Bsr { br: 5, bc: 3 },
    Walk::DenseTransposed {
        vector_weights: true,
        whole_steps: true,
    },
    Walk::DenseTransposed {
        vector_weights: true,
        whole_steps: false,
    },
    Walk::DenseTransposed {
        vector_weights: false,
        whole_steps: false,
    },
    Walk::NmTransposed {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
        whole_steps: true,
    },
    Walk::NmTransposed {
        n: 2,
        m: 8,
        v: 8,
        index_bits: 4,
        whole_steps: false,
    },
    Walk::NmTransposed {
        n: 3,
        m: 7,
        v: 12,
        index_bits: 4,
        whole_steps: false,
    },
    Walk::BsrTransposed { br: 32, bc: 32 },
    Walk::BsrTransposed { br: 6, bc: 4 },
    Walk::BsrTransposed { br: 5, bc: 3 },
];

/// With every storage type throughout.
pub(super) fn add(all: &mut Variants) -> Result<(), ExpandError> {
    for storage in Storage::ALL {
        packing(storage, all)?;
        expanded_weights(storage, all)?;
        all.add(&NaiveMatmulKernel {
            input: storage,
            weight: storage,
        })?;
        for walk in WALKS {
            many_tokens(walk, storage, all)?;
            few_tokens(walk, storage, all)?;
        }
        epilogues(storage, all)?;
        sddmm(storage, all)?;
        sampled_slots(storage, all)?;
    }
    packed_beside_others(all)
}

fn packing(input: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    for (panel, reads_lines) in [1, 4, 8, 64, 256]
        .map(|panel| (panel, false))
        .into_iter()
        .chain([(32, true), (128, true)])
    {
        for (vector_input, transposed) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            all.add(&PackKernel {
                input,
                vector_input,
                transposed,
                panel,
                reads_lines,
            })?;
        }
    }
    Ok(())
}

fn many_tokens(walk: Walk, storage: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    for tile in TILES {
        for (vectors, transposed) in [(false, false), (true, false), (false, true), (true, true)] {
            all.add(&MatmulKernel {
                weight: storage,
                output: Output {
                    vectors,
                    transposed,
                    ..Output::of(storage)
                },
                ..MatmulKernel::new(walk, tile)
            })?;
        }
    }
    if storage != Storage::F32 {
        // Of halves that are packed as they are, how they are loaded is all that differs: the tile is one of processors, which take them so.
        all.add(&MatmulKernel {
            packed: storage,
            weight: storage,
            ..MatmulKernel::new(walk, TILES[1])
        })?;
    }
    Ok(())
}

/// Halves that are packed as they are, with weights of the other types: a walk of each kind of list will do.
fn packed_beside_others(all: &mut Variants) -> Result<(), ExpandError> {
    let dense = Walk::Dense {
        vector_weights: true,
    };
    let nm = Walk::Nm {
        n: 2,
        m: 4,
        v: 8,
        index_bits: 2,
    };
    for walk in [dense, nm, Walk::Bsr { br: 32, bc: 32 }] {
        for packed in [Storage::F16, Storage::Bf16] {
            for weight in Storage::ALL.into_iter().filter(|&weight| weight != packed) {
                all.add(&MatmulKernel {
                    packed,
                    weight,
                    ..MatmulKernel::new(walk, TILES[1])
                })?;
            }
        }
    }
    Ok(())
}

fn few_tokens(walk: Walk, storage: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    for (rows, panel) in [(1, 1), (2, 4), (8, 1), (8, 8), (256, 1), (64, 8)] {
        for transposed in [false, true] {
            all.add(&MatvecKernel {
                weight: storage,
                output: Output {
                    transposed,
                    ..Output::of(storage)
                },
                ..MatvecKernel::new(walk, rows, panel, 32)
            })?;
        }
    }
    Ok(())
}

/// Blocks that start at multiples of four elements, in one operand and in both, and others; of one workgroup and of several; alpha and beta, and each alone.
fn sddmm(storage: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    let dy = |vectors| SampledDy { storage, vectors };
    let x = |reads| SampledX { storage, reads };
    let kernel =
        |block, (vectors, reads), (scaled, accumulate), (rows, quads, lanes)| SddmmKernel {
            block,
            rows,
            quads,
            lanes,
            dy: dy(vectors),
            x: x(reads),
            result: SampledResult {
                storage,
                scaled,
                accumulate,
            },
        };
    let (few_lanes, many_lanes) = ((8, 1, 8), (4, 1, 64));
    for (block, aligned, lies) in [
        ((32, 32), true, Quads),
        ((64, 16), true, Quads),
        ((4, 4), true, Quads),
        ((5, 3), false, Elements),
    ] {
        for (both, tile, reads) in [(false, few_lanes, Packed), (true, many_lanes, lies)] {
            all.add(&kernel(block, (aligned, reads), (both, both), tile))?;
        }
    }
    for (tile, reads) in [((16, 2, 8), Packed), ((12, 3, 32), Elements)] {
        all.add(&kernel((32, 72), (true, reads), (true, false), tile))?;
    }
    let (only_one, only_other) = ((true, Elements), (false, Quads));
    all.add(&kernel((32, 32), only_one, (false, true), few_lanes))?;
    all.add(&kernel((32, 32), only_other, (true, false), many_lanes))
}

/// Slots that are listed and sums that are selected from; rows that start at multiples of four elements, in one operand and in both, and others; alpha and
/// beta, and each alone.
fn sampled_slots(storage: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    let kernel = |(v, n, m, index_bits), sums, (rows, quads, lanes), (vectors, reads)| {
        let result = SampledResult {
            storage,
            scaled: false,
            accumulate: false,
        };
        NmSddmmKernel {
            n,
            m,
            v,
            index_bits,
            sums,
            rows,
            quads,
            lanes,
            dy: SampledDy { storage, vectors },
            x: SampledX { storage, reads },
            result,
        }
    };
    let with = |kernel: NmSddmmKernel, (scaled, accumulate)| NmSddmmKernel {
        result: SampledResult {
            scaled,
            accumulate,
            ..kernel.result
        },
        ..kernel
    };
    for at in [
        kernel((8, 2, 4, 2), Listed, (8, 2, 8), (true, Packed)),
        kernel((16, 8, 32, 8), Listed, (16, 1, 8), (false, Packed)),
        kernel((12, 3, 7, 4), Listed, (4, 1, 64), (true, Elements)),
        kernel((6, 2, 5, 4), Listed, (6, 2, 8), (false, Elements)),
        kernel((1, 2, 4, 2), Selected, (16, 2, 8), (true, Packed)),
        kernel((3, 1, 2, 1), Selected, (8, 2, 8), (false, Quads)),
        kernel((2, 1, 3, 2), Selected, (4, 1, 64), (false, Elements)),
        kernel((1, 4, 16, 4), Selected, (4, 1, 64), (true, Elements)),
    ] {
        for both in [false, true] {
            all.add(&with(at, (both, both)))?;
        }
    }
    let listed = kernel((2, 1, 2, 1), Listed, (2, 1, 64), (false, Elements));
    all.add(&with(listed, (true, false)))?;
    let selected = kernel((1, 2, 4, 2), Selected, (4, 1, 64), (true, Quads));
    all.add(&with(selected, (false, true)))
}

/// The patterns of [`Walk::NmExpand`], expanded first, and wide ones.
fn expanded_weights(weight: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    for (n, m, v, index_bits) in [
        (2, 4, 1, 2),
        (1, 3, 2, 2),
        (1, 2, 1, 1),
        (3, 7, 12, 4),
        (8, 32, 32, 8),
    ] {
        all.add(&ExpandWeightsKernel {
            n,
            m,
            v,
            index_bits,
            weight,
        })?;
    }
    Ok(())
}

/// What happens to sums, in all three kernels that store y, and sums that are left to the third.
fn epilogues(storage: Storage, all: &mut Variants) -> Result<(), ExpandError> {
    let walk = Walk::Dense {
        vector_weights: true,
    };
    let matmul = MatmulKernel::new(walk, TILES[1]);
    let matvec = MatvecKernel::new(walk, 8, 4, 32);
    let (weight, split) = (storage, true);
    all.add(&MatmulKernel {
        weight,
        split,
        ..matmul
    })?;
    all.add(&MatvecKernel {
        weight,
        split,
        ..matvec
    })?;
    for (addend, scaled) in [
        (Addend::None, false),
        (Addend::Previous, true),
        (Addend::Residual(storage), true),
    ] {
        for activation in Activation::ALL {
            for (vectors, transposed) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let output = Output {
                    vectors,
                    transposed,
                    scaled,
                    addend,
                    bias: Some(storage),
                    activation,
                    ..Output::of(storage)
                };
                all.add(&MatmulKernel { output, ..matmul })?;
                all.add(&MatvecKernel { output, ..matvec })?;
                all.add(&MatmulFinishKernel { output })?;
            }
        }
    }
    Ok(())
}
