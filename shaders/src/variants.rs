//! One kernel of every kind that the templates can make: what the validation tests and the external compilers go through.

use crate::attention_variants::{attention_variants, ordered_variants};
use crate::cooperative_variants::cooperative_variants;
use crate::{
    Activation, Addend, BlockWalk, ConvertKernel, ExpandError, ExpandWeightsKernel,
    FmaCeilingKernel, Kernel, MatmulFinishKernel, MatmulKernel, MatvecKernel, NaiveMatmulKernel,
    Output, PackF16Kernel, PackKernel, ReadCeilingKernel, ReadOrder, RowOrderKernel,
    RowWeightsKernel, SddmmKernel, Source, Storage, Tile, Walk, Words, XAttentionCountKernel,
    XAttentionDecideKernel, XAttentionPackKernel, XAttentionReduceKernel, XAttentionRules,
    XAttentionScoreKernel, XAttentionSelectKernel, expand_in,
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

/// Expands every variant in `words`: all walks, tiles, storage types and epilogues that fit together.
///
/// # Errors
/// The first variant that does not expand or that naga refuses.
pub fn expand_all_variants(words: Words) -> Result<Vec<Source>, ExpandError> {
    let mut all = Variants {
        words,
        sources: Vec::new(),
    };
    for flag in [false, true] {
        for chains in [1, 4, 8] {
            all.add(&FmaCeilingKernel {
                chains,
                fused: flag,
                rounds: 16,
                steps: 4,
            })?;
        }
        for order in ReadOrder::ALL {
            all.add(&ReadCeilingKernel::new(flag, order, 16, 4))?;
        }
    }
    for storage in Storage::ALL {
        for panel in [1, 4, 8, 64, 256] {
            for (vector_input, transposed) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                all.add(&PackKernel {
                    input: storage,
                    vector_input,
                    transposed,
                    panel,
                })?;
            }
        }
        all.add(&ConvertKernel { output: storage })?;
        expanded_weights(storage, &mut all)?;
        all.add(&NaiveMatmulKernel {
            input: storage,
            weight: storage,
        })?;
        for walk in WALKS {
            for tile in TILES {
                for (vectors, transposed) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
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
        }
        for kernel in attention_variants(storage) {
            all.add(&kernel)?;
        }
        epilogues(storage, &mut all)?;
        for (block, aligned) in [
            ((32, 32), true),
            ((64, 16), true),
            ((4, 4), true),
            ((5, 3), false),
        ] {
            for (lanes, rows, accumulate) in [(8, 8, false), (64, 4, true)] {
                all.add(&SddmmKernel {
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
                })?;
            }
        }
    }
    for kernel in ordered_variants() {
        all.add(&kernel)?;
    }
    all.add(&RowOrderKernel::DEFAULT)?;
    for walk in [
        BlockWalk::All,
        BlockWalk::Mask,
        BlockWalk::Streaming,
        BlockWalk::Mixed,
    ] {
        for causal in [false, true] {
            let block = 128;
            all.add(&RowWeightsKernel {
                walk,
                block,
                causal,
            })?;
        }
    }
    xattention(&mut all)?;
    for kernel in cooperative_variants() {
        all.add(&kernel)?;
    }
    for panel in [8, 16, 64, 256] {
        for (vector_input, transposed) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            all.add(&PackF16Kernel {
                vector_input,
                transposed,
                panel,
            })?;
        }
    }
    Ok(all.sources)
}

struct Variants {
    words: Words,
    sources: Vec<Source>,
}

impl Variants {
    fn add<K: Kernel>(&mut self, kernel: &K) -> Result<(), ExpandError> {
        match expand_in(kernel, self.words) {
            Ok(source) => self.sources.push(source),
            // Not every combination exists: odd strips have no half-width results, for example.
            Err(ExpandError::Config(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
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
                all.add(&MatmulKernel { output, ..matmul })?;
                all.add(&MatvecKernel { output, ..matvec })?;
                all.add(&MatmulFinishKernel { output })?;
            }
        }
    }
    Ok(())
}

/// Both modes, causal and full, blocks of few and of many groups, tiles of processors and of GPUs.
fn xattention(all: &mut Variants) -> Result<(), ExpandError> {
    for input in Storage::ALL {
        for (head_dim, panel, reversed) in [
            (64, 64, true),
            (33, 64, true),
            (128, 128, false),
            (5, 0, false),
            (64, 0, false),
        ] {
            all.add(&XAttentionPackKernel {
                input,
                head_dim,
                panel,
                reversed,
            })?;
        }
    }
    for causal in [true, false] {
        all.add(&XAttentionCountKernel { causal })?;
    }
    all.add(&XAttentionDecideKernel)?;
    for (exact, causal) in [(true, true), (true, false), (false, true), (false, false)] {
        let rules = XAttentionRules { exact, causal };
        for groups_per_block in [1, 2, 3, 8, 12, 32, 128] {
            for tile in [TILES[1], TILES[2]] {
                all.add(&XAttentionScoreKernel {
                    groups_per_block,
                    tile,
                    rules,
                })?;
            }
            for softmax in [true, false] {
                all.add(&XAttentionReduceKernel {
                    groups_per_block,
                    rules,
                    softmax,
                })?;
            }
        }
        for (row_lanes, rows) in [(1, 8), (32, 1)] {
            for (top_k, forced_mask) in [(false, false), (false, true), (true, false), (true, true)]
            {
                all.add(&XAttentionSelectKernel {
                    rules,
                    row_lanes,
                    rows,
                    top_k,
                    forced_mask,
                })?;
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
        let sources = expand_all_variants(Words::Bits32).unwrap_or_else(|e| panic!("{e}"));
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

    #[test]
    fn in_64_bits_the_same_variants_are_valid() {
        let [narrow, wide] =
            Words::ALL.map(|words| expand_all_variants(words).unwrap_or_else(|e| panic!("{e}")));
        assert_eq!(narrow.len(), wide.len());
        let mut changed = 0;
        for (narrow, wide) in narrow.iter().zip(&wide) {
            if wide.extensions == Extensions::Int64 {
                changed += 1;
                assert_eq!(wide.name, format!("{}_u64", narrow.name));
                assert_ne!(narrow.wgsl, wide.wgsl, "{}", narrow.name);
                assert_eq!(narrow.bindings, wide.bindings, "{}", narrow.name);
            } else {
                assert_eq!(narrow.wgsl, wide.wgsl, "{}", narrow.name);
            }
        }
        assert!(changed > narrow.len() / 2, "only {changed} move wide words");
    }
}
