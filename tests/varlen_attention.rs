//! `varlen_attention` against its CPU reference.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::DType;
use sparse_core::attention::{HeadKind, PackedShape, Packing};
use sparse_gpu::{
    AttentionTile, AttentionTypes, BlockAttention, Error, GpuTensor, VarlenAttention,
};
use support::attention::{Case, DIRECT, TILES, attention_shape};
use support::gpu::{gpu, submit};
use support::varlen::{VarlenCase, scattered};

/// Items without queries, without keys and without either; single tokens; prefill, a tail of a prompt, and more queries than keys.
const LENGTHS: [(usize, usize); 10] = [
    (40, 40),
    (0, 0),
    (1, 70),
    (0, 5),
    (5, 0),
    (33, 100),
    (1, 1),
    (64, 32),
    (17, 17),
    (16, 161),
];

fn shape(lengths: &[(usize, usize)], q_heads: usize, kv_heads: usize, dim: usize) -> PackedShape {
    let (q, k): (Vec<_>, Vec<_>) = lengths.iter().copied().unzip();
    let [q, k] = [q, k].map(|lengths| Packing::of_lengths(&lengths).unwrap());
    PackedShape::try_new(q_heads, kv_heads, dim, q, k).unwrap()
}

fn problem(lengths: &[(usize, usize)], tile: AttentionTile) -> VarlenAttention {
    VarlenAttention {
        block: 32,
        tile: Some(tile),
        ..VarlenAttention::new(shape(lengths, 4, 2, 8))
    }
}

#[test]
fn items_of_every_length_dense_and_masked() {
    for tile in TILES {
        for causal in [false, true] {
            let problem = VarlenAttention {
                causal,
                ..problem(&LENGTHS, tile)
            };
            VarlenCase::new(&problem, None).check();
            VarlenCase::new(&problem, Some(scattered(&problem, 50))).check();
        }
    }
}

/// Sequences that are generated together, each in a slot of a cache.
#[test]
fn keys_with_room_behind_them() {
    for (queries, keys) in [
        ([1, 1, 1], [600, 33, 1]),
        ([20, 0, 5], [64, 7, 600]),
        ([1, 3, 2], [0, 600, 0]),
    ] {
        let packed = PackedShape::try_new(
            4,
            2,
            8,
            Packing::of_lengths(&queries).unwrap(),
            Packing::in_slots(640, &keys).unwrap(),
        );
        for tile in TILES {
            let problem = VarlenAttention {
                block: 32,
                tile: Some(tile),
                ..VarlenAttention::new(packed.clone().unwrap())
            };
            VarlenCase::new(&problem, None).check();
            VarlenCase::new(&problem, Some(scattered(&problem, 50))).check();
        }
    }
}

#[test]
fn no_items_and_items_without_tokens() {
    for lengths in [&[][..], &[(0, 0)], &[(0, 7), (0, 0)], &[(3, 0), (1, 0)]] {
        let problem = problem(lengths, DIRECT);
        VarlenCase::new(&problem, None).check();
        VarlenCase::new(&problem, Some(scattered(&problem, 50))).check();
    }
}

#[test]
fn storage_types_and_rows_that_share_words() {
    for tile in TILES {
        // An odd number of halves before most items: 3 heads of 5 elements.
        for (heads, dim, dtype) in [(4, 8, DType::F16), (3, 5, DType::Bf16), (3, 6, DType::F16)] {
            let problem = VarlenAttention {
                block: 32,
                tile: Some(tile),
                types: AttentionTypes::all(dtype),
                ..VarlenAttention::new(shape(&LENGTHS, heads, 1, dim))
            };
            VarlenCase::new(&problem, None).check();
        }
    }
}

#[test]
fn the_tile_of_the_plan() {
    let problem = VarlenAttention::new(shape(&[(200, 300), (1, 500), (129, 129)], 2, 1, 64));
    let case = VarlenCase::new(&problem, Some(scattered(&problem, 60)));
    let explanation = case.check();
    assert!(
        explanation.to_string().contains("3 items in one list"),
        "{explanation}"
    );
}

