//! What the device decides once the scores are known.

use half::f16;
use sparse_core::attention::{AttentionShape, HeadKind};
use sparse_core::mask::BlockMask;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_core::{Element, Tensor};
use sparse_gpu::{Attended, CostModel, Decision, Gpu, Outcome, Policy, XAttention};

use crate::support::cost_model::attention_alone;
use crate::support::gpu::{gpu, poisoned, read, submit};
use crate::{dense, flat, on_device, options, planted, problem, run_plan, shape};

/// The same with scores that cost `estimate_factor` times what they do by multiply-adds.
fn on_device_after_scores(efficiency: f64, estimate_factor: f64) -> Policy {
    Policy::Auto(CostModel {
        estimate_factor,
        ..attention_alone(efficiency)
    })
}

fn reference_mode() -> Mode {
    Mode::Reference(ReferenceOptions {
        chunk: Some(64),
        ..ReferenceOptions::default()
    })
}

/// Runs Auto on `device`; the result has to be that of the sparse or of the dense kernel, to the bit.
fn check<T: Element>(device: &Gpu, inputs: &[Tensor<T>; 3], expected: Attended) {
    let shape = AttentionShape::of_qk(inputs[0].shape(), inputs[1].shape()).unwrap();
    let auto = problem::<T>(shape, on_device(0.6));
    let plan = device.plan_blocking(&auto).unwrap();
    assert_eq!(plan.decision(), Decision::OnDevice, "{}", plan.explain());
    let result = run_plan(device, &plan, inputs);
    let outcome = plan.outcome_blocking().unwrap();
    assert_eq!(outcome.attended, expected, "{outcome}");
    let density = outcome.density().unwrap();
    assert_eq!(density < 0.6, expected == Attended::Sparse, "{outcome}");

    let alone = gpu()
        .plan_blocking(&problem::<T>(shape, Policy::Sparse))
        .unwrap();
    let sparse = run_plan(gpu(), &alone, inputs);
    // The estimate is the same whatever comes of it.
    assert_eq!(alone.outcome_blocking().unwrap().heads, outcome.heads);
    let dense = dense(&auto.dense_attention(), inputs);
    assert!(sparse != dense, "inputs that cannot tell the kernels apart");
    let chosen = match expected {
        Attended::Sparse => sparse,
        Attended::Dense => dense,
    };
    assert!(result == chosen, "not the result of the kernel that ran");
}

#[test]
fn the_device_runs_the_kernel_that_pays() {
    check::<f32>(gpu(), &planted(shape(512, 32)), Attended::Sparse);
    check::<f32>(gpu(), &flat(shape(512, 32)), Attended::Dense);
    // Lengths that are no multiples of anything.
    check::<f32>(gpu(), &planted(shape(455, 32)), Attended::Sparse);
    check::<f32>(gpu(), &flat(shape(455, 32)), Attended::Dense);
}

/// Long dispatches are cut, and rows of an odd number of halves are rounded by a second kernel: each piece has a grid of its own.
#[test]
fn every_piece_of_a_dispatch_follows_the_decision() {
    // More pieces than the kernel that decides has invocations.
    let device = gpu().with_longest_dispatch(1_000_000);
    check::<f32>(&device, &planted(shape(300, 32)), Attended::Sparse);
    check::<f32>(&device, &flat(shape(300, 32)), Attended::Dense);
    check::<f16>(&device, &planted(shape(300, 33)), Attended::Sparse);
    check::<f16>(&device, &flat(shape(300, 33)), Attended::Dense);
}

/// Blocks that no query can reach cost nothing, and do not count: Reference mode takes whatever it is forced to.
#[test]
fn blocks_out_of_reach_do_not_count() {
    let shape = AttentionShape::try_new(1, 2, 1, 512, 512, 32).unwrap();
    let inputs = planted::<f32>(shape);
    let auto = XAttention {
        // Scores that cost half of dense attention: nothing is sure before they are known.
        policy: on_device_after_scores(1.5, 6.0),
        options: XAttentionOptions {
            mode: reference_mode(),
            forced: Some(BlockMask::dense(1, 2, 16, 16).unwrap()),
            ..options()
        },
        ..problem::<f32>(shape, Policy::Sparse)
    };
    let plan = gpu().plan_blocking(&auto).unwrap();
    assert_eq!(plan.decision(), Decision::OnDevice, "{}", plan.explain());
    run_plan(gpu(), &plan, &inputs);
    let outcome = plan.outcome_blocking().unwrap();
    // With those above the diagonal it would be 1.88.
    assert_eq!(outcome.density(), Some(1.0));
    assert_eq!(outcome.attended, Attended::Sparse, "{outcome}");
}

