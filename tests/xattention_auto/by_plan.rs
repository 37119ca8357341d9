//! What a plan decides before anything is scored, what it predicts, and the costs that it refuses.

use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{Attended, CostModel, Decision, Policy, Tile, XAttention};

use crate::support::cost_model::attention_alone;
use crate::support::gpu::gpu;
use crate::{dense, flat, on_device, options, planted, problem, run_plan, shape};

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
        let outcome = plan.outcome_blocking().unwrap();
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
                ..attention_alone(0.9)
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
    let outcome = plan.outcome_blocking().unwrap();
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
