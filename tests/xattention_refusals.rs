//! What scores, selection and the whole of XAttention refuse, and what they say of it.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

use half::f16;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::{Threshold, XAttentionOptions};
use sparse_gpu::{Error, Policy, Tile, XAttention, XAttentionScore, XAttentionSelect};
use support::gpu::{gpu, poisoned};
use support::xattention::{poisoned_mask, refusal, small_problem};

#[test]
fn wrong_operands_of_the_scores() {
    let gpu = gpu();
    let (shape, options) = small_problem();
    let plan = gpu
        .plan_blocking(&XAttentionScore::new(shape, options.clone()))
        .unwrap();
    let q = poisoned::<f32>(gpu, &shape.q_shape());
    let k = poisoned::<f32>(gpu, &shape.kv_shape());
    let mut scores = poisoned::<f32>(gpu, &plan.score_shape());
    let message = |q, k, scores: &mut _| refusal(|pass| plan.record(pass, q, k, scores));
    assert_eq!(
        message(&k, &k, &mut scores),
        "xattention_score: q has shape [1, 1, 50, 8], the plan is for [1, 2, 40, 8]"
    );
    let halves = poisoned::<f16>(gpu, &shape.kv_shape());
    assert_eq!(
        message(&q, &halves, &mut scores),
        "xattention_score: k is stored as f16, the plan is for f32"
    );
    assert_eq!(
        message(&q, &k, &mut k.clone()),
        "xattention_score: scores has shape [1, 1, 50, 8], the plan is for [1, 2, 3, 4]"
    );
    let shape = AttentionShape::try_new(1, 1, 1, 4, 4, 4).unwrap();
    let small = XAttentionOptions {
        block: 1,
        stride: 1,
        ..options.clone()
    };
    let plan = gpu
        .plan_blocking(&XAttentionScore::new(shape, small))
        .unwrap();
    let square = poisoned::<f32>(gpu, &[1, 1, 4, 4]);
    let k = poisoned::<f32>(gpu, &[1, 1, 4, 4]);
    assert_eq!(
        refusal(|pass| plan.record(pass, &square, &k, &mut square.clone())),
        "xattention_score: scores shares its buffer with q; give the result a buffer of its own"
    );
}

