//! `varlen_xattention`: packed sequences, each against what it is alone and against the CPU twin.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod packed;
    pub(crate) mod packed_xattention;
    pub(crate) mod xattention_run;
}

use half::{bf16, f16};
use sparse_core::DType;
use sparse_core::attention::{HeadKind, MaskHeads, PackedShape, Packing};
use sparse_core::mask::BlockMask;
use sparse_core::xattention::{
    Mode, ReferenceOptions, Threshold, XAttentionOptions, varlen_xattention,
};
use sparse_gpu::{Attended, CostModel, Error, GpuTensor, Policy, VarlenXAttention};
use support::gpu::{gpu, poisoned, read, submit};
use support::packed_xattention::{check_packed, forced, packed, packed_inputs, run_packed};

/// Items without queries, without keys and without either; single tokens; prefill, a tail of a prompt, more queries than keys.
const LENGTHS: [(usize, usize); 9] = [
    (40, 40),
    (0, 0),
    (1, 70),
    (0, 5),
    (5, 0),
    (33, 130),
    (1, 1),
    (64, 32),
    (90, 90),
];

/// Four query heads on two key heads.
const HEADS: [usize; 3] = [4, 2, 8];

fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 16,
        stride: 4,
        threshold: 0.6.into(),
        ..XAttentionOptions::default()
    }
}

fn problem(lengths: &[(usize, usize)], options: XAttentionOptions) -> VarlenXAttention {
    VarlenXAttention::new(packed(lengths, HEADS), options)
}

#[test]
fn items_of_every_length_select_what_they_select_alone() {
    for causal in [true, false] {
        for threshold in [0.0, 0.6, 1.0] {
            let options = XAttentionOptions {
                causal,
                threshold: threshold.into(),
                ..options()
            };
            let problem = problem(&LENGTHS, options);
            check_packed::<f32>(&format!("causal {causal}, {threshold}"), &problem);
        }
    }
}

#[test]
fn storage_types_and_rows_that_share_words() {
    let options = || XAttentionOptions {
        block: 48,
        stride: 3,
        ..options()
    };
    // An odd number of halves before most items: 3 heads of 5 elements.
    for heads in [HEADS, [3, 1, 5], [3, 3, 6]] {
        let problem = VarlenXAttention::new(packed(&LENGTHS, heads), options());
        check_packed::<f16>(&format!("f16 {heads:?}"), &problem);
        check_packed::<bf16>(&format!("bf16 {heads:?}"), &problem);
        check_packed::<f32>(&format!("f32 {heads:?}"), &problem);
    }
}

/// With one key head its rows are those of a matrix, from any token on.
#[test]
fn keys_that_are_read_where_they_are() {
    let lengths = [(3, 20), (40, 64), (17, 100)];
    for (head_dim, in_place) in [(8, true), (6, false)] {
        let problem = VarlenXAttention::new(packed(&lengths, [2, 1, head_dim]), options());
        let run = check_packed::<f32>(&format!("head_dim {head_dim}"), &problem);
        let explanation = run.plan.explain().to_string();
        let note = explanation.contains("k is read where it is");
        assert_eq!(note, in_place, "{explanation}");
    }
}

/// Prompts read in chunks, each on top of what its slot of a cache holds.
#[test]
fn keys_with_room_behind_them() {
    for (queries, keys) in [([32, 1, 20], [64, 33, 20]), ([7, 0, 64], [160, 7, 64])] {
        let shape = PackedShape::try_new(
            4,
            2,
            8,
            Packing::of_lengths(&queries).unwrap(),
            Packing::in_slots(160, &keys).unwrap(),
        );
        let problem = VarlenXAttention::new(shape.unwrap(), options());
        check_packed::<f32>(&format!("{keys:?}"), &problem);
    }
}

