//! Attention whose query heads share a mask as they share keys: every way to find the queries, and few queries whose heads are of one workgroup.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::attention::{HeadKind, MaskHeads, PackedShape, Packing};
use sparse_core::{BlockMask, DType, Tensor};
use sparse_gpu::{
    AttentionTile, AttentionTypes, BlockAttention, Error, RowOrder, TokenLayout, VarlenAttention,
};
use support::attention::{Case, FEW, TILES, attention_shape, scattered};
use support::gpu::{gpu, poisoned, read, submit};
use support::varlen::{self, VarlenCase};

/// Six query heads in two items, two key heads each with a mask for three of them, blocks of 32.
fn problem(q_len: usize, k_len: usize, head_dim: usize) -> BlockAttention {
    BlockAttention {
        block: 32,
        mask_heads: MaskHeads::Key,
        ..BlockAttention::new(attention_shape(2, 6, 2, q_len, k_len, head_dim))
    }
}

/// With a scattered mask, of the heads of the keys.
fn case(problem: &BlockAttention, share: usize) -> Case {
    let mask = scattered(problem, share);
    assert_eq!(mask.heads(), problem.shape.kv_heads());
    Case::new(problem, Some(mask))
}

fn explain(problem: &BlockAttention) -> String {
    let problem = BlockAttention {
        masked: true,
        ..problem.clone()
    };
    let plan = gpu()
        .plan_blocking(&problem)
        .unwrap_or_else(|e| panic!("{e}"));
    plan.explain().to_string()
}

/// The same, every query head with a mask of its own, that of its key head.
fn with_own_masks(shared: &Case) -> Case {
    let problem = BlockAttention {
        mask_heads: MaskHeads::Query,
        ..shared.problem.clone()
    };
    let [batch, heads, q_blocks, k_blocks] = problem.mask_shape();
    let mask = BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |b, h, i, j| {
        let mask = shared.mask.as_ref();
        mask.is_some_and(|mask| mask.get(b, problem.shape.kv_head(h), i, j))
    });
    Case {
        mask: Some(mask.unwrap_or_else(|e| panic!("{e}"))),
        problem,
        ..shared.clone()
    }
}

#[test]
fn few_queries_of_heads_with_one_mask_are_of_one_workgroup() {
    for (q_len, tile) in [(1, "few-4x"), (2, "few-8x"), (8, "few-8x")] {
        let explanation = explain(&problem(q_len, 2000, 64));
        assert!(explanation.contains(tile), "{explanation}");
        assert!(
            explanation.contains("heads-3_mask-of-3"),
            "heads together: {explanation}"
        );
    }
    // Heads of several kinds visit other blocks, and every head is alone.
    let mut kinds = vec![HeadKind::Sparse; 6];
    kinds[1] = HeadKind::Dense;
    let mixed = BlockAttention {
        head_kinds: Some(kinds),
        ..problem(1, 2000, 64)
    };
    assert!(explain(&mixed).contains("few-1x"), "{}", explain(&mixed));
}

#[test]
fn few_queries_of_every_length() {
    for q_len in [1, 8] {
        for k_len in [0, 1, 33, 257, 2049] {
            for causal in [false, true] {
                let problem = BlockAttention {
                    causal,
                    ..problem(q_len, k_len, 8)
                };
                case(&problem, 40).check();
            }
        }
    }
}

fn few_queries_of_every_storage_type_and_number_of_heads(layout: TokenLayout) {
    let [a, b, c] = DType::ALL;
    for (number, (q_heads, kv_heads, q_len, head_dim)) in [
        (1, 1, 1, 5),
        (4, 4, 3, 64),
        (5, 1, 1, 16),
        (16, 2, 1, 40),
        // More rows than a block has queries.
        (32, 1, 8, 128),
        (12, 4, 3, 6),
    ]
    .into_iter()
    .enumerate()
    {
        let types = [[a, b, c, a], [b, c, a, b], [c, a, b, c]];
        let [q, k, v, out] = types[number % 3];
        let problem = BlockAttention {
            block: 64,
            layout,
            mask_heads: MaskHeads::Key,
            types: AttentionTypes { q, k, v, out },
            ..BlockAttention::new(attention_shape(2, q_heads, kv_heads, q_len, 700, head_dim))
        };
        case(&problem, 40).check();
    }
}

