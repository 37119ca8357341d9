//! `xattention` end to end with what models ask for besides a threshold: kinds of heads, a soft cap, counts and forced blocks.

mod support {
    pub(crate) mod cost_model;
    pub(crate) mod gpu;
    pub(crate) mod xattention;
    pub(crate) mod xattention_run;
}

use sparse_core::DType;
use sparse_core::Tensor;
use sparse_core::attention::{AttentionShape, HeadKind, block_attention};
use sparse_core::bounds::{attention_bounds, compare};
use sparse_core::mask::{BlockGrid, BlockMask};
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{Attended, CostModel, Decision, Policy, XAttention};
use support::cost_model::attention_alone;
use support::gpu::{gpu, poisoned, read, submit};
use support::xattention_run::{check_exact, inputs, run};

const STREAMING: HeadKind = HeadKind::Streaming {
    sink_blocks: 1,
    recent_blocks: 2,
};

fn shape() -> AttentionShape {
    AttentionShape::try_new(2, 4, 2, 230, 259, 16).unwrap()
}

fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 32,
        stride: 4,
        threshold: 0.6.into(),
        ..XAttentionOptions::default()
    }
}

#[test]
fn heads_of_three_kinds() {
    let [q, k, v] = inputs::<f32>(shape());
    for causal in [true, false] {
        for kinds in [
            [
                HeadKind::Sparse,
                STREAMING,
                HeadKind::Dense,
                HeadKind::Sparse,
            ],
            [HeadKind::Dense, STREAMING, STREAMING, HeadKind::Dense],
        ] {
            let options = XAttentionOptions {
                causal,
                head_kinds: Some(kinds.to_vec()),
                ..options()
            };
            check_exact(&format!("{causal} {kinds:?}"), [&q, &k, &v], &options);
        }
    }
}

#[test]
fn a_soft_cap_caps_the_attention_and_not_the_scores() {
    let [q, k, v] = inputs::<f32>(shape());
    let capped = XAttentionOptions {
        soft_cap: Some(2.0),
        ..options()
    };
    let with = check_exact("soft cap", [&q, &k, &v], &capped);
    let without = run([&q, &k, &v], &options());
    assert_eq!((&with.scores, &with.mask), (&without.scores, &without.mask));
    assert!(with.out != without.out, "the cap has no effect");
}

#[test]
fn counts_and_forced_blocks() {
    let [q, k, v] = inputs::<f32>(shape());
    let counted = XAttentionOptions {
        top_k: Some(3),
        ..options()
    };
    let result = check_exact("top-k", [&q, &k, &v], &counted);
    assert!((0..4).all(|head| result.mask.row(1, head, 7).count() == 3));
    let grid = BlockGrid {
        batch: 2,
        heads: 4,
        q_len: 230,
        k_len: 259,
        block: 32,
    };
    let window = BlockMask::sliding_window(&grid, 70).unwrap();
    let united = XAttentionOptions {
        forced: Some(window.clone()),
        ..options()
    };
    let result = check_exact("window", [&q, &k, &v], &united);
    assert_eq!(result.mask.union(&window).unwrap(), result.mask);
}

/// Where Auto goes dense, on the device or before, streaming heads stay what they are.
#[test]
fn auto_keeps_streaming_heads() {
    let gpu = gpu();
    let shape = shape();
    let [mut q, k, v] = inputs::<f32>(shape);
    q.data_mut().fill(0.0);
    let options = XAttentionOptions {
        head_kinds: Some(vec![
            HeadKind::Sparse,
            STREAMING,
            HeadKind::Sparse,
            HeadKind::Dense,
        ]),
        threshold: 0.8.into(),
        ..options()
    };
    let free = attention_alone(0.6);
    let dear = CostModel {
        dispatch: 1e9,
        ..free
    };
    // Over what dense, streaming and (here dense) sparse heads attend to.
    let kinds = XAttentionOptions {
        threshold: 1.0.into(),
        ..options.clone()
    };
    let whole = run([&q, &k, &v], &kinds).mask;
    let expected = block_attention(&q, &k, &v, Some(&whole), &options.attention()).unwrap();
    let largest = |x: &Tensor<f32>| {
        x.data()
            .iter()
            .fold(0.0, |max: f64, x| max.max(f64::from(x.abs())))
    };
    let bounds = attention_bounds(&expected, largest(&v), DType::F32);
    for (model, decision) in [(free, Decision::OnDevice), (dear, Decision::Dense)] {
        let problem = XAttention {
            policy: Policy::Auto(model),
            ..XAttention::new(shape, options.clone())
        };
        let plan = gpu.plan_blocking(&problem).unwrap();
        assert_eq!(plan.decision(), decision, "{}", plan.explain());
        let mut out = poisoned::<f32>(gpu, q.shape());
        let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
        let [q, k, v] = [&q, &k, &v].map(|x| gpu.upload(x).unwrap());
        submit(gpu, |pass| {
            plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
        });
        assert_eq!(plan.outcome_blocking().unwrap().attended, Attended::Dense);
        for (name, actual, expected, bounds) in [
            ("out", read::<f32>(gpu, &out), &expected.out, &bounds.out),
            ("lse", read::<f32>(gpu, &lse), &expected.lse, &bounds.lse),
        ] {
            let comparison = compare(actual, expected, bounds);
            assert!(comparison.holds(), "{decision:?} {name}: {comparison}");
        }
    }
}
