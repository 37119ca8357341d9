//! XAttention whose query heads share a mask: sums of scores, selection from them, and attention, each against the CPU twin.

mod support {
    pub(crate) mod cost_model;
    pub(crate) mod gpu;
    pub(crate) mod xattention;
    pub(crate) mod xattention_run;
}

use half::{bf16, f16};
use sparse_core::attention::{AttentionShape, HeadKind, MaskHeads};
use sparse_core::mask::BlockMask;
use sparse_core::xattention::{
    BlockScores, Mode, ReferenceOptions, Threshold, XAttentionOptions, xattention_select,
};
use sparse_core::{Element, Tensor};
use sparse_gpu::{
    Attended, AttentionTypes, Decision, HeadBlocks, Policy, TokenLayout, XAttention,
    XAttentionSelect,
};
use support::cost_model::attention_alone;
use support::gpu::{gpu, poisoned, read, submit};
use support::xattention::{
    assert_same_as_reference, gpu_select, mask_differences, refusal, sixteenths,
};
use support::xattention_run::{Run, check_exact, inputs, run, run_uploaded};

/// Blocks of 16 tokens, which the attention takes; one mask per key head.
fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 16,
        stride: 4,
        threshold: 0.6.into(),
        mask_heads: MaskHeads::Key,
        ..XAttentionOptions::default()
    }
}

/// Two items of six query heads on two key heads.
fn shape(q_len: usize, k_len: usize) -> AttentionShape {
    AttentionShape::try_new(2, 6, 2, q_len, k_len, 8).unwrap()
}

const WINDOW: HeadKind = HeadKind::Streaming {
    sink_blocks: 1,
    recent_blocks: 2,
};

/// Of the first group two heads are sparse, of the second one none.
const MIXED: [HeadKind; 6] = [
    HeadKind::Sparse,
    HeadKind::Dense,
    HeadKind::Sparse,
    WINDOW,
    HeadKind::Streaming {
        sink_blocks: 2,
        recent_blocks: 1,
    },
    WINDOW,
];

#[test]
fn selection_is_that_of_the_reference() {
    let mut seed = 0;
    for (q_len, k_len) in [(1, 1), (17, 100), (128, 128), (70, 200), (200, 40)] {
        let shape = shape(q_len, k_len);
        let [batch, heads, q_blocks, k_blocks] = options().layout(shape).unwrap().mask_shape();
        assert_eq!([batch, heads], [2, 2]);
        let scattered = BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |b, h, i, j| {
            (b + 2 * h + 3 * i + 5 * j) % 7 == 0
        });
        let plain = options();
        let each = Threshold::PerHead(vec![0.25, 0.875]);
        let cases = [
            plain.clone(),
            XAttentionOptions {
                threshold: each,
                causal: false,
                ..plain.clone()
            },
            XAttentionOptions {
                top_k: Some(3),
                sink_blocks: 1,
                ..plain.clone()
            },
            XAttentionOptions {
                forced: Some(scattered.unwrap()),
                recent_blocks: 2,
                ..plain.clone()
            },
            XAttentionOptions {
                head_kinds: Some(MIXED.to_vec()),
                ..plain.clone()
            },
        ];
        for options in cases {
            seed += 1;
            assert_same_as_reference(shape, &options, seed);
        }
        if q_len <= k_len {
            let mode = Mode::Reference(ReferenceOptions {
                chunk: Some(32),
                ..ReferenceOptions::default()
            });
            assert_same_as_reference(shape, &XAttentionOptions { mode, ..plain }, seed);
        }
    }
}

/// By another way: the sums are scores of a problem in which every key head has one query head.
#[test]
fn a_shared_mask_is_that_of_a_problem_with_one_head_for_each_group() {
    let (shape, options) = (shape(100, 150), options());
    let score_shape = options.layout(shape).unwrap().score_shape();
    let numbers = sixteenths(score_shape, 5);
    let actual = gpu_select(&numbers, shape, &options, None);
    let scores = BlockScores::try_new(score_shape, numbers).unwrap();
    let sums = scores.summed_over_heads(3).unwrap();
    let groups = AttentionShape::try_new(2, 2, 2, 100, 150, 8).unwrap();
    let alone = XAttentionOptions {
        mask_heads: MaskHeads::Query,
        ..options
    };
    let expected = xattention_select(&sums, &alone.layout(groups).unwrap()).unwrap();
    assert_eq!(mask_differences(&actual, &expected), [[0; 4]; 0]);
}