#[test]
fn counts_thresholds_and_modes() {
    let per_head = Threshold::PerHead(vec![0.2, 0.9, 0.0, 1.0]);
    let reference = ReferenceOptions {
        chunk: Some(64),
        keep_sink: true,
        keep_recent: true,
        ..ReferenceOptions::default()
    };
    let cases = [
        (
            "counts",
            XAttentionOptions {
                top_k: Some(3),
                ..options()
            },
        ),
        (
            "per head",
            XAttentionOptions {
                threshold: per_head,
                ..options()
            },
        ),
        (
            "sinks",
            XAttentionOptions {
                sink_blocks: 1,
                recent_blocks: 2,
                causal: false,
                ..options()
            },
        ),
        (
            "soft cap",
            XAttentionOptions {
                soft_cap: Some(2.0),
                scale: Some(0.5),
                ..options()
            },
        ),
    ];
    for (what, options) in cases {
        check_packed::<f32>(what, &problem(&LENGTHS, options));
    }
    // Items that fill more chunks of queries than of keys cannot be scored in Reference mode.
    let lengths: Vec<_> = LENGTHS.into_iter().filter(|&(q, k)| q <= k).collect();
    for causal in [true, false] {
        let options = XAttentionOptions {
            causal,
            mode: Mode::Reference(reference),
            ..options()
        };
        check_packed::<f32>(&format!("Reference, {causal}"), &problem(&lengths, options));
    }
}

#[test]
fn forced_blocks_of_each_item() {
    let lengths: Vec<_> = LENGTHS.into_iter().filter(|&(q, k)| q <= k).collect();
    let reference = ReferenceOptions {
        chunk: Some(64),
        ..ReferenceOptions::default()
    };
    for mode in [Mode::Exact, Mode::Reference(reference)] {
        for mask_heads in [MaskHeads::Query, MaskHeads::Key] {
            let mut problem = problem(
                &lengths,
                XAttentionOptions {
                    threshold: 0.2.into(),
                    mode,
                    mask_heads,
                    ..options()
                },
            );
            problem.options.forced = Some(forced(&problem));
            check_packed::<f32>(&format!("{mode:?} {mask_heads:?}"), &problem);
        }
    }
}

const WINDOW: HeadKind = HeadKind::Streaming {
    sink_blocks: 1,
    recent_blocks: 1,
};

#[test]
fn heads_of_several_kinds_and_masks_that_they_share() {
    let kinds = [HeadKind::Sparse, WINDOW, HeadKind::Dense, HeadKind::Sparse];
    for mask_heads in [MaskHeads::Query, MaskHeads::Key] {
        for kinds in [None, Some(kinds.to_vec())] {
            let options = XAttentionOptions {
                head_kinds: kinds.clone(),
                mask_heads,
                ..options()
            };
            let what = format!("{mask_heads:?} {kinds:?}");
            check_packed::<f32>(&what, &problem(&LENGTHS, options));
        }
    }
}

/// Each item's mask is that of the CPU twin, where no score is near a cut.
#[test]
fn masks_are_those_of_the_cpu_twin() {
    let problem = problem(&[(100, 100), (20, 180)], options());
    let qkv = packed_inputs::<f32>(&problem.shape);
    let [q, k, v] = &qkv;
    let expected = varlen_xattention(q, k, v, &problem.shape, &problem.options).unwrap();
    let masks: Vec<_> = expected.into_iter().map(|item| item.mask).collect();
    let expected = problem
        .shape
        .pack_masks(&masks, 16, MaskHeads::Query)
        .unwrap();
    let run = run_packed(&problem, &qkv);
    let mask = run.mask.unwrap();
    let [items, heads, rows, columns] = mask.shape();
    for (item, shape) in problem.shape.item_shapes().enumerate() {
        let [_, _, own_rows, own_columns] = shape.mask_shape(16);
        for (head, row, column) in (0..heads)
            .flat_map(|h| (0..rows).flat_map(move |i| (0..columns).map(move |j| (h, i, j))))
        {
            if row < own_rows {
                let (actual, expected) = (
                    mask.get(item, head, row, column),
                    expected.get(item, head, row, column),
                );
                assert_eq!(
                    actual,
                    expected,
                    "{:?} of {items}",
                    (item, head, row, column)
                );
                assert!(column < own_columns || !actual);
            }
        }
    }
    // The density of an outcome is that of the mask among the blocks that can be reached.
    for (item, outcome) in run.outcomes.iter().enumerate() {
        assert_eq!(outcome.attended, Attended::Sparse);
        let selected: usize = outcome.heads.iter().map(|head| head.selected).sum();
        assert_eq!(selected, masks[item].count());
    }
}

