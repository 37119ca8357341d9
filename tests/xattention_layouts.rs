//! XAttention where the heads of a token lie side by side, and where keys and values lie in a cache: what it computes depends on neither.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support {
    pub(crate) mod attention;
    pub(crate) mod cost_model;
    pub(crate) mod gpu;
}

use sparse_core::attention::{AttentionShape, HeadKind};
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{Mode, ReferenceOptions, Threshold, XAttentionOptions};
use sparse_core::{DType, Tensor};
use sparse_gpu::{AttentionTypes, Decision, Policy, TokenLayout, XAttention, XAttentionScore};
use support::attention::{
    attention_shape, heads_and_tokens_swapped, poisoned_as, read_as, rounded, swapped, upload_as,
    with_room,
};
use support::cost_model::attention_alone;
use support::gpu::{gpu, poisoned, read, submit};

/// Where tokens lie, and tokens of room behind the keys.
const PLACES: [(TokenLayout, usize); 4] = [
    (TokenLayout::HeadMajor, 3),
    (TokenLayout::HeadMajor, 4),
    (TokenLayout::TokenMajor, 0),
    (TokenLayout::TokenMajor, 5),
];

fn normal(shape: [usize; 4], dtype: DType, seed: u64) -> Tensor<f32> {
    rounded(&normal_tensor(shape.to_vec(), seed).unwrap(), dtype)
}

/// `x` with room for `tokens`, as it lies in `layout`.
fn placed(x: &Tensor<f32>, layout: TokenLayout, tokens: usize) -> Tensor<f32> {
    let x = with_room(x, tokens);
    match layout {
        TokenLayout::HeadMajor => x,
        TokenLayout::TokenMajor => heads_and_tokens_swapped(&x),
    }
}

fn scores(problem: &XAttentionScore, place: (TokenLayout, usize)) -> Vec<f64> {
    let gpu = gpu();
    let shape = problem.shape;
    let (layout, capacity) = (place.0, shape.k_len() + place.1);
    let problem = XAttentionScore {
        layout,
        k_capacity: Some(capacity),
        ..problem.clone()
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let q = placed(
        &normal(shape.q_shape(), problem.q, 1),
        layout,
        shape.q_len(),
    );
    let k = placed(&normal(shape.kv_shape(), problem.k, 2), layout, capacity);
    let (q, k) = (upload_as(&q, problem.q), upload_as(&k, problem.k));
    let mut scores = poisoned::<f32>(gpu, &plan.score_shape());
    submit(gpu, |pass| plan.record(pass, &q, &k, &mut scores).unwrap());
    read::<f32>(gpu, &scores)
}

/// Scores do not depend on where tokens lie, whatever the parts.
fn check_scores(shape: AttentionShape, options: &XAttentionOptions, dtype: DType) {
    let problem = XAttentionScore {
        q: dtype,
        k: dtype,
        ..XAttentionScore::new(shape, options.clone())
    };
    let expected = scores(&problem, (TokenLayout::HeadMajor, 0));
    assert!(expected.iter().all(|score| score.is_finite()));
    for place in PLACES {
        for most_scratch in [None, Some(20_000), Some(1)] {
            let problem = XAttentionScore {
                most_scratch,
                ..problem.clone()
            };
            assert_eq!(
                scores(&problem, place),
                expected,
                "{place:?} {most_scratch:?} {shape:?} {options:?}"
            );
        }
    }
}

fn options(mode: Mode, causal: bool) -> XAttentionOptions {
    XAttentionOptions {
        block: 32,
        stride: 4,
        threshold: Threshold::Uniform(0.6),
        causal,
        mode,
        ..XAttentionOptions::default()
    }
}

#[test]
fn scores_of_both_modes() {
    for mode in [Mode::Exact, Mode::Reference(ReferenceOptions::default())] {
        for causal in [true, false] {
            // Keys of whole groups, and not.
            for k_len in [420, 421] {
                let shape = attention_shape(2, 6, 2, 300, k_len, 20);
                check_scores(shape, &options(mode, causal), DType::F32);
            }
        }
    }
}

#[test]
fn scores_of_every_storage_type() {
    for (dtype, head_dim) in [(DType::F16, 8), (DType::Bf16, 6), (DType::F32, 5)] {
        let shape = attention_shape(2, 4, 2, 70, 90, head_dim);
        check_scores(shape, &options(Mode::Exact, true), dtype);
    }
}

#[test]
fn heads_that_are_not_scored_are_passed_over() {
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let shape = attention_shape(2, 4, 2, 70, 90, 8);
    let options = XAttentionOptions {
        head_kinds: Some(vec![
            HeadKind::Dense,
            HeadKind::Sparse,
            streaming,
            HeadKind::Sparse,
        ]),
        ..options(Mode::Exact, true)
    };
    let problem = XAttentionScore::new(shape, options);
    let bits = |place| {
        scores(&problem, place)
            .into_iter()
            .map(f64::to_bits)
            .collect::<Vec<_>>()
    };
    let expected = bits((TokenLayout::HeadMajor, 0));
    for place in PLACES {
        assert_eq!(bits(place), expected, "{place:?}");
    }
}

/// Out and lse of the whole, heads first.
fn attended(problem: &XAttention, place: (TokenLayout, usize)) -> [Vec<f64>; 2] {
    let gpu = gpu();
    let shape = problem.shape;
    let (layout, capacity) = (place.0, shape.k_len() + place.1);
    let types = problem.types;
    let problem = XAttention {
        layout,
        k_capacity: Some(capacity),
        ..problem.clone()
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let by_policy = problem.policy == Policy::Sparse;
    assert_eq!(plan.decision() == Decision::Sparse, by_policy);
    assert_eq!(
        plan.decision() == Decision::OnDevice,
        !by_policy,
        "{}",
        plan.explain()
    );
    let tensor = |shape, dtype, seed, tokens| {
        let x = placed(&normal(shape, dtype, seed), layout, tokens);
        upload_as(&x, dtype)
    };
    let q = tensor(shape.q_shape(), types.q, 1, shape.q_len());
    let k = tensor(shape.kv_shape(), types.k, 2, capacity);
    let v = tensor(shape.kv_shape(), types.v, 3, capacity);
    let mut out = poisoned_as(q.shape(), types.out);
    let mut lse = poisoned::<f32>(gpu, &shape.q_shape()[..3]);
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });
    let attended = read_as(&out, types.out);
    let attended = match layout {
        TokenLayout::HeadMajor => attended,
        TokenLayout::TokenMajor => swapped(&attended, out.shape()),
    };
    [attended, read::<f32>(gpu, &lse)]
}

