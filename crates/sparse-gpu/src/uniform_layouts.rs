//! Host structs against WGSL structs, through naga: names, order, offsets and size of every uniform.

use sparse_shaders::{
    AttentionKernel, AttentionMergeKernel, AttentionOrder, AttentionTile, BlockWalk, ConvertKernel,
    CooperativeKernel, CooperativeTile, ExpandWeightsKernel, Kernel, MatmulFinishKernel,
    MatmulKernel, MatrixSize, MatvecKernel, NaiveMatmulKernel, NmSddmmKernel, NmSums, Output,
    PackHalvesKernel, PackKernel, RowOrderKernel, RowWeightsKernel, SampledDy, SampledReads,
    SampledResult, SampledX, SddmmKernel, Source, Storage, Tile, TokenHeads, Walk,
    XAttentionCountKernel, XAttentionDecideKernel, XAttentionPackKernel, XAttentionReduceKernel,
    XAttentionRules, XAttentionScoreKernel, XAttentionSelectKernel, XAttentionSumHeadsKernel,
    expand, naga_for,
};

use crate::attention::params::{AttentionParams, ConvertParams, MergeParams, RowOrderParams};
use crate::attention::varlen::PackedTile;
use crate::dispatch::Params;
use crate::matmul::params::{
    ExpandParams, FinishParams, MatmulParams, NaiveParams, NmSddmmParams, PackParams, SddmmParams,
};
use crate::xattention::params::{
    CountParams, DecideParams, PackGroupsParams, ReduceParams, ScoreParams, SelectParams,
    SumHeadsParams,
};

/// The members of the struct behind `params`: names and byte offsets, and the struct's size.
fn members(source: &Source) -> (Vec<(String, u32)>, u32) {
    let (options, _) = naga_for(source.extensions);
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&source.wgsl)
        .unwrap();
    let (_, variable) = module
        .global_variables
        .iter()
        .find(|(_, v)| v.name.as_deref() == Some("params"))
        .unwrap();
    let naga::TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
        panic!("params is no struct");
    };
    let members = members
        .iter()
        .map(|m| (m.name.clone().unwrap(), m.offset))
        .collect();
    (members, *span)
}

fn assert_same_layout<P: Params>(kernel: &impl Kernel) {
    let (actual, size) = members(&expand(kernel).unwrap());
    let expected: Vec<_> = P::FIELDS
        .iter()
        .zip((0..).step_by(4))
        .map(|(f, o)| ((*f).to_owned(), o))
        .collect();
    assert_eq!(actual, expected, "{}", kernel.name());
    assert_eq!(size as usize, size_of::<P>(), "{}", kernel.name());
}

#[test]
fn uniforms_have_the_layout_of_their_wgsl() {
    let walk = Walk::Dense {
        vector_weights: true,
    };
    let tile = Tile {
        rows: 8,
        cols: 8,
        lanes: 32,
    };
    assert_same_layout::<MatmulParams>(&MatmulKernel::new(walk, tile));
    assert_same_layout::<MatmulParams>(&MatvecKernel::new(walk, 8, 1, 32));
    let matrices = CooperativeTile {
        size: MatrixSize::Eight,
        row_matrices: 2,
        token_matrices: 2,
        shares: 1,
        lanes: 8,
    };
    assert_same_layout::<MatmulParams>(&CooperativeKernel::new(walk, matrices));
    assert_same_layout::<PackParams>(&PackHalvesKernel {
        vector_input: true,
        transposed: false,
        panel: 64,
        reads_lines: false,
    });
    assert_same_layout::<PackParams>(&PackKernel {
        input: Storage::F32,
        vector_input: true,
        transposed: false,
        panel: 64,
        reads_lines: false,
    });
    assert_same_layout::<ExpandParams>(&ExpandWeightsKernel {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
        weight: Storage::F16,
    });
    assert_same_layout::<ConvertParams>(&ConvertKernel {
        output: Storage::F16,
    });
    assert_same_layout::<FinishParams>(&MatmulFinishKernel {
        output: Output::of(Storage::F16),
    });
    let (dy, x) = (
        SampledDy {
            storage: Storage::F32,
            vectors: true,
        },
        SampledX {
            storage: Storage::F32,
            reads: SampledReads::Elements,
        },
    );
    let result = SampledResult::sums(true);
    assert_same_layout::<SddmmParams>(&SddmmKernel {
        block: (8, 8),
        rows: 4,
        quads: 1,
        lanes: 64,
        dy,
        x,
        result,
    });
    assert_same_layout::<NmSddmmParams>(&NmSddmmKernel {
        n: 2,
        m: 4,
        v: 8,
        index_bits: 2,
        sums: NmSums::Listed,
        rows: 4,
        quads: 1,
        lanes: 64,
        dy,
        x,
        result,
    });
    assert_same_layout::<NaiveParams>(&NaiveMatmulKernel {
        input: Storage::F32,
        weight: Storage::F32,
    });
}

