//! `block_attention` at the limits: operands above one binding, and every problem and operand that is refused.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::attention::AttentionShape;
use sparse_core::{DType, Tensor};
use sparse_gpu::{AttentionTile, AttentionTypes, BlockAttention, Error, GpuTensor};
use support::attention::{Case, attention_shape, scattered};
use support::gpu::{gpu, open, poisoned, read, submit};

/// Keys of three heads that no single binding of 128 MiB holds.
fn above_a_binding(types: AttentionTypes) -> BlockAttention {
    BlockAttention {
        types,
        ..BlockAttention::new(attention_shape(3, 2, 1, 3, 100_000, 127))
    }
}

#[test]
fn operands_above_a_binding_go_in_slices() {
    let problem = above_a_binding(AttentionTypes::default());
    let case = Case::new(&problem, Some(scattered(&problem, 30)));
    case.check();
    let plan = gpu().plan_blocking(&case.problem).unwrap();
    let explanation = plan.explain().to_string();
    assert!(explanation.contains("slices of heads"), "{explanation}");
}

#[test]
fn a_head_above_a_binding_is_unavailable() {
    let problem = BlockAttention::new(attention_shape(1, 1, 1, 1, 150_000, 256));
    let error = gpu().plan_blocking(&problem).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unavailable { .. }), "{text}");
    assert!(
        text.contains("k_len = 150000") && text.contains("weighted by exp(lse)"),
        "{text}"
    );
}

/// The most keys, in whole blocks, whose loops `tile` ends before llvmpipe does.
fn longest(tile: AttentionTile, head_dim: usize, block: usize) -> usize {
    let fits = |blocks: &usize| tile.loop_rounds(head_dim, blocks * block, block) <= 65_535;
    block * (1..).take_while(fits).last().unwrap()
}

