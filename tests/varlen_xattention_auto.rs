//! Which packed sequences are scored under `Policy::Auto`, and what becomes of those that are not.

mod support {
    pub(crate) mod cost_model;
    pub(crate) mod gpu;
    pub(crate) mod packed;
    pub(crate) mod packed_xattention;
    pub(crate) mod xattention_run;
}

use sparse_core::attention::{HeadKind, MaskHeads};
use sparse_core::mask::BlockMask;
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{
    AdapterClass, Attended, CostModel, Decision, Policy, TokenLayout, VarlenXAttention, XAttention,
};
use support::cost_model::attention_alone;
use support::gpu::{gpu, read, submit};
use support::packed_xattention::{check_attention, forced, packed, packed_inputs, run_packed};

fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 16,
        stride: 4,
        threshold: 0.6.into(),
        ..XAttentionOptions::default()
    }
}

/// Four query heads on two key heads.
fn problem(lengths: &[(usize, usize)], options: XAttentionOptions) -> VarlenXAttention {
    VarlenXAttention::new(packed(lengths, [4, 2, 8]), options)
}

const WINDOW: HeadKind = HeadKind::Streaming {
    sink_blocks: 1,
    recent_blocks: 1,
};

/// The costs of a long item, where scores pay, and of short ones, where they do not.
fn auto() -> Policy {
    Policy::Auto(CostModel {
        expected_density: Some(0.3),
        estimate_factor: 0.1,
        dispatch: 2e4,
        ..attention_alone(1.0)
    })
}

#[test]
fn items_are_scored_where_that_pays() {
    let kinds = [HeadKind::Sparse, WINDOW, HeadKind::Sparse, HeadKind::Sparse];
    for mask_heads in [MaskHeads::Query, MaskHeads::Key] {
        for head_kinds in [None, Some(kinds.to_vec())] {
            let mut problem = problem(
                &[(30, 30), (400, 400), (0, 9), (5, 60)],
                XAttentionOptions {
                    head_kinds: head_kinds.clone(),
                    mask_heads,
                    threshold: 0.3.into(),
                    ..options()
                },
            );
            problem.options.forced = Some(forced(&problem));
            problem.policy = auto();
            let qkv = packed_inputs::<f32>(&problem.shape);
            let run = run_packed(&problem, &qkv);
            let decisions: Vec<_> = run.plan.decisions().collect();
            let dense = Decision::Dense;
            let explanation = run.plan.explain().to_string();
            assert_eq!(
                decisions,
                [dense, Decision::Sparse, dense, dense],
                "{explanation}"
            );
            for note in [
                "1 of 4 items: scored and selected for, one after the other; item 1 of q_len = 400 and k_len = 400: 44.",
                "3 of 4 items: all blocks, no scores; item 0 of q_len = 30 and k_len = 30: 100.0 % of the blocks are expected, as the cost model was told, and scores and selection cost ",
            ] {
                assert!(explanation.contains(note), "{explanation}");
            }
            let mask = run.mask.as_ref().unwrap();
            check_attention("auto", &problem, &qkv, Some(mask), &run);
            let masks = problem.shape.unpack_mask(mask, 16, mask_heads).unwrap();
            let layouts = problem.options.packed_layouts(&problem.shape).unwrap();
            for (item, mask) in masks.iter().enumerate() {
                let of_heads = layouts[item].mask_of_query_heads(mask).unwrap();
                let reachable =
                    (0..of_heads.q_blocks()).map(|row| layouts[item].reachable_blocks(row));
                let reachable: usize = reachable.sum();
                for head in [0, 2, 3] {
                    let selected = of_heads.count_of_head(0, head);
                    // The forced blocks of dense items are among all blocks, those of the sparse one are not nearly all.
                    assert_eq!(
                        selected == reachable,
                        item != 1,
                        "{item} {head}: {selected}"
                    );
                }
            }
            let attended = run.outcomes.iter().map(|outcome| outcome.attended);
            let expected = decisions.iter().map(|decision| match decision {
                Decision::Sparse => Attended::Sparse,
                _ => Attended::Dense,
            });
            assert!(attended.eq(expected));
            assert!(run.outcomes[1].density().unwrap() < 0.7);
            assert_eq!(run.outcomes[0].density(), None);
        }
    }
}