#[test]
fn scores_of_heads_that_are_not_sparse_are_not_read() {
    let options = XAttentionOptions {
        head_kinds: Some(MIXED.to_vec()),
        ..options()
    };
    let shape = shape(64, 64);
    let score_shape = options.layout(shape).unwrap().score_shape();
    let numbers = sixteenths(score_shape, 6);
    let mut unwritten = numbers.clone();
    let of_head = score_shape[2] * score_shape[3];
    for (at, score) in unwritten.iter_mut().enumerate() {
        if MIXED[at / of_head % 6] != HeadKind::Sparse {
            *score = f64::NAN;
        }
    }
    let expected = gpu_select(&numbers, shape, &options, None);
    assert_eq!(gpu_select(&unwritten, shape, &options, None), expected);
}

#[test]
fn groups_of_one_head_have_the_masks_of_their_heads() {
    let shape = AttentionShape::try_new(1, 3, 3, 90, 90, 8).unwrap();
    let shared = options();
    let own = XAttentionOptions {
        mask_heads: MaskHeads::Query,
        ..options()
    };
    let qkv = inputs::<f32>(shape);
    let [q, k, v] = &qkv;
    assert_eq!(run([q, k, v], &shared), run([q, k, v], &own));
    let explain = |options: XAttentionOptions| {
        let problem = XAttentionSelect::new(shape, options);
        gpu().plan_blocking(&problem).unwrap().explain().clone()
    };
    assert_eq!(explain(shared), explain(own));
}

/// Sums of more heads than llvmpipe runs rounds of a loop.
#[test]
fn a_group_may_have_more_heads_than_a_loop_has_rounds() {
    let heads = 70_000;
    let shape = AttentionShape::try_new(1, heads, 1, 16, 32, 1).unwrap();
    let options = XAttentionOptions {
        causal: false,
        top_k: Some(1),
        ..options()
    };
    // The second block has more mass by the last heads alone.
    let scores: Vec<f64> = (0..heads)
        .flat_map(|head| {
            if head < 65_535 {
                [0.5, 0.25]
            } else {
                [0.0, 8.0]
            }
        })
        .collect();
    let mask = gpu_select(&scores, shape, &options, None);
    assert_eq!(mask.row(0, 0, 0).collect::<Vec<_>>(), [1]);
}

