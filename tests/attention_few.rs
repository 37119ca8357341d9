//! Attention of few queries, as in decoding: heads that share their keys in one workgroup, keys divided into parts, and the parts put together.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::attention::{HeadKind, PackedShape, Packing};
use sparse_core::{BlockMask, DType};
use sparse_gpu::{AttentionTile, AttentionTypes, BlockAttention, TokenLayout, VarlenAttention};
use support::attention::{Case, attention_shape, poisoned_as, read_as, scattered, upload_as};
use support::gpu::{gpu, poisoned, read, submit};
use support::varlen::{self, VarlenCase};

/// Six query heads that share two of keys.
fn problem(q_len: usize, k_len: usize, head_dim: usize) -> BlockAttention {
    BlockAttention {
        block: 32,
        ..BlockAttention::new(attention_shape(1, 6, 2, q_len, k_len, head_dim))
    }
}

fn explain(problem: &BlockAttention) -> String {
    let plan = gpu()
        .plan_blocking(problem)
        .unwrap_or_else(|e| panic!("{e}"));
    plan.explain().to_string()
}

#[test]
fn plans_take_the_kernel_for_up_to_eight_queries() {
    for (q_len, tile) in [(1, "few-4x"), (2, "few-8x"), (8, "few-8x")] {
        let explanation = explain(&problem(q_len, 2000, 64));
        assert!(explanation.contains(tile), "{explanation}");
        assert!(explanation.contains("heads-3"), "{explanation}");
        assert!(explanation.contains("the keys go to"), "{explanation}");
    }
    // Masks tell the heads apart.
    let masked = BlockAttention {
        masked: true,
        ..problem(1, 2000, 64)
    };
    assert!(explain(&masked).contains("few-1x"), "{}", explain(&masked));
    assert!(!explain(&problem(9, 2000, 64)).contains("few-"));
    // Keys that one workgroup goes over in no time are not divided.
    let short = explain(&problem(1, 256, 64));
    assert!(short.contains("few-4x"), "{short}");
    assert!(!short.contains("the keys go to"), "{short}");
}

#[test]
fn every_number_of_queries_and_keys() {
    for q_len in [1, 3, 8] {
        for k_len in [0, 1, 7, 33, 256, 257, 2049] {
            for causal in [false, true] {
                let problem = BlockAttention {
                    causal,
                    ..problem(q_len, k_len, 8)
                };
                Case::new(&problem, None).check();
                Case::new(&problem, Some(scattered(&problem, 40))).check();
            }
        }
    }
}

/// Those that `takes`. Rows of more and of fewer vec4s than invocations, of an odd number of them, of words and of halves of words. Storage types
/// take turns.
fn head_dimensions_and_storage_types(takes: impl Fn(usize) -> bool) {
    let dims = [
        1, 2, 3, 5, 6, 16, 20, 32, 40, 64, 72, 80, 96, 100, 128, 160, 192, 255, 256,
    ];
    let [a, b, c] = DType::ALL;
    let types = [[a, b, c, a], [b, c, a, b], [c, a, b, c]];
    for (number, head_dim) in dims.into_iter().enumerate() {
        if !takes(head_dim) {
            continue;
        }
        let [q, k, v, out] = types[number % 3];
        let problem = BlockAttention {
            types: AttentionTypes { q, k, v, out },
            ..problem(1, 700, head_dim)
        };
        // Masked rows are one at a time: long texts are short then.
        let masked = number % 2 == 0 || head_dim > 160;
        Case::new(&problem, masked.then(|| scattered(&problem, 40))).check();
    }
}

#[test]
fn short_heads_of_every_storage_type() {
    head_dimensions_and_storage_types(|head_dim| head_dim < 80);
}

#[test]
fn long_heads_of_every_storage_type() {
    head_dimensions_and_storage_types(|head_dim| head_dim >= 80);
}

#[test]
fn results_are_rounded_after_the_parts_are_put_together() {
    for dtype in [DType::F16, DType::Bf16] {
        let problem = BlockAttention {
            types: AttentionTypes::all(dtype),
            ..problem(3, 700, 5)
        };
        Case::new(&problem, None).check();
    }
}

#[test]
fn heads_that_share_keys() {
    let (by_head, by_token) = (TokenLayout::HeadMajor, TokenLayout::TokenMajor);
    for (q_heads, kv_heads, q_len, layout) in [
        (1, 1, 1, by_token),
        (4, 4, 3, by_head),
        (5, 1, 1, by_head),
        (16, 2, 3, by_token),
        (32, 1, 1, by_token),
        (12, 4, 3, by_head),
    ] {
        let problem = BlockAttention {
            layout,
            ..BlockAttention::new(attention_shape(2, q_heads, kv_heads, q_len, 600, 16))
        };
        Case::new(&problem, None).check();
    }
}

#[test]
fn tiles_of_gpus() {
    for (queries, lanes, head_dim, masked) in [
        (1, 4, 12, true),
        (1, 32, 64, false),
        (2, 16, 256, true),
        (4, 32, 128, false),
        (4, 64, 40, true),
        (8, 32, 12, false),
        (2, 128, 256, true),
    ] {
        let problem = BlockAttention {
            block: 128,
            tile: Some(AttentionTile::Few { queries, lanes }),
            ..problem(3, 900, head_dim)
        };
        Case::new(&problem, masked.then(|| scattered(&problem, 50))).check();
    }
}

