//! One kernel of every kind that the templates can make: what the validation tests and the external compilers go through.

use crate::attention_variants::{attention_variants, ordered_variants};
use crate::cooperative_variants::cooperative_variants;
use crate::{
    Activation, Addend, BlockWalk, ConvertKernel, ExpandError, FmaCeilingKernel,
    MatmulFinishKernel, MatmulKernel, MatvecKernel, NaiveMatmulKernel, Output, PackF16Kernel,
    PackKernel, ReadCeilingKernel, RowOrderKernel, RowWeightsKernel, SddmmKernel, Source, Storage,
    Tile, Walk, XAttentionCountKernel, XAttentionDecideKernel, XAttentionPackKernel,
    XAttentionReduceKernel, XAttentionRules, XAttentionScoreKernel, XAttentionSelectKernel, expand,
};

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

const TILES: [Tile; 4] = [
    Tile {
        rows: 1,
        cols: 16,
        lanes: 16,
    },
    Tile {
        rows: 4,
        cols: 8,
        lanes: 8,
    },
    Tile {
        rows: 8,
        cols: 8,
        lanes: 32,
    },
    Tile {
        rows: 16,
        cols: 4,
        lanes: 64,
    },
];

/// Expands every variant: all walks, tiles, storage types and epilogues that fit together.
///
/// # Errors
/// The first variant that does not expand or that naga refuses.
pub fn expand_all_variants() -> Result<Vec<Source>, ExpandError> {
    let mut sources = Vec::new();
    let mut add = |source: Result<Source, ExpandError>| match source {
        Ok(source) => {
            sources.push(source);
            Ok(())
        }
        // Not every combination exists: odd strips have no half-width results, for example.
        Err(ExpandError::Config(_)) => Ok(()),
        Err(error) => Err(error),
    };
    for flag in [false, true] {
        for chains in [1, 4, 8] {
            add(expand(&FmaCeilingKernel {
                chains,
                fused: flag,
                rounds: 16,
                steps: 4,
            }))?;
        }
        for workgroup in [false, true] {
            add(expand(&ReadCeilingKernel::new(workgroup, flag, 16, 4)))?;
        }
    }
    for storage in Storage::ALL {
        for panel in [1, 4, 8, 64, 256] {
            for (vector_input, transposed) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                add(expand(&PackKernel {
                    input: storage,
                    vector_input,
                    transposed,
                    panel,
                }))?;
            }
        }
        add(expand(&ConvertKernel { output: storage }))?;
        add(expand(&NaiveMatmulKernel {
            input: storage,
            weight: storage,
        }))?;
        for walk in WALKS {
            for tile in TILES {
                for (vectors, transposed) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    add(expand(&MatmulKernel {
                        weight: storage,
                        output: Output {
                            vectors,
                            transposed,
                            ..Output::of(storage)
                        },
                        ..MatmulKernel::new(walk, tile)
                    }))?;
                }
            }
            for (rows, panel) in [(1, 1), (2, 4), (8, 1), (8, 8)] {
                for transposed in [false, true] {
                    add(expand(&MatvecKernel {
                        weight: storage,
                        output: Output {
                            transposed,
                            ..Output::of(storage)
                        },
                        ..MatvecKernel::new(walk, rows, panel, 32)
                    }))?;
                }
            }
        }
        for kernel in attention_variants(storage) {
            add(expand(&kernel))?;
        }
        epilogues(storage, &mut add)?;
        for (block, aligned) in [
            ((32, 32), true),
            ((64, 16), true),
            ((4, 4), true),
            ((5, 3), false),
        ] {
            for (lanes, rows, accumulate) in [(8, 8, false), (64, 4, true)] {
                add(expand(&SddmmKernel {
                    block,
                    rows,
                    lanes,
                    dy: storage,
                    vector_dy: aligned,
                    x: storage,
                    vector_x: aligned,
                    out: storage,
                    scaled: accumulate,
                    accumulate,
                }))?;
            }
        }
    }
    for kernel in ordered_variants() {
        add(expand(&kernel))?;
    }
    add(expand(&RowOrderKernel::DEFAULT))?;
    for walk in [
        BlockWalk::All,
        BlockWalk::Mask,
        BlockWalk::Streaming,
        BlockWalk::Mixed,
    ] {
        for causal in [false, true] {
            let block = 128;
            add(expand(&RowWeightsKernel {
                walk,
                block,
                causal,
            }))?;
        }
    }
    xattention(&mut add)?;
    for kernel in cooperative_variants() {
        add(expand(&kernel))?;
    }
    for panel in [8, 16, 64, 256] {
        for (vector_input, transposed) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            add(expand(&PackF16Kernel {
                vector_input,
                transposed,
                panel,
            }))?;
        }
    }
    Ok(sources)
}

