//! `xattention` with [`Policy::Auto`]: which attention runs, that its result is that of the kernel it chose, and what it says of it.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

use half::f16;
use sparse_core::attention::{AttentionShape, HeadKind};
use sparse_core::mask::BlockMask;
use sparse_core::synthetic::{PlantedAttention, normal_tensor};
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_core::{Element, Tensor};
use sparse_gpu::{
    Attended, AttentionTypes, BlockAttention, CostModel, Decision, Gpu, Outcome, Policy, Tile,
    XAttention, XAttentionPlan,
};
use support::gpu::{gpu, poisoned, read, submit};

/// Nothing but attention costs anything, and sparse attention pays below a density of `efficiency`.
fn model(efficiency: f64) -> CostModel {
    CostModel {
        efficiency,
        estimate_factor: 0.0,
        pack_per_element: 0.0,
        select_per_block: 0.0,
        dispatch: 0.0,
        most_regret: 1.0,
        expected_density: None,
    }
}

/// The device always decides, and takes the sparse kernel below a density of `efficiency`.
fn on_device(efficiency: f64) -> Policy {
    Policy::Auto(model(efficiency))
}

/// The same with scores that cost `estimate_factor` times what they do by multiply-adds.
fn on_device_after_scores(efficiency: f64, estimate_factor: f64) -> Policy {
    Policy::Auto(CostModel {
        estimate_factor,
        ..model(efficiency)
    })
}

fn reference_mode() -> Mode {
    Mode::Reference(ReferenceOptions {
        chunk: Some(64),
        ..ReferenceOptions::default()
    })
}

fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 32,
        stride: 8,
        threshold: 0.8.into(),
        ..XAttentionOptions::default()
    }
}

fn shape(len: usize, head_dim: usize) -> AttentionShape {
    AttentionShape::try_new(2, 4, 2, len, len, head_dim).unwrap()
}

/// q, k and v with few blocks that matter.
fn planted<T: Element>(shape: AttentionShape) -> [Tensor<T>; 3] {
    let planted = PlantedAttention {
        shape,
        density: 0.3,
        seed: 3,
    };
    let inputs = planted.generate::<T>().unwrap();
    [inputs.q, inputs.k, inputs.v]
}

/// q, k and v whose keys all weigh the same.
fn flat<T: Element>(shape: AttentionShape) -> [Tensor<T>; 3] {
    let [mut q, k, v] = [
        (shape.q_shape(), 1),
        (shape.kv_shape(), 2),
        (shape.kv_shape(), 3),
    ]
    .map(|(shape, seed)| normal_tensor::<T>(shape.to_vec(), seed).unwrap());
    q.data_mut().fill(T::ZERO);
    [q, k, v]
}

/// Output and log-sum-exp.
type Result = (Vec<f64>, Vec<f64>);

fn run_plan<T: Element>(gpu: &Gpu, plan: &XAttentionPlan, [q, k, v]: &[Tensor<T>; 3]) -> Result {
    let mut out = poisoned::<T>(gpu, q.shape());
    let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
    let [q, k, v] = [q, k, v].map(|x| gpu.upload(x).unwrap());
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });
    (read::<T>(gpu, &out), read::<f32>(gpu, &lse))
}

fn problem<T: Element>(shape: AttentionShape, policy: Policy) -> XAttention {
    XAttention {
        policy,
        types: AttentionTypes::all(T::DTYPE),
        ..XAttention::new(shape, options())
    }
}

/// The dense attention of the same problem.
fn dense<T: Element>(problem: &BlockAttention, [q, k, v]: &[Tensor<T>; 3]) -> Result {
    let gpu = gpu();
    let plan = gpu.plan_blocking(problem).unwrap();
    let mut out = poisoned::<T>(gpu, q.shape());
    let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
    let [q, k, v] = [q, k, v].map(|x| gpu.upload(x).unwrap());
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, None, &mut out, &mut lse)
            .unwrap();
    });
    (read::<T>(gpu, &out), read::<f32>(gpu, &lse))
}