#[test]
fn items_are_independent() {
    let problem = problem(&LENGTHS, options());
    let qkv = packed_inputs::<f32>(&problem.shape);
    let before = run_packed(&problem, &qkv);
    // Item 5 stays, everything else becomes NaN.
    let mut other = qkv;
    let [q, k] = [problem.shape.q(), problem.shape.k()].map(|p| p.ranges().nth(5).unwrap());
    for (tensor, range, heads) in [(0, &q, 4), (1, &k, 2), (2, &k, 2)] {
        let row = heads * 8;
        let data = other[tensor].data_mut();
        data[..range.start * row].fill(f32::NAN);
        data[range.end * row..].fill(f32::NAN);
    }
    let after = run_packed(&problem, &other);
    let row = 4 * 8;
    let own = q.start * row..q.end * row;
    assert_eq!(before.out[own.clone()], after.out[own]);
    let masks = [&before, &after].map(|run| {
        let mask = run.mask.as_ref().unwrap();
        problem
            .shape
            .unpack_mask(mask, 16, MaskHeads::Query)
            .unwrap()
    });
    assert_eq!(masks[0][5], masks[1][5]);
    assert_ne!(masks[0][8], masks[1][8]);
}

/// Another layer attends to the blocks that this one selected.
#[test]
fn a_selection_serves_other_attention() {
    let problem = problem(&LENGTHS, options());
    let qkv = packed_inputs::<f32>(&problem.shape);
    let run = run_packed(&problem, &qkv);
    let plan = gpu().plan_blocking(&problem.attention()).unwrap();
    let [q, k, v] = [0, 1, 2].map(|i| gpu().upload(&qkv[i]).unwrap());
    let mut out = poisoned::<f32>(gpu(), q.shape());
    let mut lse = poisoned::<f32>(gpu(), &[4, q.shape()[0]]);
    submit(gpu(), |pass| {
        let mask = run.plan.mask();
        plan.record(pass, &q, &k, &v, mask, &mut out, &mut lse)
            .unwrap();
    });
    assert_eq!(run.out, read::<f32>(gpu(), &out));
}

/// Hundreds of sequences of the same lengths share their steps, and the memory of one.
#[test]
fn many_items_take_the_scratch_memory_of_one() {
    let bytes = |items: usize| {
        let problem = VarlenXAttention::new(packed(&vec![(16, 300); items], HEADS), options());
        let plan = gpu().plan_blocking(&problem).unwrap();
        let mask = plan.mask().unwrap().buffer().size();
        let attention = plan.steps().last().unwrap().scratch_bytes;
        plan.explain().scratch_bytes - mask - attention
    };
    assert_eq!(bytes(300), bytes(1));
    let problem = VarlenXAttention::new(packed(&[(16, 300); 40], HEADS), options());
    check_packed::<f32>("40 items", &problem);
}

#[test]
fn operands_above_a_binding() {
    // Keys of 150 MB, of which a binding holds two items of three.
    let lengths = [(3, 100_000), (130, 100_000), (4, 100_000)];
    let options = XAttentionOptions {
        block: 128,
        stride: 16,
        top_k: Some(9),
        ..options()
    };
    let problem = VarlenXAttention::new(packed(&lengths, [2, 1, 128]), options);
    let run = check_packed::<f32>("above a binding", &problem);
    let explanation = run.plan.explain().to_string();
    assert!(explanation.contains("2 slices of items"), "{explanation}");
}

