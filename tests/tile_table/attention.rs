//! Attention and its scores with the tile of a table stay within their bounds.

use sparse_core::attention::{AttentionOptions, AttentionShape, block_attention};
use sparse_core::bounds::{attention_bounds, compare};
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Tensor};
use sparse_gpu::{
    AttentionTile, BlockAttention, KernelTile, TileOrigin, VarlenAttention, XAttention,
    XAttentionScore,
};

use crate::support::attention::attention_shape;
use crate::support::gpu::{gpu, poisoned, read, submit};
use crate::{both, only, tile};

#[test]
fn attention_takes_the_tile_of_the_table_within_the_bound() {
    let shape = AttentionShape::try_new(1, 2, 1, 100, 100, 40).unwrap();
    let tensor =
        |heads, seed| -> Tensor<f32> { normal_tensor(vec![1, heads, 100, 40], seed).unwrap() };
    let (q, k, v) = (tensor(2, 1), tensor(1, 2), tensor(1, 3));
    let options = AttentionOptions {
        block: 32,
        ..AttentionOptions::default()
    };
    let reference = block_attention(&q, &k, &v, None, &options).unwrap();
    let bounds = attention_bounds(&reference, 6.0, DType::F32);
    let problem = BlockAttention {
        block: 32,
        causal: options.causal,
        ..BlockAttention::new(attention_shape(1, 2, 1, 100, 100, 40))
    };
    let [gq, gk, gv] = [&q, &k, &v].map(|t| gpu().upload(t).unwrap());
    let tiles = [
        AttentionTile::Direct {
            lanes: 4,
            queries: 1,
            keys: 8,
            dims: 16,
        },
        AttentionTile::Tiled {
            queries: 16,
            split: 4,
        },
    ];
    for tile in tiles {
        let kernel = KernelTile::BlockAttention { head_dim: 40, tile };
        let [default, tuned] = both(&only(kernel), &problem);
        assert_eq!(
            default.explain().tile_origin,
            Some(TileOrigin::ClassDefault)
        );
        assert_ne!(default.kernel_tile(), kernel);
        assert_eq!(tuned.explain().tile_origin, Some(TileOrigin::Table));
        assert_eq!(tuned.kernel_tile(), kernel);
        let mut out = poisoned::<f32>(gpu(), &shape.q_shape());
        let mut lse = poisoned::<f32>(gpu(), &shape.q_shape()[..3]);
        submit(gpu(), |pass| {
            tuned
                .record(pass, &gq, &gk, &gv, None, &mut out, &mut lse)
                .unwrap();
        });
        let comparison = compare(read::<f32>(gpu(), &out), &reference.out, &bounds.out);
        assert!(comparison.holds(), "{tile}: {comparison}");
        let comparison = compare(read::<f32>(gpu(), &lse), &reference.lse, &bounds.lse);
        assert!(comparison.holds(), "{tile}: {comparison}");
    }
}

#[test]
fn few_queries_and_many_have_tiles_of_their_own() {
    let few = AttentionTile::Few {
        queries: 2,
        lanes: 16,
    };
    let many = AttentionTile::Direct {
        lanes: 4,
        queries: 1,
        keys: 8,
        dims: 16,
    };
    for (tile, q_len, is_taken) in [
        (few, 1, true),
        (few, 100, false),
        (many, 1, false),
        (many, 100, true),
    ] {
        let kernel = KernelTile::BlockAttention { head_dim: 40, tile };
        let problem = BlockAttention::new(attention_shape(1, 2, 1, q_len, 100, 40));
        let [default, tuned] = both(&only(kernel), &problem);
        assert_eq!(tuned.kernel_tile() == kernel, is_taken, "{tile}, {q_len}");
        assert_ne!(default.kernel_tile(), kernel);
    }
}

#[test]
fn a_tile_for_few_queries_has_no_more_of_them_than_share_their_keys() {
    let few = |queries| AttentionTile::Few { queries, lanes: 16 };
    let tuned = only(KernelTile::BlockAttention {
        head_dim: 40,
        tile: few(8),
    });
    for (q_len, masked, queries) in [(1, false, 4), (2, false, 8), (1, true, 1), (3, true, 4)] {
        let problem = BlockAttention {
            masked,
            ..BlockAttention::new(attention_shape(1, 8, 2, q_len, 100, 40))
        };
        let plan = tuned.plan_blocking(&problem).unwrap();
        assert_eq!(plan.explain().tile_origin, Some(TileOrigin::Table));
        let tile = plan.kernel_tile();
        let expected = KernelTile::BlockAttention {
            head_dim: 40,
            tile: few(queries),
        };
        assert_eq!(tile, expected, "{q_len} {masked}");
    }
}