/// A mask has room for the longest item in each: more blocks than can be counted or bound, where none is given.
#[test]
fn without_a_mask_its_size_is_of_no_account() {
    let lengths: Vec<_> = std::iter::once((131_072, 131_072))
        .chain((0..127).map(|_| (1, 1)))
        .collect();
    let problem = VarlenAttention::new(shape(&lengths, 32, 1, 4));
    let plan = gpu().plan_blocking(&problem).unwrap();
    let explanation = plan.explain().to_string();
    assert!(!explanation.contains("slices"), "{explanation}");
    let masked = VarlenAttention {
        block: 16,
        masked: true,
        ..problem
    };
    let error = gpu().plan_blocking(&masked).unwrap_err().to_string();
    assert!(
        error.contains("words of the mask is 128 x 32 x 8192 x 256"),
        "{error}"
    );
}

#[test]
fn heads_of_several_kinds_under_a_soft_cap() {
    let window = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    for tile in TILES {
        let problem = VarlenAttention {
            soft_cap: Some(2.0),
            head_kinds: Some(vec![window, HeadKind::Sparse, HeadKind::Dense, window]),
            ..problem(&LENGTHS, tile)
        };
        VarlenCase::new(&problem, Some(scattered(&problem, 50))).check();
    }
}

#[test]
fn items_are_independent() {
    for tile in TILES {
        let problem = problem(&LENGTHS, tile);
        let case = VarlenCase::new(&problem, None);
        let (before, _) = case.run();
        // Item 5 stays, everything else becomes NaN: keys and values around it are what its last, partial steps could touch.
        let mut other = case.clone();
        let [q, k] = [problem.shape.q(), problem.shape.k()].map(|p| p.ranges().nth(5).unwrap());
        for (tensor, range, heads) in [
            (&mut other.q, &q, 4),
            (&mut other.k, &k, 2),
            (&mut other.v, &k, 2),
        ] {
            let row = heads * 8;
            let data = tensor.data_mut();
            data[..range.start * row].fill(f32::NAN);
            data[range.end * row..].fill(f32::NAN);
        }
        let (after, _) = other.run();
        let row = 4 * 8;
        let own = q.start * row..q.end * row;
        assert_eq!(before.out[own.clone()], after.out[own]);
        let total = problem.shape.q().total();
        for head in 0..4 {
            let own = head * total + q.start..head * total + q.end;
            assert_eq!(before.lse[own.clone()], after.lse[own]);
        }
    }
}

#[test]
fn equal_items_are_a_batch() {
    // One head, so that packed items are the items of a batch.
    for tile in TILES {
        let batch = BlockAttention {
            block: 32,
            tile: Some(tile),
            ..BlockAttention::new(attention_shape(3, 1, 1, 50, 70, 8))
        };
        let batch = Case::new(&batch, None);
        let packed = VarlenAttention {
            block: 32,
            tile: Some(tile),
            ..VarlenAttention::new(shape(&[(50, 70); 3], 1, 1, 8))
        };
        let mut case = VarlenCase::new(&packed, None);
        for (packed, batch) in [
            (&mut case.q, &batch.q),
            (&mut case.k, &batch.k),
            (&mut case.v, &batch.v),
        ] {
            packed.data_mut().copy_from_slice(batch.data());
        }
        let (packed, batch) = (case.run().0, batch.run().0);
        assert_eq!(packed.out, batch.out);
        assert_eq!(packed.lse, batch.lse);
    }
}

#[test]
fn operands_above_a_binding_go_in_slices_of_items() {
    // Keys of 150 MB, of which a binding holds two items of three.
    let problem = VarlenAttention {
        types: AttentionTypes {
            out: DType::Bf16,
            ..AttentionTypes::default()
        },
        ..VarlenAttention::new(shape(
            &[(3, 100_000), (2, 100_000), (4, 100_000)],
            2,
            1,
            128,
        ))
    };
    let case = VarlenCase::new(&problem, None);
    let explanation = case.check();
    assert!(
        explanation.to_string().contains("2 slices of items"),
        "{explanation}"
    );
}