/// Two items of the same lengths, of which one is told to attend to everything.
#[test]
fn items_of_the_same_lengths_may_be_decided_differently() {
    let mut problem = problem(&[(400, 400); 2], options());
    let [items, heads, rows, columns] = problem.mask_shape();
    let first = BlockMask::from_fn(items, heads, rows, columns, |item, _, _, _| item == 0);
    problem.options.forced = Some(first.unwrap());
    problem.policy = auto();
    let qkv = packed_inputs::<f32>(&problem.shape);
    let run = run_packed(&problem, &qkv);
    let decisions: Vec<_> = run.plan.decisions().collect();
    assert_eq!(decisions, [Decision::Dense, Decision::Sparse]);
    let mask = run.mask.as_ref().unwrap();
    check_attention("same lengths", &problem, &qkv, Some(mask), &run);
    let rows = 25;
    let all = rows * (rows + 1) / 2;
    assert_eq!(mask.count_of_head(0, 3), all);
    assert!(mask.count_of_head(1, 3) < all);
}

/// Nothing is scored, no mask is held, and the bits are those of the attention without one.
#[test]
fn without_an_item_that_is_scored_it_is_dense_attention() {
    let kinds = Some(vec![
        WINDOW,
        HeadKind::Sparse,
        HeadKind::Dense,
        HeadKind::Dense,
    ]);
    let none_sparse = Some(vec![WINDOW, HeadKind::Dense, HeadKind::Dense, WINDOW]);
    for (head_kinds, policy) in [
        (None, Policy::auto(gpu())),
        (kinds, Policy::auto(gpu())),
        (none_sparse, Policy::Sparse),
    ] {
        let options = XAttentionOptions {
            head_kinds,
            ..options()
        };
        let problem = VarlenXAttention {
            policy,
            ..problem(&[(30, 30), (0, 0), (5, 60)], options)
        };
        let qkv = packed_inputs::<f32>(&problem.shape);
        let run = run_packed(&problem, &qkv);
        assert!(run.mask.is_none());
        assert!(
            run.plan
                .decisions()
                .all(|decision| decision == Decision::Dense)
        );
        check_attention("dense", &problem, &qkv, None, &run);
        let plan = gpu().plan_blocking(&problem.dense_attention()).unwrap();
        let [q, k, v] = [0, 1, 2].map(|i| gpu().upload(&qkv[i]).unwrap());
        let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
        submit(gpu(), |pass| {
            plan.record(pass, &q, &k, &v, None, &mut out, &mut lse)
                .unwrap();
        });
        assert_eq!(run.out, read::<f32>(gpu(), &out));
        assert_eq!(run.lse, read::<f32>(gpu(), &lse));
        for outcome in &run.outcomes {
            assert_eq!(
                (outcome.attended, outcome.density()),
                (Attended::Dense, None)
            );
            assert_eq!(outcome.predicted_speed_up, 1.0);
        }
    }
    // No items at all.
    let problem = problem(&[], options());
    let run = run_packed(&problem, &packed_inputs::<f32>(&problem.shape));
    assert!(run.mask.is_none() && run.outcomes.is_empty() && run.out.is_empty());
}

/// What all items cost by the model, those that are not scored by the kernel of the mask, is less than dense attention of all of them, or none is scored.
#[test]
fn no_plan_is_expected_to_be_slower_than_dense_attention() {
    let gpu = gpu().with_class(AdapterClass::Other);
    let model = CostModel::of_class(AdapterClass::Other);
    let mut scored = Vec::new();
    for (long, short, count) in [
        (4096, 1024, 30),
        (4096, 2048, 16),
        (8192, 1024, 4),
        (8192, 2048, 40),
    ] {
        let mut lengths = vec![(short, short); count];
        lengths.push((long, long));
        let options = XAttentionOptions {
            stride: 16,
            ..XAttentionOptions::default()
        };
        let shape = packed(&lengths, [8, 2, 64]);
        let problem = VarlenXAttention {
            policy: Policy::Auto(model),
            ..VarlenXAttention::new(shape.clone(), options.clone())
        };
        let plan = gpu.plan_blocking(&problem).unwrap();
        let decisions: Vec<_> = plan.decisions().collect();
        let (mut dense, mut planned) = (0.0, 0.0);
        for (item, decision) in shape.item_shapes().zip(&decisions) {
            let pairs = (item.q_len() * (item.q_len() + 1) / 2) as f64;
            dense += pairs;
            let alone = XAttention {
                layout: TokenLayout::TokenMajor,
                ..XAttention::new(item, options.clone())
            };
            let alone = gpu.plan_blocking(&alone).unwrap();
            // With dispatches that an item of many does not have.
            let expected = CostModel::usual_density(item.k_len());
            planned += match decision {
                Decision::Sparse => pairs / alone.predicted_speed_up(expected),
                _ => pairs / model.efficiency,
            };
        }
        let is_scored = decisions.contains(&Decision::Sparse);
        assert!(
            !is_scored || planned < dense,
            "{long} {short}: {planned} {dense}"
        );
        assert_eq!(plan.mask().is_some(), is_scored);
        let explanation = plan.explain().to_string();
        let note = "nothing is scored: in the kernel of a mask, with scores for ";
        assert_eq!(explanation.contains(note), !is_scored, "{explanation}");
        scored.push(is_scored);
    }
    assert_eq!(scored, [false, false, true, true]);
}