#[test]
fn uniforms_of_xattention_have_the_layout_of_their_wgsl() {
    let rules = XAttentionRules {
        exact: true,
        causal: true,
    };
    let tile = Tile {
        rows: 8,
        cols: 8,
        lanes: 32,
    };
    for panel in [0, 64] {
        assert_same_layout::<PackGroupsParams>(&XAttentionPackKernel {
            input: Storage::F16,
            head_dim: 64,
            token_heads: 8,
            panel,
            reversed: true,
        });
    }
    assert_same_layout::<ScoreParams>(&XAttentionScoreKernel {
        groups_per_block: 8,
        tile,
        rules,
    });
    assert_same_layout::<ReduceParams>(&XAttentionReduceKernel {
        groups_per_block: 8,
        rules,
        softmax: true,
    });
    assert_same_layout::<SelectParams>(&XAttentionSelectKernel {
        rules,
        row_lanes: 1,
        rows: 8,
        top_k: false,
        forced_mask: true,
    });
    assert_same_layout::<SumHeadsParams>(&XAttentionSumHeadsKernel);
}

#[test]
fn uniforms_of_the_decision_have_the_layout_of_their_wgsl() {
    assert_same_layout::<CountParams>(&XAttentionCountKernel { causal: true });
    assert_same_layout::<DecideParams>(&XAttentionDecideKernel);
}

#[test]
#[should_panic(expected = "naive")]
fn another_layout_is_noticed() {
    assert_same_layout::<PackParams>(&NaiveMatmulKernel {
        input: Storage::F32,
        weight: Storage::F32,
    });
}

#[test]
fn the_uniform_of_attention_has_the_layout_of_its_wgsl() {
    assert_same_layout::<AttentionParams>(&AttentionKernel {
        walk: BlockWalk::Mask,
        head_dim: 8,
        block: 16,
        causal: true,
        soft_cap: true,
        order: AttentionOrder::Computed,
        token_heads: None,
        tile: AttentionTile::Direct {
            lanes: 8,
            queries: 1,
            keys: 4,
            dims: 16,
        },
        heads: 1,
        mask_group: 1,
        in_parts: false,
        q: Storage::F32,
        k: Storage::F32,
        v: Storage::F32,
        out: Storage::F32,
    });
    assert_same_layout::<AttentionParams>(&RowWeightsKernel {
        walk: BlockWalk::Mixed,
        block: 16,
        causal: true,
        mask_group: 2,
    });
    assert_same_layout::<RowOrderParams>(&RowOrderKernel::DEFAULT);
    for head_dim in [8, 5] {
        assert_same_layout::<MergeParams>(&AttentionMergeKernel {
            head_dim,
            token_major: true,
            out: Storage::F32,
        });
    }
}

#[test]
fn the_tiles_of_packed_items_have_the_layout_of_their_wgsl() {
    let kernel = AttentionKernel {
        walk: BlockWalk::All,
        head_dim: 8,
        block: 16,
        causal: true,
        soft_cap: false,
        order: AttentionOrder::Items,
        token_heads: Some(TokenHeads { q: 4, kv: 2 }),
        tile: AttentionTile::Direct {
            lanes: 8,
            queries: 1,
            keys: 4,
            dims: 16,
        },
        heads: 1,
        mask_group: 1,
        in_parts: false,
        q: Storage::F32,
        k: Storage::F32,
        v: Storage::F32,
        out: Storage::F32,
    };
    let module = naga::front::wgsl::parse_str(&expand(&kernel).unwrap().wgsl).unwrap();
    let tile = module.types.iter().map(|(_, ty)| ty);
    let mut tile = tile.filter(|ty| ty.name.as_deref() == Some("Tile"));
    let naga::TypeInner::Struct { members, span } = &tile.next().unwrap().inner else {
        panic!("Tile is no struct");
    };
    let actual: Vec<_> = members.iter().map(|m| m.name.clone().unwrap()).collect();
    assert_eq!(actual, PackedTile::FIELDS);
    assert_eq!(*span as usize, size_of::<PackedTile>());
}