#[test]
fn the_whole_of_it_whatever_decides() {
    // A chunk of a prompt: its queries are the last of the keys.
    let shape = attention_shape(2, 4, 2, 96, 602, 8);
    let decide = |efficiency| Policy::Auto(attention_alone(efficiency));
    // The device decides for sparse attention, and for dense.
    for policy in [Policy::Sparse, decide(0.99), decide(0.3)] {
        for dtype in [DType::F32, DType::F16] {
            let problem = XAttention {
                policy,
                types: AttentionTypes::all(dtype),
                ..XAttention::new(shape, options(Mode::Exact, true))
            };
            let expected = attended(&problem, (TokenLayout::HeadMajor, 0));
            assert!(expected.iter().flatten().all(|x| x.is_finite()));
            for place in PLACES {
                assert_eq!(attended(&problem, place), expected, "{place:?} {policy:?}");
            }
        }
    }
}

/// A row of blocks of all heads, which lie side by side, is more than can be bound; heads first they are bound one by one.
#[test]
fn a_row_of_blocks_that_cannot_be_bound_says_how_it_could() {
    let problem = |layout| XAttentionScore {
        layout,
        ..XAttentionScore::new(
            attention_shape(1, 64, 64, 8192, 8192, 128),
            XAttentionOptions {
                block: 8192,
                stride: 16,
                ..XAttentionOptions::default()
            },
        )
    };
    let error = gpu().plan_blocking(&problem(TokenLayout::TokenMajor));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("needs bindings of 268435456 bytes")
            && error.ends_with(
                "take smaller blocks, or tensors with heads first (TokenLayout::HeadMajor)"
            ),
        "{error}"
    );
    gpu()
        .plan_blocking(&problem(TokenLayout::HeadMajor))
        .unwrap();
}

#[test]
fn room_for_fewer_keys_than_there_are_is_refused() {
    let problem = XAttentionScore {
        k_capacity: Some(49),
        ..XAttentionScore::new(
            attention_shape(1, 2, 1, 40, 50, 8),
            options(Mode::Exact, true),
        )
    };
    assert_eq!(
        gpu().plan_blocking(&problem).unwrap_err().to_string(),
        "xattention_score: k_capacity is 49 where k_len is 50; k and v have room for k_len tokens or more"
    );
}