#[test]
fn impossible_problems_of_the_scores() {
    let gpu = gpu();
    let refusal = |shape: [usize; 6], options: XAttentionOptions| {
        let [b, hq, hkv, lq, lk, d] = shape;
        let shape = AttentionShape::try_new(b, hq, hkv, lq, lk, d).unwrap();
        let plan = gpu.plan_blocking(&XAttentionScore::new(shape, options));
        plan.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let stride = XAttentionOptions {
        stride: 12,
        ..XAttentionOptions::default()
    };
    assert_eq!(
        refusal([1, 1, 1, 8, 8, 8], stride),
        "stride 12 does not divide block 128; give a divisor of the block, such as 8 or 16"
    );
    let message = refusal(
        [64, 32, 32, 65536, 65536, 128],
        XAttentionOptions::default(),
    );
    assert!(message.contains("at most 2^32 - 1 elements"), "{message}");
    let long = XAttentionOptions {
        block: 1 << 20,
        stride: 1 << 20,
        ..XAttentionOptions::default()
    };
    let message = refusal([1, 1, 1, 1 << 20, 1 << 20, 64], long);
    assert!(message.contains("take a smaller stride"), "{message}");
}

#[test]
fn more_heads_than_a_binding_holds_rules_of() {
    let gpu = gpu();
    let heads = usize::try_from(gpu.limits().max_storage_buffer_binding_size).unwrap() / 16 + 1;
    let shape = AttentionShape::try_new(1, heads, 1, 1, 1, 1).unwrap();
    let selection = XAttentionSelect::new(shape, XAttentionOptions::default());
    let message = gpu.plan_blocking(&selection).unwrap_err().to_string();
    let expected = format!("xattention_select of {heads} heads needs bindings of");
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn wrong_operands_of_the_selection() {
    let gpu = gpu();
    let (shape, options) = small_problem();
    let problem = XAttentionSelect::new(shape, options.clone());
    let plan = gpu.plan_blocking(&problem).unwrap();
    let scores = poisoned::<f32>(gpu, &[1, 2, 3, 4]);
    let mut mask = poisoned_mask(gpu, problem.mask_shape().unwrap());
    let message = |scores: &_, mask: &mut _| refusal(|pass| plan.record(pass, scores, mask));
    assert_eq!(
        message(&poisoned::<f32>(gpu, &[1, 2, 4, 4]), &mut mask),
        "xattention_select: scores has shape [1, 2, 4, 4], the plan is for [1, 2, 3, 4]"
    );
    assert_eq!(
        message(&poisoned::<f16>(gpu, &[1, 2, 3, 4]), &mut mask),
        "xattention_select: scores is stored as f16, the plan is for f32"
    );
    assert_eq!(
        message(&scores, &mut poisoned_mask(gpu, [1, 2, 3, 5])),
        "xattention_select: mask has shape [1, 2, 3, 5], the plan is for [1, 2, 3, 4]"
    );
    let wrong = XAttentionOptions {
        threshold: Threshold::PerHead(vec![0.5; 3]),
        ..options
    };
    let error = gpu
        .plan_blocking(&XAttentionSelect::new(shape, wrong))
        .err();
    assert!(matches!(error, Some(Error::XAttention(_))), "{error:?}");
    for row_lanes in [0, 257, usize::MAX] {
        let lanes = XAttentionSelect {
            row_lanes: Some(row_lanes),
            ..problem.clone()
        };
        let error = gpu.plan_blocking(&lanes).err().unwrap();
        let possible = format!("is {row_lanes}, possible is 1 to 256");
        assert!(
            matches!(error, Error::InvalidProblem { .. }) && error.to_string().contains(&possible),
            "{error:?}"
        );
    }
}

#[test]
fn tiles_of_the_scores_are_checked_before_their_cost() {
    let gpu = gpu();
    let (shape, options) = small_problem();
    let usual = Tile {
        rows: 8,
        cols: 4,
        lanes: 8,
    };
    for tile in [
        Tile { cols: 0, ..usual },
        Tile { lanes: 0, ..usual },
        Tile {
            cols: usize::MAX,
            ..usual
        },
    ] {
        for policy in [Policy::Sparse, Policy::auto(gpu)] {
            let problem = XAttention {
                score_tile: Some(tile),
                policy,
                ..XAttention::new(shape, options.clone())
            };
            let message = gpu.plan_blocking(&problem).err().unwrap().to_string();
            assert!(message.starts_with("xattention: "), "{message}");
            assert!(message.contains("possible is"), "{message}");
        }
    }
}

#[test]
fn wrong_operands_of_all_steps_before_anything_is_recorded() {
    let gpu = gpu();
    let (shape, options) = small_problem();
    let plan = gpu
        .plan_blocking(&XAttention::new(shape, options.clone()))
        .unwrap();
    let q = poisoned::<f32>(gpu, &shape.q_shape());
    let k = poisoned::<f32>(gpu, &shape.kv_shape());
    let mut out = plan.new_out().unwrap();
    let mut lse = plan.new_lse().unwrap();
    let message =
        |v: &_, out: &mut _, lse: &mut _| refusal(|pass| plan.record(pass, &q, &k, v, out, lse));
    assert_eq!(
        message(&q, &mut out, &mut lse),
        "xattention: v has shape [1, 2, 40, 8], the plan is for [1, 1, 50, 8]"
    );
    assert_eq!(
        message(&k, &mut poisoned::<f16>(gpu, &shape.q_shape()), &mut lse),
        "xattention: out is stored as f16, the plan is for f32"
    );
    assert_eq!(
        message(&k, &mut q.clone(), &mut lse),
        "xattention: out shares its buffer with q; give the result a buffer of its own"
    );
    let odd = XAttentionOptions {
        block: 20,
        ..options
    };
    let error = gpu.plan_blocking(&XAttention::new(shape, odd)).err();
    assert_eq!(
        error.map(|e| e.to_string()).unwrap_or_default(),
        "xattention: block is 20; possible are multiples of 16: 16, 32, 64, 128, .. 2^30"
    );
}

#[test]
fn values_that_the_plan_itself_would_overwrite() {
    let gpu = gpu();
    // As many scores as values.
    let shape = AttentionShape::try_new(1, 16, 1, 16, 32, 1).unwrap();
    let (_, options) = small_problem();
    let plan = gpu.plan_blocking(&XAttention::new(shape, options)).unwrap();
    let q = poisoned::<f32>(gpu, &shape.q_shape());
    let k = poisoned::<f32>(gpu, &shape.kv_shape());
    let scores = plan.scores().unwrap().reshaped(&shape.kv_shape()).unwrap();
    let mut out = plan.new_out().unwrap();
    let mut lse = plan.new_lse().unwrap();
    for (k, v, name) in [(&k, &scores, "v"), (&scores, &k, "k")] {
        let message = refusal(|pass| plan.record(pass, &q, k, v, &mut out, &mut lse));
        assert!(
            message.starts_with(&format!(
                "xattention: the plan's scores shares its buffer with {name}"
            )),
            "{message}"
        );
    }
}