#[test]
fn few_queries_of_every_storage_type_and_number_of_heads_by_head() {
    few_queries_of_every_storage_type_and_number_of_heads(TokenLayout::HeadMajor);
}

#[test]
fn few_queries_of_every_storage_type_and_number_of_heads_by_token() {
    few_queries_of_every_storage_type_and_number_of_heads(TokenLayout::TokenMajor);
}

#[test]
fn every_tile_length_layout_and_order() {
    for tile in TILES {
        for (q_len, k_len) in [(1, 1), (33, 150), (150, 33), (161, 161)] {
            for (layout, order) in [
                (TokenLayout::HeadMajor, RowOrder::ByPosition),
                (TokenLayout::TokenMajor, RowOrder::ByWeight),
                (TokenLayout::HeadMajor, RowOrder::ByWeight),
            ] {
                let problem = BlockAttention {
                    tile: Some(tile),
                    order: Some(order),
                    layout,
                    ..problem(q_len, k_len, 8)
                };
                case(&problem, 40).check();
            }
        }
    }
}

#[test]
fn results_are_those_of_a_mask_for_each_query_head() {
    for q_len in [20, 100] {
        let shared = case(&problem(q_len, 130, 16), 50);
        assert_eq!(shared.run().0, with_own_masks(&shared).run().0);
    }
}

#[test]
fn kinds_of_heads_and_soft_caps() {
    let window = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 2,
    };
    let (sparse, dense) = (HeadKind::Sparse, HeadKind::Dense);
    for (q_len, order) in [(3, None), (100, None), (100, Some(RowOrder::ByWeight))] {
        let problem = BlockAttention {
            head_kinds: Some(vec![window, sparse, dense, sparse, sparse, window]),
            soft_cap: Some(3.0),
            order,
            ..problem(q_len, 300, 20)
        };
        case(&problem, 30).check();
    }
}

/// A row of blocks that nobody sees, and few queries whose heads have no key.
#[test]
fn heads_without_keys() {
    for q_len in [4, 40] {
        let problem = problem(q_len, 600, 16);
        let [batch, heads, q_blocks, k_blocks] = problem.mask_shape();
        let mask = BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |_, head, _, j| {
            head == 0 && j == 7
        })
        .unwrap();
        let case = Case::new(&problem, Some(mask));
        case.check();
        let (outcome, _) = case.run();
        // Heads 3, 4 and 5 of each item.
        let of_item = outcome.lse.len() / 2;
        assert_eq!(outcome.lse[of_item - 1], f64::NEG_INFINITY);
        assert!(outcome.lse[0].is_finite());
    }
}

/// Slices that begin with a head of the mask, and inside of a group that shares one. All scores are 0, so that `exp(lse)` counts the keys.
#[test]
fn operands_above_a_binding_go_in_slices() {
    let gpu = gpu();
    // Many queries, whose tile has long rows and a short text; few queries, of which groups are of one workgroup.
    for (shape, tile) in [
        (attention_shape(1, 4, 2, 50_000, 33, 256), Some(FEW)),
        (attention_shape(1, 3, 1, 50_000, 33, 256), Some(FEW)),
        (attention_shape(1, 8, 4, 3, 100_000, 127), None),
    ] {
        let problem = BlockAttention {
            block: 32,
            causal: false,
            masked: true,
            mask_heads: MaskHeads::Key,
            tile,
            ..BlockAttention::new(shape)
        };
        let plan = gpu.plan_blocking(&problem).unwrap();
        let explanation = plan.explain().to_string();
        assert!(explanation.contains("2 slices of heads"), "{explanation}");
        let [q, k] = [problem.shape.q_shape(), problem.shape.kv_shape()].map(|shape| {
            let zeros = vec![0.0_f32; shape.iter().product()];
            gpu.upload(&Tensor::new(shape.to_vec(), zeros)).unwrap()
        });
        let mask = scattered(&problem, 50);
        let on_gpu = gpu.upload_mask(&mask).unwrap();
        let mut out = plan.new_out().unwrap();
        let mut lse = poisoned::<f32>(gpu, &problem.shape.q_shape()[..3]);
        submit(gpu, |pass| {
            plan.record(pass, &q, &k, &k, Some(&on_gpu), &mut out, &mut lse)
                .unwrap_or_else(|e| panic!("{e}"));
        });
        for (number, lse) in read::<f32>(gpu, &lse).into_iter().enumerate() {
            let (head, query) = (number / shape.q_len(), number % shape.q_len());
            let blocks = mask.row(0, shape.kv_head(head), query / 32);
            let keys: usize = blocks.map(|j| 32.min(shape.k_len() - 32 * j)).sum();
            let seen = lse.exp();
            assert!(
                (seen - keys as f64).abs() <= 1e-4 * keys as f64,
                "query {query} of head {head}: {seen} of {keys} keys"
            );
        }
    }
}