/// Neither memory for their scores nor a dispatch: their rows of the mask are there from the beginning.
#[test]
fn items_that_are_not_scored_take_no_memory_and_no_dispatch() {
    let of = |lengths: &[(usize, usize)]| {
        let options = XAttentionOptions {
            stride: 16,
            mask_heads: MaskHeads::Key,
            ..options()
        };
        let mut problem = VarlenXAttention::new(packed(lengths, [80, 1, 8]), options);
        let [items, heads, rows, columns] = problem.mask_shape();
        // All but the last are told to attend to everything.
        let all = BlockMask::from_fn(items, heads, rows, columns, |item, _, _, _| {
            item + 1 < items
        });
        problem.options.forced = Some(all.unwrap());
        problem.policy = Policy::Auto(CostModel {
            expected_density: Some(0.1),
            ..attention_alone(1.0)
        });
        gpu().plan_blocking(&problem).unwrap()
    };
    let own = |plan: &sparse_gpu::VarlenXAttentionPlan| {
        let masks = 2 * plan.mask().unwrap().buffer().size();
        let attention = plan.steps().last().unwrap().scratch_bytes;
        plan.explain().scratch_bytes - masks - attention
    };
    let both = of(&[(16_384, 16_384), (1024, 1024)]);
    let decisions: Vec<_> = both.decisions().collect();
    assert_eq!(decisions, [Decision::Dense, Decision::Sparse]);
    assert_eq!(own(&both), own(&of(&[(1024, 1024)])));
    let explanation = both.explain().to_string();
    assert!(explanation.contains("explained by item 1"), "{explanation}");

    // What a recording does not write stays.
    let mut problem = problem(&[(30, 30), (400, 400)], options());
    problem.policy = auto();
    let plan = gpu().plan_blocking(&problem).unwrap();
    let mask = plan.mask().unwrap();
    let before = gpu().read_mask_blocking(mask).unwrap();
    assert_eq!(
        [before.count_of_head(0, 0), before.count_of_head(1, 0)],
        [3, 0]
    );
    let zeros = vec![0_u8; usize::try_from(mask.buffer().size()).unwrap()];
    gpu().queue().write_buffer(mask.buffer(), 0, &zeros);
    let qkv = packed_inputs::<f32>(&problem.shape);
    let [q, k, v] = [0, 1, 2].map(|i| gpu().upload(&qkv[i]).unwrap());
    let (mut out, mut lse) = (plan.new_out().unwrap(), plan.new_lse().unwrap());
    submit(gpu(), |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });
    let after = gpu().read_mask_blocking(mask).unwrap();
    assert_eq!(after.count_of_head(0, 0), 0);
    assert!(after.count_of_head(1, 0) > 0);
}

/// Items without queries or keys have nothing to be scored, whatever the policy, and explain nothing.
#[test]
fn empty_items_are_not_scored() {
    let problem = problem(&[(0, 0), (5, 0), (400, 400), (70, 90)], options());
    let run = run_packed(&problem, &packed_inputs::<f32>(&problem.shape));
    let explanation = run.plan.explain().to_string();
    for note in [
        "2 of 4 items: scored and selected for, one after the other; item 2 of q_len = 400 and k_len = 400: as the policy says",
        "2 of 4 items: all blocks, no scores; item 0 of q_len = 0 and k_len = 0: no sparse head has queries and keys",
        "explained by item 2, which has the most of them",
    ] {
        assert!(explanation.contains(note), "{explanation}");
    }
    assert!(
        explanation.contains("kernel xattention_score"),
        "{explanation}"
    );
    assert_eq!(run.outcomes[0].predicted_speed_up, 1.0);
}