/// What happens to sums, in all three kernels that store y, and sums that are left to the third.
fn epilogues(
    storage: Storage,
    add: &mut impl FnMut(Result<Source, ExpandError>) -> Result<(), ExpandError>,
) -> Result<(), ExpandError> {
    let walk = Walk::Dense {
        vector_weights: true,
    };
    let matmul = MatmulKernel::new(walk, TILES[1]);
    let matvec = MatvecKernel::new(walk, 8, 4, 32);
    let (weight, split) = (storage, true);
    add(expand(&MatmulKernel {
        weight,
        split,
        ..matmul
    }))?;
    add(expand(&MatvecKernel {
        weight,
        split,
        ..matvec
    }))?;
    for (addend, scaled) in [
        (Addend::None, false),
        (Addend::Previous, true),
        (Addend::Residual(storage), true),
    ] {
        for activation in Activation::ALL {
            for (vectors, transposed) in [(false, false), (true, false), (false, true)] {
                let output = Output {
                    vectors,
                    transposed,
                    scaled,
                    addend,
                    bias: Some(storage),
                    activation,
                    ..Output::of(storage)
                };
                add(expand(&MatmulKernel { output, ..matmul }))?;
                add(expand(&MatvecKernel { output, ..matvec }))?;
                add(expand(&MatmulFinishKernel { output }))?;
            }
        }
    }
    Ok(())
}

/// Both modes, causal and full, blocks of few and of many groups, tiles of processors and of GPUs.
fn xattention(
    add: &mut impl FnMut(Result<Source, ExpandError>) -> Result<(), ExpandError>,
) -> Result<(), ExpandError> {
    for input in Storage::ALL {
        for (head_dim, panel, reversed) in [
            (64, 64, true),
            (33, 64, true),
            (128, 128, false),
            (5, 0, false),
            (64, 0, false),
        ] {
            add(expand(&XAttentionPackKernel {
                input,
                head_dim,
                panel,
                reversed,
            }))?;
        }
    }
    for causal in [true, false] {
        add(expand(&XAttentionCountKernel { causal }))?;
    }
    add(expand(&XAttentionDecideKernel))?;
    for (exact, causal) in [(true, true), (true, false), (false, true), (false, false)] {
        let rules = XAttentionRules { exact, causal };
        for groups_per_block in [1, 2, 3, 8, 12, 32, 128] {
            for tile in [TILES[1], TILES[2]] {
                add(expand(&XAttentionScoreKernel {
                    groups_per_block,
                    tile,
                    rules,
                }))?;
            }
            for softmax in [true, false] {
                add(expand(&XAttentionReduceKernel {
                    groups_per_block,
                    rules,
                    softmax,
                }))?;
            }
        }
        for (row_lanes, rows) in [(1, 8), (32, 1)] {
            for (top_k, forced_mask) in [(false, false), (false, true), (true, false), (true, true)]
            {
                add(expand(&XAttentionSelectKernel {
                    rules,
                    row_lanes,
                    rows,
                    top_k,
                    forced_mask,
                }))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Extensions};

    #[test]
    fn every_variant_is_valid_and_portable() {
        let sources = expand_all_variants().unwrap_or_else(|e| panic!("{e}"));
        assert!(sources.len() > 250, "only {} variants", sources.len());
        for source in &sources {
            let name = &source.name;
            assert!(
                source.workgroup_size <= 256,
                "{name}: {} invocations",
                source.workgroup_size
            );
            assert!(
                source.workgroup_bytes <= 16384,
                "{name}: {} bytes",
                source.workgroup_bytes
            );
            let storage = source
                .bindings
                .iter()
                .filter(|b| b.access != Access::Uniform)
                .count();
            assert!(storage <= 8, "{name}: {storage} storage buffers");
            // The bench dispatches the ceiling kernels itself; all others have a grid that is folded and cut by params.
            if !name.starts_with("ceiling_") {
                assert_eq!(source.bindings[0].name, "params", "{name}");
            }
            let cooperative = name.starts_with("matmul_cooperative_");
            assert_eq!(
                source.extensions == Extensions::CooperativeMatrix,
                cooperative,
                "{name}"
            );
            assert_eq!(source.wgsl.contains("enable "), cooperative, "{name}");
        }
        let mut names: Vec<_> = sources.iter().map(|s| &s.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), sources.len(), "two variants share a name");
    }
}
