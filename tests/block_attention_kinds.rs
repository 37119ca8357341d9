//! `block_attention` with heads of several kinds and with capped logits, against the CPU reference.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::DType;
use sparse_core::attention::HeadKind;
use sparse_core::bounds::compare;
use sparse_gpu::{AttentionTile, AttentionTypes, BlockAttention};
use support::attention::{Case, DIRECT, TILED, TILES, attention_shape, scattered};
use support::gpu::gpu;

const fn streaming(sink_blocks: usize, recent_blocks: usize) -> HeadKind {
    HeadKind::Streaming {
        sink_blocks,
        recent_blocks,
    }
}

/// Four query heads, two key heads, blocks of 16.
fn four_heads(q_len: usize, k_len: usize, kinds: [HeadKind; 4]) -> BlockAttention {
    BlockAttention {
        block: 16,
        head_kinds: Some(kinds.to_vec()),
        ..BlockAttention::new(attention_shape(2, 4, 2, q_len, k_len, 8))
    }
}

#[test]
fn heads_of_every_kind_at_once() {
    let kinds = [
        HeadKind::Dense,
        streaming(1, 2),
        HeadKind::Sparse,
        streaming(2, 1),
    ];
    for tile in TILES {
        for causal in [false, true] {
            // Rows that stand before all keys, between them, in the middle of a block, and at its end.
            for (q_len, k_len) in [(0, 9), (9, 0), (1, 1), (100, 100), (33, 150), (150, 33)] {
                let problem = BlockAttention {
                    causal,
                    tile: Some(tile),
                    ..four_heads(q_len, k_len, kinds)
                };
                Case::new(&problem, Some(scattered(&problem, 40))).check();
            }
        }
    }
}

#[test]
fn streaming_heads_need_no_mask() {
    let kinds = [
        streaming(0, 1),
        streaming(3, 0),
        HeadKind::Dense,
        streaming(usize::MAX, 1),
    ];
    for tile in TILES {
        for causal in [false, true] {
            for (q_len, k_len) in [(100, 100), (33, 150), (150, 33)] {
                let problem = BlockAttention {
                    causal,
                    tile: Some(tile),
                    ..four_heads(q_len, k_len, kinds)
                };
                Case::new(&problem, None).check();
            }
        }
    }
}

#[test]
fn kinds_of_one_sort_are_the_plain_kernels() {
    let dense = four_heads(50, 50, [HeadKind::Dense; 4]);
    let sparse = four_heads(50, 50, [HeadKind::Sparse; 4]);
    let mask = scattered(&sparse, 50);
    for (problem, mask, walk) in [
        (dense, None, "all_blocks"),
        (sparse, Some(mask), "mask_blocks"),
    ] {
        let (with, explanation) = Case::new(&problem, mask.clone()).run();
        let plain = BlockAttention {
            head_kinds: None,
            ..problem
        };
        assert_eq!(with, Case::new(&plain, mask).run().0);
        assert!(explanation.kernel.contains(walk), "{explanation}");
    }
}

#[test]
fn kinds_that_make_no_sense_are_refused() {
    let dense = [HeadKind::Dense; 4];
    let few = BlockAttention {
        head_kinds: Some(vec![HeadKind::Dense; 3]),
        ..four_heads(8, 8, dense)
    };
    let masked = BlockAttention {
        masked: true,
        ..four_heads(8, 8, dense)
    };
    let sparse = [dense[0], dense[0], dense[0], HeadKind::Sparse];
    for (problem, text) in [
        (few, "3 head kinds are given for 4 query heads"),
        (masked, "no head is Sparse"),
        (
            four_heads(8, 8, sparse),
            "head 3 is Sparse and there is no mask",
        ),
        (four_heads(8, 8, [streaming(0, 0); 4]), "attends to nothing"),
    ] {
        let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

fn capped(soft_cap: f64, scale: f64, tile: AttentionTile) -> BlockAttention {
    BlockAttention {
        block: 32,
        soft_cap: Some(soft_cap),
        scale: Some(scale),
        tile: Some(tile),
        // More dimensions than one loop of `DIRECT` takes: the cap is of whole sums.
        ..BlockAttention::new(attention_shape(1, 2, 1, 70, 90, 40))
    }
}

#[test]
fn capped_logits_small_large_and_huge() {
    for tile in TILES {
        // Logits far below the cap, around it, and so far above that tanh would overflow.
        for (soft_cap, scale) in [
            (50.0, 0.25),
            (2.0, 1.0),
            (0.5, 3.0),
            (30.0, 1e5),
            (1e-3, 1e30),
        ] {
            let problem = capped(soft_cap, scale, tile);
            Case::new(&problem, None).check();
            Case::new(&problem, Some(scattered(&problem, 60))).check();
        }
    }
    let half = BlockAttention {
        types: AttentionTypes::all(DType::F16),
        ..capped(2.0, 1.0, TILED)
    };
    Case::new(&half, None).check();
}

#[test]
fn infinite_logits_lie_at_the_cap() {
    for tile in TILES {
        let mut case = Case::new(&capped(2.0, 0.25, tile), None);
        // All of a key has the sign of the query: no infinity meets its opposite.
        case.q.data_mut().fill(1.0);
        for (key, infinity) in [(3, f32::INFINITY), (50, f32::NEG_INFINITY)] {
            case.k.data_mut()[key * 40..(key + 1) * 40].fill(infinity);
        }
        let (outcome, _) = case.run();
        // The queries that see neither key, the first alone, and both.
        assert!(outcome.out.iter().all(|out| out.is_finite()), "{tile}");
        case.check();
    }
}

#[test]
fn a_high_cap_changes_nothing() {
    for tile in TILES {
        let case = Case::new(&capped(1e6, 0.25, tile), None);
        let (outcome, _) = case.run();
        let plain = BlockAttention {
            soft_cap: None,
            ..case.problem.clone()
        };
        let plain = Case::new(&plain, None);
        let reference = plain.reference();
        let bounds = plain.bounds(&reference);
        // The uncapped reference within the uncapped bound: relative accuracy of the tanh near 0.
        assert!(compare(outcome.out, &reference.out, &bounds.out).holds());
        assert!(compare(outcome.lse, &reference.lse, &bounds.lse).holds());
    }
}

#[test]
fn a_missing_cap_exceeds_the_bound() {
    let case = Case::new(&capped(1.0, 1.0, DIRECT), None);
    let plain = BlockAttention {
        soft_cap: None,
        ..case.problem.clone()
    };
    let (outcome, _) = Case::new(&plain, None).run();
    let reference = case.reference();
    let bounds = case.bounds(&reference);
    assert!(!compare(outcome.out, &reference.out, &bounds.out).holds());
    assert!(!compare(outcome.lse, &reference.lse, &bounds.lse).holds());
}

#[test]
fn caps_that_f32_does_not_hold_are_refused() {
    for soft_cap in [0.0, -3.0, f64::NAN, 1e39] {
        let problem = capped(soft_cap, 1.0, DIRECT);
        let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
        assert!(error.contains("soft cap"), "{error}");
    }
}