#[test]
fn impossible_problems_say_what_is_possible() {
    let refused = |problem: VarlenXAttention| {
        let error = gpu().plan_blocking(&problem).unwrap_err();
        error.to_string()
    };
    let with = |change: fn(&mut XAttentionOptions)| {
        let mut options = options();
        change(&mut options);
        problem(&LENGTHS, options)
    };
    let reference = with(|options| {
        options.mode = Mode::Reference(ReferenceOptions {
            chunk: Some(32),
            ..ReferenceOptions::default()
        });
    });
    let chunks = problem(
        &[(16, 16), (40, 4000)],
        XAttentionOptions {
            stride: 16,
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(1 << 24),
                ..ReferenceOptions::default()
            }),
            ..options()
        },
    );
    let items_of_sixteen = |lengths: &[(usize, usize)], heads| {
        let options = XAttentionOptions {
            stride: 16,
            ..options()
        };
        VarlenXAttention::new(packed(lengths, [heads, 1, 4]), options)
    };
    let costs = VarlenXAttention {
        policy: Policy::Auto(CostModel {
            efficiency: 0.0,
            ..CostModel::of_class(gpu().class())
        }),
        ..problem(&LENGTHS, options())
    };
    for (problem, text) in [
        (
            with(|options| options.block = 24),
            "varlen_xattention: block is 24",
        ),
        (
            with(|options| options.stride = 5),
            "stride 5 does not divide block 16",
        ),
        (
            with(|options| options.head_kinds = Some(vec![HeadKind::Sparse; 3])),
            "varlen_xattention: ",
        ),
        (
            with(|options| options.threshold = Threshold::PerHead(vec![0.5])),
            "item 0: 1 thresholds for 4 query heads",
        ),
        (
            with(|options| options.forced = Some(BlockMask::dense(1, 4, 6, 9).unwrap())),
            "[1, 4, 6, 9]",
        ),
        (
            reference,
            "item 4: 5 query tokens fill more chunks of 32 than 0 key tokens do",
        ),
        (costs, "varlen_xattention: the cost model's efficiency is 0"),
        (
            items_of_sixteen(&[(16, 16), (40_000, 40_000)], 32),
            "item 1: scores [1, 32, 2500, 2500] of varlen_xattention needs a buffer of 800000000 bytes",
        ),
        (
            items_of_sixteen(&[vec![(16, 16); 3000], vec![(16_384, 16_384)]].concat(), 8),
            "the mask of varlen_xattention with 3001 items needs a buffer of 3146776576 bytes, 1048576 for each item, as the longest has 1024 x 1024 blocks",
        ),
        (
            chunks,
            "item 0: xattention_score: scores is 1 x 4 x 1048576 x 1048576",
        ),
        (
            VarlenXAttention::new(packed(&[(1 << 29, 1)], HEADS), options()),
            "split the problem",
        ),
    ] {
        let error = refused(problem);
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn wrong_operands_are_refused_by_name() {
    let gpu = gpu();
    let plan = gpu
        .plan_blocking(&problem(&[(4, 6), (1, 1)], options()))
        .unwrap();
    let f32 = |shape: &[usize]| gpu.empty_tensor(shape, DType::F32).unwrap();
    let (q, k, v) = (f32(&[5, 4, 8]), f32(&[7, 2, 8]), f32(&[7, 2, 8]));
    let (out, lse) = (f32(&[5, 4, 8]), f32(&[4, 5]));
    let refused = |q: &GpuTensor, k: &GpuTensor, v: &GpuTensor, out: &GpuTensor| {
        let mut result = Ok(());
        submit(gpu, |pass| {
            result = plan.record(pass, q, k, v, &mut out.clone(), &mut lse.clone());
        });
        result.unwrap_err().to_string()
    };
    let mask = plan.mask().unwrap().buffer().clone();
    // A tensor of one item in the mask's memory: its shape is wrong, which is said first.
    let in_mask = gpu.tensor_in(mask, 0, &[4], DType::F32).unwrap();
    for (error, with) in [
        (refused(&k, &k, &v, &out), "q has shape"),
        (refused(&q, &q, &v, &out), "k has shape"),
        (refused(&q, &k, &q, &out), "v has shape"),
        (refused(&q, &k, &v, &v), "out has shape"),
        (refused(&q, &k, &v, &q), "out shares its buffer with q"),
        (refused(&in_mask, &k, &v, &out), "q has shape"),
    ] {
        let with = format!("varlen_xattention: {with}");
        assert!(error.starts_with(&with), "{error}");
    }
    // One query in one dimension is small enough to lie in a mask.
    let small = VarlenXAttention::new(packed(&[(1, 1)], [1, 1, 1]), options());
    let plan = gpu.plan_blocking(&small).unwrap();
    let own = plan.mask().unwrap().buffer().clone();
    let own = gpu.tensor_in(own, 0, &[1, 1, 1], DType::F32).unwrap();
    let other = || f32(&[1, 1, 1]);
    let mut lse = f32(&[1, 1]);
    let mut results = Vec::new();
    submit(gpu, |pass| {
        results.push(plan.record(pass, &own, &other(), &other(), &mut other(), &mut lse));
        results.push(plan.record(
            pass,
            &other(),
            &other(),
            &other(),
            &mut own.clone(),
            &mut lse,
        ));
    });
    for result in results {
        assert!(matches!(result, Err(Error::Aliased { .. })), "{result:?}");
    }
}