#[test]
fn parts_without_keys_and_queries_without_keys() {
    let problem = problem(4, 2000, 16);
    let [batch, heads, q_blocks, k_blocks] = problem.mask_shape();
    let mask = |keep: fn(usize, usize) -> bool| {
        BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |_, head, _, block| {
            keep(head, block)
        })
        .unwrap_or_else(|e| panic!("{e}"))
    };
    // One block, in another part for each head; the last head has none.
    let case = Case::new(
        &problem,
        Some(mask(|head, block| head < 5 && block == 12 * head)),
    );
    case.check();
    let (outcome, explanation) = case.run();
    assert!(
        explanation.to_string().contains("the keys go to"),
        "{explanation}"
    );
    let of_last = outcome.lse.len() - 4;
    assert_eq!(outcome.lse[of_last..], [f64::NEG_INFINITY; 4]);
    assert!(outcome.out[of_last * 16..].iter().all(|&x| x == 0.0));
    // More queries than keys: the first of them see none.
    let late = BlockAttention {
        shape: attention_shape(1, 4, 2, 6, 3, 16),
        ..problem.clone()
    };
    Case::new(&late, None).check();
}

#[test]
fn kinds_of_heads_soft_caps_and_scales() {
    let window = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 2,
    };
    for masked in [false, true] {
        let other = if masked {
            HeadKind::Sparse
        } else {
            HeadKind::Dense
        };
        let problem = BlockAttention {
            head_kinds: Some(vec![window, other, HeadKind::Dense, window, other, other]),
            soft_cap: Some(3.0),
            scale: Some(0.7),
            ..problem(3, 1500, 20)
        };
        Case::new(&problem, masked.then(|| scattered(&problem, 30))).check();
    }
    let capped = BlockAttention {
        soft_cap: Some(2.0),
        ..problem(2, 1500, 20)
    };
    Case::new(&capped, None).check();
}

#[test]
fn keys_that_no_loop_of_a_driver_reaches_are_divided() {
    let problem = |heads| BlockAttention {
        block: 128,
        ..BlockAttention::new(attention_shape(1, heads, 1, 1, 300_000, 8))
    };
    let every = BlockMask::from_fn(1, 8, 1, 300_000_usize.div_ceil(128), |_, _, _, _| true);
    Case::new(&problem(8), Some(every.unwrap())).check();
    // So many workgroups that nothing else divides their keys.
    let explanation = explain(&BlockAttention {
        masked: true,
        ..problem(1024)
    });
    if gpu().adapter().name.starts_with("llvmpipe") {
        assert!(explanation.contains("the keys go to"), "{explanation}");
    }
}

#[test]
fn packed_items_that_are_decoded_together() {
    let all = [
        (1, 700),
        (1, 3),
        (4, 1100),
        (0, 9),
        (1, 0),
        (2, 300),
        (8, 8),
    ];
    // Of many items each workgroup has enough to do; the keys of two are divided.
    for (lengths, q_heads, kv_heads, head_dim, dtype, causal) in [
        (&all[..], 4, 2, 16, DType::F32, true),
        (&all[..], 3, 3, 6, DType::F16, false),
        (&all[1..4], 4, 1, 16, DType::F32, true),
        (&all[1..4], 3, 1, 5, DType::F16, true),
        (&all[1..4], 3, 1, 6, DType::Bf16, false),
    ] {
        let (q, k): (Vec<_>, Vec<_>) = lengths.iter().copied().unzip();
        let [q, k] = [q, k].map(|lengths| Packing::of_lengths(&lengths).unwrap());
        let shape = PackedShape::try_new(q_heads, kv_heads, head_dim, q, k).unwrap();
        let problem = VarlenAttention {
            block: 32,
            causal,
            types: AttentionTypes::all(dtype),
            ..VarlenAttention::new(shape)
        };
        let explanation = VarlenCase::new(&problem, None).check().to_string();
        let is_divided = explanation.contains("the keys go to");
        assert!(is_divided || lengths.len() > 3, "{explanation}");
        VarlenCase::new(&problem, Some(varlen::scattered(&problem, 50))).check();
    }
}

#[test]
fn recordings_that_follow_each_other_share_the_parts() {
    let problem = problem(1, 2000, 32);
    let cases = [1.0_f32, -0.5].map(|factor| {
        let mut case = Case::new(&problem, None);
        for x in case.q.data_mut() {
            *x *= factor;
        }
        case
    });
    let gpu = gpu();
    let plan = gpu.plan_blocking(&problem).unwrap();
    let upload =
        |case: &Case| [&case.q, &case.k, &case.v].map(|tensor| upload_as(tensor, DType::F32));
    let operands = [upload(&cases[0]), upload(&cases[1])];
    let mut results = [(); 2].map(|()| {
        let shape = problem.shape.q_shape();
        (
            poisoned_as(&shape, DType::F32),
            poisoned::<f32>(gpu, &shape[..3]),
        )
    });
    submit(gpu, |pass| {
        for ([q, k, v], (out, lse)) in operands.iter().zip(&mut results) {
            plan.record(pass, q, k, v, None, out, lse).unwrap();
        }
    });
    for (case, (out, lse)) in cases.iter().zip(&results) {
        let (alone, _) = case.run();
        assert_eq!(read_as(out, DType::F32), alone.out);
        assert_eq!(read::<f32>(gpu, lse), alone.lse);
    }
}