/// Without a sparse head nothing is selected, and attention reads no mask.
#[test]
fn no_head_is_sparse() {
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let kinds = [
        HeadKind::Dense,
        streaming,
        WINDOW,
        streaming,
        WINDOW,
        WINDOW,
    ];
    let options = XAttentionOptions {
        head_kinds: Some(kinds.to_vec()),
        ..options()
    };
    let result = check_all::<f32>(shape(70, 115), &options);
    // All that the first three attend to, and what the windows hold together.
    assert_eq!(
        result.mask.row(0, 0, 4).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(result.mask.row(0, 1, 4).collect::<Vec<_>>(), [0, 6, 7]);
}

/// Twice, or four times, the same head: sums that are exact multiples.
#[test]
fn equal_heads_share_the_mask_that_each_would_have() {
    let one = AttentionShape::try_new(2, 2, 2, 100, 130, 8).unwrap();
    let [q, k, v] = inputs::<f32>(one);
    let own = XAttentionOptions {
        mask_heads: MaskHeads::Query,
        ..options()
    };
    let alone = run([&q, &k, &v], &own);
    for group in [2, 4] {
        let heads = q.data().chunks(100 * 8);
        let repeated: Vec<f32> = heads.flat_map(|head| head.repeat(group)).collect();
        let q = Tensor::new(vec![2, 2 * group, 100, 8], repeated);
        let shared = run([&q, &k, &v], &options());
        assert_eq!(shared.mask, alone.mask, "{group}");
    }
}

fn check_all<T: Element>(shape: AttentionShape, options: &XAttentionOptions) -> Run {
    let [q, k, v] = inputs::<T>(shape);
    let what = format!("{} {shape:?} {options:?}", T::DTYPE);
    check_exact(&what, [&q, &k, &v], options)
}

#[test]
fn many_queries_end_to_end() {
    for causal in [true, false] {
        for head_kinds in [None, Some(MIXED.to_vec())] {
            let options = XAttentionOptions {
                causal,
                head_kinds,
                ..options()
            };
            check_all::<f32>(shape(70, 115), &options);
            check_all::<f16>(shape(70, 115), &options);
            check_all::<bf16>(shape(33, 64), &options);
        }
    }
}

/// Decoding: the kernel for few queries loads the keys of a group once.
#[test]
fn few_queries_end_to_end() {
    for q_len in [1, 3] {
        for head_kinds in [None, Some(MIXED.to_vec())] {
            let options = XAttentionOptions {
                top_k: Some(3),
                head_kinds,
                ..options()
            };
            let result = check_all::<f16>(shape(q_len, 150), &options);
            assert_eq!(result.mask.shape(), [2, 2, 1, 10]);
            check_all::<f32>(shape(q_len, 150), &options);
        }
    }
}

#[test]
fn nothing_to_attend_to() {
    for (batch, q_len, k_len) in [(1, 0, 50), (1, 50, 0), (0, 40, 40), (1, 70, 3)] {
        let shape = AttentionShape::try_new(batch, 4, 2, q_len, k_len, 4).unwrap();
        check_all::<f32>(shape, &options());
    }
}

/// The same numbers with the heads of a token side by side.
#[test]
fn tokens_first() {
    let shape = shape(40, 90);
    let heads_first = inputs::<f32>(shape);
    let [q, k, v] = &heads_first;
    let expected = run([q, k, v], &options());
    let uploaded = [q, k, v].map(|x| gpu().upload(&tokens_first_of(x)).unwrap());
    let problem = XAttention {
        layout: TokenLayout::TokenMajor,
        ..XAttention::new(shape, options())
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let mut out = plan.new_out().unwrap();
    let mut lse = plan.new_lse().unwrap();
    submit(gpu(), |pass| {
        let [q, k, v] = &uploaded;
        plan.record(pass, q, k, v, &mut out, &mut lse).unwrap();
    });
    assert_eq!(read::<f32>(gpu(), &lse), expected.lse);
    let mask = gpu().read_mask_blocking(plan.mask().unwrap()).unwrap();
    assert_eq!(mask, expected.mask);
}

fn tokens_first_of(x: &Tensor<f32>) -> Tensor<f32> {
    let &[batch, heads, tokens, dim] = x.shape() else {
        panic!("{:?}", x.shape());
    };
    let data = (0..batch * tokens * heads).flat_map(|at| {
        let (item, token, head) = (at / heads / tokens, at / heads % tokens, at % heads);
        let row = (item * heads + head) * tokens + token;
        x.data()[row * dim..(row + 1) * dim].to_vec()
    });
    Tensor::new(vec![batch, tokens, heads, dim], data.collect())
}

/// The device counts the blocks of a shared mask once for each sparse head that follows it.
#[test]
fn the_device_decides_by_what_all_query_heads_attend_to() {
    // Two sparse heads follow one mask, one follows the other.
    let kinds = {
        let [first, second, third, window, other, _] = MIXED;
        [first, second, third, window, other, HeadKind::Sparse]
    };
    let shape = shape(128, 128);
    let options = XAttentionOptions {
        head_kinds: Some(kinds.to_vec()),
        threshold: Threshold::PerHead(vec![0.9, 0.3]),
        ..options()
    };
    let [q, k, v] = inputs::<f32>(shape);
    let uploaded = [&q, &k, &v].map(|x| gpu().upload(x).unwrap());
    let alone = run_uploaded::<f32>(&XAttention::new(shape, options.clone()), &uploaded);
    let selected = [0, 1].map(|item| [0, 1].map(|head| alone.mask.count_of_head(item, head)));
    let [[a, b], [c, d]] = selected;
    // Otherwise it would be the same if each mask counted once.
    assert!(a > b + 4 && c > d + 4, "{selected:?}");
    let reachable = 36;
    #[expect(clippy::cast_precision_loss, reason = "a number of blocks")]
    let density = (2 * (a + c) + b + d) as f64 / (6.0 * 36.0);
    for (efficiency, attended) in [
        (density + 0.01, Attended::Sparse),
        (density - 0.01, Attended::Dense),
    ] {
        let problem = XAttention {
            policy: Policy::Auto(attention_alone(efficiency)),
            ..XAttention::new(shape, options.clone())
        };
        let plan = gpu().plan_blocking(&problem).unwrap();
        assert_eq!(plan.decision(), Decision::OnDevice);
        let mut out = poisoned::<f32>(gpu(), q.shape());
        let mut lse = poisoned::<f32>(gpu(), &q.shape()[..3]);
        submit(gpu(), |pass| {
            let [q, k, v] = &uploaded;
            plan.record(pass, q, k, v, &mut out, &mut lse).unwrap();
        });
        let outcome = plan.outcome_blocking().unwrap();
        assert_eq!(outcome.attended, attended, "{efficiency}");
        // A sink and a window of two blocks, or two sinks and a window of one: one block, two, then three a row.
        let window = 1 + 2 + 6 * 3;
        let of_item = |[first, second]: [usize; 2]| {
            let selected = [first, reachable, first, window, window, second];
            selected.map(|selected| HeadBlocks {
                selected,
                reachable,
            })
        };
        assert_eq!(outcome.heads, selected.map(of_item).concat());
        let expected = match attended {
            Attended::Sparse => alone.out.clone(),
            Attended::Dense => dense_out(&problem, &uploaded),
        };
        assert_eq!(read::<f32>(gpu(), &out), expected);
    }
}

fn dense_out(problem: &XAttention, [q, k, v]: &[sparse_gpu::GpuTensor; 3]) -> Vec<f64> {
    let plan = gpu().plan_blocking(&problem.dense_attention()).unwrap();
    let mut out = poisoned::<f32>(gpu(), q.shape());
    let mut lse = poisoned::<f32>(gpu(), &q.shape()[..3]);
    submit(gpu(), |pass| {
        plan.record(pass, q, k, v, None, &mut out, &mut lse)
            .unwrap();
    });
    read::<f32>(gpu(), &out)
}

#[test]
fn recordings_share_the_sums_one_after_the_other() {
    let shape = shape(64, 64);
    let plan = gpu()
        .plan_blocking(&XAttentionSelect::new(shape, options()))
        .unwrap();
    let score_shape = options().layout(shape).unwrap().score_shape();
    let upload = |seed| {
        #[expect(clippy::cast_possible_truncation, reason = "sixteenths are exact")]
        let numbers = sixteenths(score_shape, seed).into_iter().map(|x| x as f32);
        let tensor = Tensor::new(score_shape.to_vec(), numbers.collect());
        gpu().upload(&tensor).unwrap()
    };
    let scores = [upload(1), upload(2)];
    let mut masks = [(); 2].map(|()| plan.new_mask().unwrap());
    submit(gpu(), |pass| {
        for (scores, mask) in scores.iter().zip(&mut masks) {
            plan.record(pass, scores, mask).unwrap();
        }
    });
    for (seed, mask) in [1, 2].into_iter().zip(&masks) {
        let alone = gpu_select(&sixteenths(score_shape, seed), shape, &options(), None);
        assert_eq!(gpu().read_mask_blocking(mask).unwrap(), alone, "{seed}");
    }
}

#[test]
fn what_is_given_for_each_query_head_is_refused() {
    let shape = shape(64, 64);
    let refused = |change: &dyn Fn(&mut XAttentionOptions)| {
        let mut options = options();
        change(&mut options);
        let problem = XAttention {
            types: AttentionTypes::default(),
            ..XAttention::new(shape, options)
        };
        gpu().plan_blocking(&problem).unwrap_err().to_string()
    };
    let message = refused(&|o| o.threshold = Threshold::PerHead(vec![0.5; 6]));
    assert!(
        message.contains("6 thresholds for 2 key/value heads; give one for each of these"),
        "{message}"
    );
    let message = refused(&|o| o.forced = Some(BlockMask::dense(2, 6, 4, 4).unwrap()));
    assert!(
        message.contains("[2, 6, 4, 4] (batch, mask heads,")
            && message.contains("needs [2, 2, 4, 4]"),
        "{message}"
    );
    // A mask of every query head, where the selection writes one of every key head.
    let plan = gpu()
        .plan_blocking(&XAttentionSelect::new(shape, options()))
        .unwrap();
    let scores = poisoned::<f32>(gpu(), &[2, 6, 4, 4]);
    let mut mask = gpu().empty_mask([2, 6, 4, 4]).unwrap();
    let message = refusal(|pass| plan.record(pass, &scores, &mut mask));
    assert!(
        message.contains("[2, 6, 4, 4]") && message.contains("[2, 2, 4, 4]"),
        "{message}"
    );
}