/// All scores are 0, so that exp(lse) is the number of keys that were seen.
#[test]
fn the_longest_loops_that_plans_take_run_to_their_end() {
    let direct = |keys, dims| AttentionTile::Direct {
        lanes: 8,
        queries: 2,
        keys,
        dims,
    };
    let tiled = AttentionTile::Tiled {
        queries: 16,
        split: 8,
    };
    let few = AttentionTile::Few {
        queries: 1,
        lanes: 8,
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (tile, head_dim, block, masked) in [
        (direct(4, 16), 64, 128, false),
        (direct(4, 16), 64, 128, true),
        (direct(4, 16), 64, 16, true),
        (direct(4, 64), 64, 128, false),
        (direct(16, 128), 64, 128, false),
        (direct(4, 16), 128, 128, false),
        (tiled, 64, 128, false),
        (few, 64, 128, true),
        (few, 64, 16, true),
    ] {
        let k_len = longest(tile, head_dim, block);
        // As many heads as leave nothing to divide their keys for.
        let heads = match tile {
            AttentionTile::Few { .. } if gpu().is_software() => 4 * threads,
            AttentionTile::Few { .. } => 512,
            _ => 1,
        };
        let problem = BlockAttention {
            block,
            causal: false,
            tile: Some(tile),
            masked,
            ..BlockAttention::new(attention_shape(1, heads, 1, 1, k_len, head_dim))
        };
        let gpu = gpu();
        let plan = gpu.plan_blocking(&problem).unwrap();
        let explanation = plan.explain().to_string();
        assert!(!explanation.contains("the keys go to"), "{explanation}");
        let [q, k] = [problem.shape.q_shape(), problem.shape.kv_shape()].map(|shape| {
            gpu.upload(&Tensor::new(
                shape.to_vec(),
                vec![0.0_f32; shape.iter().product()],
            ))
            .unwrap()
        });
        let mask = masked.then(|| gpu.upload_mask(&scattered(&problem, 100)).unwrap());
        let mut out = poisoned::<f32>(gpu, q.shape());
        let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
        submit(gpu, |pass| {
            plan.record(pass, &q, &k, &k, mask.as_ref(), &mut out, &mut lse)
                .unwrap();
        });
        for lse in read::<f32>(gpu, &lse) {
            let seen = lse.exp();
            assert!(
                (seen / k_len as f64 - 1.0).abs() < 1e-4,
                "{tile}, D = {head_dim}, blocks of {block}: {seen} of {k_len} keys"
            );
        }
    }
}

#[test]
fn loops_that_llvmpipe_would_end_early_are_refused() {
    let problem = BlockAttention::new(attention_shape(1, 1, 1, 16, 1 << 19, 32));
    let planned = gpu().plan_blocking(&problem);
    if gpu().adapter().name.starts_with("llvmpipe") {
        let text = planned.unwrap_err().to_string();
        assert!(
            text.contains("k_len = 524288") && text.contains("rounds"),
            "{text}"
        );
    } else {
        planned.unwrap();
    }
}

#[test]
fn impossible_problems_say_what_is_possible() {
    let good = BlockAttention::new(attention_shape(1, 2, 1, 32, 32, 8));
    let tile = |tile| BlockAttention {
        tile: Some(tile),
        ..good.clone()
    };
    let cases = [
        (
            BlockAttention {
                block: 0,
                ..good.clone()
            },
            "multiples of 16",
        ),
        (
            BlockAttention {
                block: 24,
                ..good.clone()
            },
            "multiples of 16",
        ),
        (
            BlockAttention {
                shape: attention_shape(1, 2, 1, 32, 32, 257),
                ..good.clone()
            },
            "1 to 256",
        ),
        (
            BlockAttention {
                scale: Some(0.0),
                ..good.clone()
            },
            "give 1.2e-38 to 2e38",
        ),
        (
            BlockAttention {
                shape: attention_shape(1 << 20, 2, 1, 1 << 12, 32, 8),
                ..good.clone()
            },
            "split the problem",
        ),
        (
            tile(AttentionTile::Direct {
                lanes: 48,
                queries: 1,
                keys: 4,
                dims: 16,
            }),
            "a power of two",
        ),
        (
            tile(AttentionTile::Tiled {
                queries: 96,
                split: 4,
            }),
            "a divisor of the block",
        ),
        (
            tile(AttentionTile::Tiled {
                queries: 64,
                split: 16,
            }),
            "16384",
        ),
    ];
    for (problem, text) in cases {
        let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
        assert!(error.contains(text), "{problem:?}: {error}");
    }
}

/// What no attention has is no shape; a problem never sees it.
#[test]
fn impossible_shapes_say_what_is_possible() {
    for (kv_heads, head_dim, text) in [(1, 0, "at least 1"), (3, 8, "multiple of kv_heads")] {
        let error = AttentionShape::try_new(1, 2, kv_heads, 32, 32, head_dim);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn wrong_operands_are_refused_by_name() {
    let gpu = gpu();
    let problem = BlockAttention::new(attention_shape(1, 2, 1, 32, 40, 8));
    let masked = BlockAttention {
        masked: true,
        ..problem.clone()
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let masked_plan = gpu.plan_blocking(&masked).unwrap();
    let tensor = |shape: &[usize], dtype| gpu.empty_tensor(shape, dtype).unwrap();
    let f32 = |shape: &[usize]| tensor(shape, DType::F32);
    let (q, k, v) = (
        f32(&[1, 2, 32, 8]),
        f32(&[1, 1, 40, 8]),
        f32(&[1, 1, 40, 8]),
    );
    let (out, lse) = (f32(&[1, 2, 32, 8]), f32(&[1, 2, 32]));
    let mask = gpu.empty_mask(masked.mask_shape()).unwrap();
    let wide = gpu.empty_mask([1, 2, 1, 2]).unwrap();
    let half = tensor(&[1, 1, 40, 8], DType::F16);

    let foreign = open(None).unwrap().empty_mask(masked.mask_shape()).unwrap();
    submit(gpu, |pass| {
        let (mut out, mut lse) = (out.clone(), lse.clone());
        let error = masked_plan.record(pass, &q, &k, &v, Some(&foreign), &mut out, &mut lse);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("mask lies on another device"), "{error}");
    });

    let refused = |q: &GpuTensor, v: &GpuTensor, out: &GpuTensor, lse: &GpuTensor, mask| {
        let mut result = Ok(());
        submit(gpu, |pass| {
            result = plan.record(pass, q, &k, v, mask, &mut out.clone(), &mut lse.clone());
        });
        result.unwrap_err().to_string()
    };
    let starts = |error: String, with: &str| assert!(error.starts_with(with), "{error}");
    starts(
        refused(&k, &v, &out, &lse, None),
        "block_attention: q has shape",
    );
    starts(
        refused(&q, &half, &out, &lse, None),
        "block_attention: v is stored",
    );
    starts(
        refused(&q, &v, &k, &lse, None),
        "block_attention: out has shape",
    );
    starts(
        refused(&q, &v, &out, &out, None),
        "block_attention: lse has shape",
    );
    starts(
        refused(&q, &v, &q, &lse, None),
        "block_attention: out shares its buffer with q",
    );
    starts(
        refused(&q, &v, &out, &lse, Some(&mask)),
        "block_attention: the plan was made without a mask",
    );
    let mut results = Vec::new();
    submit(gpu, |pass| {
        for mask in [None, Some(&wide)] {
            let (mut out, mut lse) = (out.clone(), lse.clone());
            results.push(masked_plan.record(pass, &q, &k, &v, mask, &mut out, &mut lse));
        }
    });
    let errors: Vec<_> = results.into_iter().map(|r| r.unwrap_err()).collect();
    assert!(
        matches!(errors[0], Error::OperandMismatch { .. }),
        "{}",
        errors[0]
    );
    assert!(
        errors[1]
            .to_string()
            .starts_with("block_attention: mask has shape"),
        "{}",
        errors[1]
    );
}

#[test]
fn half_width_rows_of_odd_length_are_rounded_slice_by_slice() {
    // 5 heads of 3 x 5 elements: no head but the first starts at a whole word.
    let problem = BlockAttention {
        block: 16,
        types: AttentionTypes::all(DType::Bf16),
        ..BlockAttention::new(attention_shape(5, 1, 1, 3, 9, 5))
    };
    let case = Case::new(&problem, None);
    case.check();
    let plan = gpu().plan_blocking(&problem).unwrap();
    assert!(plan.explain().scratch_bytes >= 5 * 3 * 5 * 4);
}