/// One long item among thousands of short ones: where its keys have to be divided, every query has sums of every part.
#[test]
fn sums_that_cannot_be_bound_are_refused() {
    let mut lengths = vec![(1, 1); 20_000];
    lengths[7] = (1, 200_000);
    let problem = VarlenAttention::new(shape(&lengths, 8, 1, 64));
    let planned = gpu().plan_blocking(&problem);
    if gpu().adapter().name.starts_with("llvmpipe") {
        let error = planned.unwrap_err().to_string();
        assert!(
            error.starts_with(
                "sums of varlen_attention with 20000 queries in all, whose keys are divided, needs bindings of "
            ) && error.ends_with("or split the items over several plans"),
            "{error}"
        );
    } else {
        assert!(planned.is_ok());
    }
}

#[test]
fn impossible_problems_say_what_is_possible() {
    let good = problem(&[(4, 4)], DIRECT);
    let cases = [
        (
            VarlenAttention {
                block: 24,
                ..good.clone()
            },
            "multiples of 16",
        ),
        (
            VarlenAttention::new(shape(&[(4, 4)], 1, 1, 257)),
            "1 to 256",
        ),
        (
            VarlenAttention {
                head_kinds: Some(vec![HeadKind::Sparse; 4]),
                ..good.clone()
            },
            "head 0 is Sparse and there is no mask",
        ),
        (
            VarlenAttention {
                soft_cap: Some(-1.0),
                ..good.clone()
            },
            "soft cap",
        ),
        (
            VarlenAttention::new(shape(&[(1 << 29, 1)], 4, 2, 8)),
            "split the problem",
        ),
        (
            VarlenAttention {
                tile: Some(AttentionTile::Tiled {
                    queries: 64,
                    split: 16,
                }),
                block: 128,
                ..good
            },
            "16384",
        ),
    ];
    for (problem, text) in cases {
        let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
        assert!(
            error.starts_with("varlen_attention: ") && error.contains(text),
            "{error}"
        );
    }
    let long = VarlenAttention::new(shape(&[(1, 7), (1, 200_000)], 1, 1, 256));
    let error = gpu().plan_blocking(&long).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unavailable { .. }), "{text}");
    assert!(
        text.contains("item 1 of q_len = 1 and k_len = 200000"),
        "{text}"
    );
}

#[test]
fn wrong_operands_are_refused_by_name() {
    let gpu = gpu();
    let plan = gpu
        .plan_blocking(&problem(&[(4, 6), (1, 1)], DIRECT))
        .unwrap();
    let f32 = |shape: &[usize]| gpu.empty_tensor(shape, DType::F32).unwrap();
    let (q, k, v) = (f32(&[5, 4, 8]), f32(&[7, 2, 8]), f32(&[7, 2, 8]));
    let (out, lse) = (f32(&[5, 4, 8]), f32(&[4, 5]));
    let mask = gpu.empty_mask([2, 4, 1, 1]).unwrap();
    let refused = |q: &GpuTensor, k: &GpuTensor, out: &GpuTensor, lse: &GpuTensor, mask| {
        let mut result = Ok(());
        submit(gpu, |pass| {
            result = plan.record(pass, q, k, &v, mask, &mut out.clone(), &mut lse.clone());
        });
        result.unwrap_err().to_string()
    };
    for (error, with) in [
        (refused(&k, &k, &out, &lse, None), "q has shape"),
        (refused(&q, &q, &out, &lse, None), "k has shape"),
        (refused(&q, &k, &lse, &lse, None), "out has shape"),
        (refused(&q, &k, &out, &out, None), "lse has shape"),
        (
            refused(&q, &k, &q, &lse, None),
            "out shares its buffer with q",
        ),
        (
            refused(&q, &k, &out, &lse, Some(&mask)),
            "the plan was made without a mask",
        ),
    ] {
        let with = format!("varlen_attention: {with}");
        assert!(error.starts_with(&with), "{error}");
    }
}