/// Runs Auto on `device`; the result has to be that of the sparse or of the dense kernel, to the bit.
fn check<T: Element>(device: &Gpu, inputs: &[Tensor<T>; 3], expected: Attended) {
    let shape = AttentionShape::of_qk(inputs[0].shape(), inputs[1].shape()).unwrap();
    let auto = problem::<T>(shape, on_device(0.6));
    let plan = device.plan_blocking(&auto).unwrap();
    assert_eq!(plan.decision(), Decision::OnDevice, "{}", plan.explain());
    let result = run_plan(device, &plan, inputs);
    let outcome = plan.outcome_blocking(device).unwrap();
    assert_eq!(outcome.attended, expected, "{outcome}");
    let density = outcome.density().unwrap();
    assert_eq!(density < 0.6, expected == Attended::Sparse, "{outcome}");

    let alone = gpu()
        .plan_blocking(&problem::<T>(shape, Policy::Sparse))
        .unwrap();
    let sparse = run_plan(gpu(), &alone, inputs);
    // The estimate is the same whatever comes of it.
    assert_eq!(alone.outcome_blocking(gpu()).unwrap().heads, outcome.heads);
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
    let outcome = plan.outcome_blocking(gpu()).unwrap();
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
    plan.outcome_blocking(gpu()).unwrap()
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

/// Plans `problem` with its own policy and gives the decision and its reason.
fn decision(problem: &XAttention) -> (Decision, String) {
    let plan = gpu().plan_blocking(problem).unwrap();
    let reason = plan.explain().notes[0].clone();
    match plan.decision() {
        Decision::Dense => assert!(plan.mask().is_none() && plan.steps().len() == 1),
        Decision::Sparse => assert!(plan.mask().is_some() && plan.steps().len() == 3),
        Decision::OnDevice => assert!(plan.mask().is_some() && plan.steps().len() == 4),
    }
    (plan.decision(), reason)
}

#[test]
fn short_inputs_are_dense_without_scores() {
    for len in [1, 40, 128] {
        let shape = shape(len, 64);
        let auto = XAttention {
            policy: Policy::auto(gpu()),
            ..XAttention::new(shape, XAttentionOptions::default())
        };
        let (decision, reason) = decision(&auto);
        assert_eq!(decision, Decision::Dense, "{len}: {reason}");
        let inputs = flat::<f32>(shape);
        let plan = gpu().plan_blocking(&auto).unwrap();
        let result = run_plan(gpu(), &plan, &inputs);
        assert!(result == dense(&auto.dense_attention(), &inputs));
        let outcome = plan.outcome_blocking(gpu()).unwrap();
        assert_eq!(
            (outcome.attended, outcome.density()),
            (Attended::Dense, None)
        );
        assert_eq!(outcome.predicted_speed_up, 1.0);
        assert_eq!(
            outcome.to_string(),
            "nothing was scored; dense attention ran, predicted 1.00x of dense attention's speed"
        );
    }
}

#[test]
fn what_is_known_before_is_decided_before() {
    let with = |change: fn(&mut XAttentionOptions)| {
        let mut options = options();
        change(&mut options);
        decision(&XAttention {
            policy: on_device(0.6),
            ..XAttention::new(shape(512, 32), options)
        })
    };
    assert_eq!(with(|_| ()).0, Decision::OnDevice);
    // A fixed count: 3 of 8.5 blocks on average, or 15 of 16.
    let (few, reason) = with(|o| o.top_k = Some(3));
    assert_eq!(few, Decision::Sparse);
    assert!(reason.contains("at most 33.1 %"), "{reason}");
    let (many, reason) = with(|o| o.top_k = Some(15));
    assert_eq!(many, Decision::Dense);
    assert!(reason.contains("at least 99.3 %"), "{reason}");
    assert_eq!(with(|o| o.threshold = 1.0.into()).0, Decision::Dense);
    assert_eq!(with(|o| o.threshold = 0.0.into()).0, Decision::Sparse);
    assert_eq!(with(|o| o.recent_blocks = 12).0, Decision::Dense);
}

/// Scores that cost more than may be lost are computed only where what is expected outweighs that.
#[test]
fn an_expected_density_decides_where_the_estimate_is_dear() {
    let with = |expected_density| {
        decision(&XAttention {
            policy: Policy::Auto(CostModel {
                estimate_factor: 1.0,
                most_regret: 0.01,
                expected_density,
                ..model(0.9)
            }),
            ..XAttention::new(shape(2048, 32), options())
        })
    };
    assert_eq!(with(Some(0.3)).0, Decision::OnDevice);
    let (dense, reason) = with(Some(0.85));
    assert_eq!(dense, Decision::Dense);
    assert!(
        reason.contains("85.0 %, as the cost model was told"),
        "{reason}"
    );
    let (usual, reason) = with(None);
    assert_eq!(usual, Decision::Dense);
    assert!(
        reason.contains("81.2 %, as is usual for this length"),
        "{reason}"
    );
}

#[test]
fn a_plan_tells_what_it_predicts() {
    let gpu = gpu();
    let shape = shape(512, 32);
    let model = CostModel {
        estimate_factor: 1.0,
        pack_per_element: 0.0,
        dispatch: 0.0,
        select_per_block: 0.0,
        most_regret: 1.0,
        ..CostModel::of_class(gpu.class())
    };
    let auto = XAttention {
        score_tile: Some(Tile {
            rows: 8,
            cols: 4,
            lanes: 8,
        }),
        ..problem::<f32>(shape, Policy::Auto(model))
    };
    let plan = gpu.plan_blocking(&auto).unwrap();
    run_plan(gpu, &plan, &planted::<f32>(shape));
    let outcome = plan.outcome_blocking(gpu).unwrap();
    let density = outcome.density().unwrap();
    assert_eq!(outcome.predicted_speed_up, plan.predicted_speed_up(density));
    // 64 query groups in panels of 32: 32 x 32 and 32 x 64 pairs of 8 x 32 multiply-adds, for 512 x 513 / 2 pairs of 2 x 32.
    let estimate = 1.0 / outcome.predicted_speed_up - density / model.efficiency;
    let expected = f64::from(32 * (32 + 64) * 8 * 32) / f64::from(512 * 513 / 2 * 64);
    assert!((estimate - expected).abs() < 1e-9, "{estimate} {expected}");
    let text = plan.explain().to_string();
    assert!(
        text.contains("on the device: sparse below a density of"),
        "{text}"
    );
    assert_eq!(outcome.heads.len(), 8);
    assert!(outcome.heads.iter().all(|head| head.reachable == 136));
}

#[test]
fn numbers_that_are_no_costs_are_refused() {
    let refusal = |change: fn(&mut CostModel)| {
        let mut model = CostModel::of_class(gpu().class());
        change(&mut model);
        let auto = problem::<f32>(shape(64, 32), Policy::Auto(model));
        gpu().plan_blocking(&auto).err().unwrap().to_string()
    };
    assert_eq!(
        refusal(|m| m.efficiency = 0.0),
        "xattention: the cost model's efficiency is 0; give a positive number, about 0.9"
    );
    let message = refusal(|m| m.estimate_factor = f64::NAN);
    assert!(message.contains("estimate_factor is NaN"), "{message}");
    let message = refusal(|m| m.pack_per_element = -2.0);
    assert!(message.contains("pack_per_element is -2"), "{message}");
    let message = refusal(|m| m.select_per_block = -1.0);
    assert!(message.contains("select_per_block is -1"), "{message}");
    let message = refusal(|m| m.dispatch = f64::INFINITY);
    assert!(message.contains("dispatch is inf"), "{message}");
    let message = refusal(|m| m.most_regret = -0.1);
    assert!(message.contains("most_regret is -0.1"), "{message}");
    let message = refusal(|m| m.expected_density = Some(1.5));
    assert!(message.contains("expected_density is 1.5"), "{message}");
}