/// Where every block is selected, the device counts what the host knows to be reachable: whole words of the mask and parts of one, last blocks that
/// are not full, queries that begin behind the first key, and bits out of reach, which Reference mode sets where they are forced.
#[test]
fn the_count_is_that_of_the_reachable_blocks() {
    for (q_len, k_len, causal, mode) in [
        (500, 500, true, Mode::Exact),
        (300, 1024, true, Mode::Exact),
        (70, 1057, true, Mode::Exact),
        (64, 1080, false, Mode::Exact),
        (96, 1024, false, Mode::Exact),
        (1024, 1024, true, reference_mode()),
        (1088, 1088, true, reference_mode()),
    ] {
        let shape = AttentionShape::try_new(1, 2, 1, q_len, k_len, 16).unwrap();
        let blocks = |len: usize| len.div_ceil(32);
        let every = BlockMask::dense(1, 2, blocks(q_len), blocks(k_len)).unwrap();
        // Nearly all of the mass takes every block, each of which has some; the plan cannot know.
        let (threshold, forced) = match mode {
            Mode::Exact => (0.99999, None),
            Mode::Reference(_) => (0.8, Some(every)),
        };
        // One block fewer than the limit is sparse, as many are dense.
        for (efficiency, expected) in [(1.0, Attended::Dense), (1.0 + 1e-6, Attended::Sparse)] {
            let auto = XAttention {
                // Scores that cost a little: nothing is sure before they are known.
                policy: on_device_after_scores(efficiency, 0.01),
                options: XAttentionOptions {
                    mode,
                    causal,
                    threshold: threshold.into(),
                    forced: forced.clone(),
                    ..options()
                },
                ..problem::<f32>(shape, Policy::Sparse)
            };
            let outcome = outcome_on_device(&auto);
            let what = format!("{q_len} x {k_len}, causal {causal}: {outcome}");
            for head in &outcome.heads {
                assert_eq!(head.selected, head.reachable, "{what}");
            }
            assert_eq!(outcome.attended, expected, "{what}");
        }
    }
}

/// What a plan that leaves the decision to the device does with flat inputs.
fn outcome_on_device(auto: &XAttention) -> Outcome {
    let plan = gpu().plan_blocking(auto).unwrap();
    assert_eq!(plan.decision(), Decision::OnDevice, "{}", plan.explain());
    run_plan(gpu(), &plan, &flat::<f32>(auto.shape));
    plan.outcome_blocking().unwrap()
}

/// More sparse heads than the kernel that decides has invocations, between heads of other kinds: all of them count, and no other does.
#[test]
fn every_sparse_head_counts_for_the_decision() {
    let shape = AttentionShape::try_new(5, 26, 2, 70, 100, 8).unwrap();
    let window = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let kinds = (0..26).map(|head| match head % 13 {
        0 | 7 => HeadKind::Dense,
        3 | 4 => window,
        _ => HeadKind::Sparse,
    });
    // Every block is selected, which the plan cannot know. One block fewer than the limit is sparse, as many are dense.
    for (efficiency, expected) in [(1.0, Attended::Dense), (1.0 + 1e-6, Attended::Sparse)] {
        let auto = XAttention {
            policy: on_device_after_scores(efficiency, 0.01),
            options: XAttentionOptions {
                threshold: 0.99999.into(),
                head_kinds: Some(kinds.clone().collect()),
                ..options()
            },
            ..problem::<f32>(shape, Policy::Sparse)
        };
        let outcome = outcome_on_device(&auto);
        assert_eq!(outcome.attended, expected, "{efficiency}: {outcome}");
    }
}

/// Recorded twice into one pass, each recording decides for itself.
#[test]
fn recordings_of_one_pass_decide_one_by_one() {
    let gpu = gpu();
    let shape = shape(256, 32);
    let plan = gpu
        .plan_blocking(&problem::<f32>(shape, on_device(0.6)))
        .unwrap();
    let (planted, flat) = (planted::<f32>(shape), flat::<f32>(shape));
    let expected = [&planted, &flat, &planted].map(|inputs| run_plan(gpu, &plan, inputs));
    let uploads = [&planted, &flat, &planted].map(|inputs| {
        let [q, k, v] = inputs.each_ref().map(|x| gpu.upload(x).unwrap());
        let out = poisoned::<f32>(gpu, &shape.q_shape());
        let lse = poisoned::<f32>(gpu, &shape.q_shape()[..3]);
        (q, k, v, out, lse)
    });
    submit(gpu, |pass| {
        for (q, k, v, out, lse) in &uploads {
            plan.record(pass, q, k, v, &mut out.clone(), &mut lse.clone())
                .unwrap();
        }
    });
    for ((_, _, _, out, lse), expected) in uploads.iter().zip(expected) {
        assert!((read::<f32>(gpu, out), read::<f32>(gpu, lse)) == expected);
    }
}