/// Keys are divided down to a block. Where not even one runs with the table's tile, that of the plan is taken.
#[test]
fn a_tile_for_few_queries_runs_its_loops() {
    let tuned = only(KernelTile::BlockAttention {
        head_dim: 64,
        tile: AttentionTile::Few {
            queries: 1,
            lanes: 4,
        },
    });
    let problem = |block| BlockAttention {
        block,
        masked: true,
        ..BlockAttention::new(attention_shape(1, 1, 1, 1, 1 << 16, 64))
    };
    let origin = |block| {
        let plan = tuned.plan_blocking(&problem(block)).unwrap();
        plan.explain().tile_origin
    };
    assert_eq!(origin(128), Some(TileOrigin::Table));
    let is_llvmpipe = gpu().adapter().name.starts_with("llvmpipe");
    assert_eq!(origin(1 << 16) == Some(TileOrigin::Table), !is_llvmpipe);
}

#[test]
fn packed_attention_and_scores_look_into_the_table_too() {
    let tile_64 = AttentionTile::Direct {
        lanes: 4,
        queries: 4,
        keys: 4,
        dims: 16,
    };
    let kernel = KernelTile::BlockAttention {
        head_dim: 64,
        tile: tile_64,
    };
    let tuned = only(kernel);
    let packing = sparse_core::attention::Packing::of_lengths(&[20, 30]).unwrap();
    let packed =
        sparse_core::attention::PackedShape::try_new(1, 1, 64, packing.clone(), packing).unwrap();
    let plan = tuned.plan_blocking(&VarlenAttention::new(packed)).unwrap();
    assert_eq!(plan.explain().tile_origin, Some(TileOrigin::Table));
    assert_eq!(plan.explain().tile, tile_64.to_string());
    assert_eq!(plan.kernel_tile(), kernel);

    let options = XAttentionOptions {
        block: 64,
        stride: 16,
        ..XAttentionOptions::default()
    };
    let kernel = KernelTile::XattentionScore {
        groups_per_block: 4,
        tile: tile(2, 4, 16),
    };
    let tuned = only(kernel);
    let shape = AttentionShape::try_new(1, 2, 1, 300, 300, 64).unwrap();
    let problem = XAttentionScore::new(shape, options.clone());
    let [default, own] = both(&tuned, &problem);
    assert_eq!(
        default.explain().tile_origin,
        Some(TileOrigin::ClassDefault)
    );
    assert_eq!(own.explain().tile_origin, Some(TileOrigin::Table));
    assert_eq!(own.kernel_tile(), kernel);
    // End to end: each step looks for itself.
    let whole = tuned
        .plan_blocking(&XAttention::new(shape, options))
        .unwrap();
    let origins: Vec<_> = whole.steps().iter().map(|step| step.tile_origin).collect();
    assert_eq!(
        origins,
        [
            Some(TileOrigin::Table),
            None,
            Some(TileOrigin::ClassDefault)
        ]
    );
    assert_eq!(whole.explain().tile_origin, None);
}

#[test]
fn scores_with_the_tile_of_the_table_are_within_the_bound() {
    let shape = AttentionShape::try_new(1, 2, 1, 300, 300, 64).unwrap();
    let options = XAttentionOptions {
        block: 64,
        stride: 16,
        ..XAttentionOptions::default()
    };
    let tensor =
        |heads, seed| -> Tensor<f32> { normal_tensor(vec![1, heads, 300, 64], seed).unwrap() };
    let (q, k) = (tensor(2, 1), tensor(1, 2));
    let reference = sparse_core::xattention::xattention_score(&q, &k, &options).unwrap();
    let layout = options.layout(shape).unwrap();
    let bounds = sparse_core::bounds::block_score_bounds(&reference, &layout);
    let tuned = only(KernelTile::XattentionScore {
        groups_per_block: 4,
        tile: tile(2, 4, 16),
    });
    let plan = tuned
        .plan_blocking(&XAttentionScore::new(shape, options))
        .unwrap();
    let [q, k] = [&q, &k].map(|t| gpu().upload(t).unwrap());
    let mut scores = poisoned::<f32>(gpu(), &plan.score_shape());
    submit(gpu(), |pass| {
        plan.record(pass, &q, &k, &mut scores).unwrap();
    });
    let comparison = compare(
        read::<f32>(gpu(), &scores),
        reference.scores.data(),
        &bounds,
    );
    assert!(comparison.holds(), "{comparison}");
}