/// Over the first keys of a plan for more, in a cache with room behind them.
#[test]
fn prefixes_and_room_behind_the_keys() {
    for q_len in [1, 40] {
        let problem = BlockAttention {
            k_capacity: Some(1100),
            ..problem(q_len, 700, 16)
        };
        case(&problem, 40).check();
        let prefix = Case {
            planned_keys: Some(1000),
            ..case(&problem, 40)
        };
        prefix.check();
    }
}

#[test]
fn packed_items() {
    let lengths = [(1, 700), (3, 40), (0, 5), (1, 0), (8, 33)];
    let prefill = [(40, 40), (33, 100), (64, 32), (1, 70)];
    for lengths in [&lengths[..], &prefill] {
        let (q, k): (Vec<_>, Vec<_>) = lengths.iter().copied().unzip();
        let [q, k] = [q, k].map(|lengths| Packing::of_lengths(&lengths).unwrap());
        let problem = VarlenAttention {
            block: 32,
            mask_heads: MaskHeads::Key,
            ..VarlenAttention::new(PackedShape::try_new(6, 2, 8, q, k).unwrap())
        };
        let few = lengths.iter().all(|&(q_len, _)| q_len <= 8);
        let mask = varlen::scattered(&problem, 50);
        assert_eq!(mask.heads(), 2);
        let explanation = VarlenCase::new(&problem, Some(mask.clone())).check();
        assert_eq!(
            explanation.to_string().contains("heads-3_mask-of-3"),
            few,
            "{explanation}"
        );
        let window = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: 1,
        };
        let kinds = [
            HeadKind::Sparse,
            window,
            HeadKind::Dense,
            HeadKind::Sparse,
            HeadKind::Sparse,
            window,
        ];
        let mixed = VarlenAttention {
            head_kinds: Some(kinds.to_vec()),
            ..problem
        };
        VarlenCase::new(&mixed, Some(mask)).check();
    }
}

#[test]
fn a_mask_of_other_heads_is_refused() {
    let shared = problem(1, 100, 8);
    let own = BlockAttention {
        mask_heads: MaskHeads::Query,
        ..shared.clone()
    };
    for (planned, given) in [(&shared, &own), (&own, &shared)] {
        let gpu = gpu();
        let plan = gpu
            .plan_blocking(&BlockAttention {
                masked: true,
                ..planned.clone()
            })
            .unwrap();
        let mask = gpu.upload_mask(&scattered(given, 50)).unwrap();
        let [q, k] = [planned.shape.q_shape(), planned.shape.kv_shape()];
        let [q, k] = [q, k].map(|shape| poisoned::<f32>(gpu, &shape));
        let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
        submit(gpu, |pass| {
            let error = plan
                .record(pass, &q, &k, &k, Some(&mask), &mut out, &mut lse)
                .unwrap_err();
            assert!(
                matches!(&error, Error::ShapeMismatch { tensor: "mask", .. }),
                "{error}"
            );
        });
    }
    // The tile of few queries for many of them takes no heads together.
    let many = BlockAttention {
        tile: Some(AttentionTile::Few {
            queries: 4,
            lanes: 8,
        }),
        ..problem(40, 100, 8)
    };
    assert!(!explain(&many).contains("heads-3"), "{}", explain(&many));
    case(&many, 50).check();
}
