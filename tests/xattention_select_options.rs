//! `xattention_select` on the GPU with what it is told besides a share of the mass: a fixed count, forced blocks, kinds of heads.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

use sparse_core::attention::{AttentionShape, HeadKind};
use sparse_core::mask::{BlockGrid, BlockMask};
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use support::xattention::{assert_same_as_reference, gpu_select, sixteenths};

/// Lengths with two-block diagonals, rows without keys, partly filled and many words.
const LENGTHS: [(usize, usize); 7] = [
    (1, 1),
    (5, 80),
    (80, 5),
    (64, 64),
    (66, 131),
    (0, 40),
    (3, 290),
];

fn shape(q_len: usize, k_len: usize) -> AttentionShape {
    AttentionShape::try_new(2, 3, 1, q_len, k_len, 4).unwrap()
}

fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 4,
        stride: 2,
        threshold: 0.5.into(),
        ..XAttentionOptions::default()
    }
}

fn reference(chunk: usize) -> Mode {
    Mode::Reference(ReferenceOptions {
        chunk: Some(chunk),
        ..ReferenceOptions::default()
    })
}

/// Another pattern in every head and item, blocks out of reach included.
fn scattered(shape: AttentionShape) -> BlockMask {
    let [batch, heads, q_blocks, k_blocks] = shape.mask_shape(4);
    BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |b, h, i, j| {
        (3 * b + 5 * h + 2 * i + j) % 7 == 0
    })
    .unwrap()
}

#[test]
fn a_fixed_count_is_decided_as_by_the_reference() {
    let mut seed = 0;
    for (q_len, k_len) in LENGTHS {
        for top_k in [1, 2, 5, 1000] {
            for (causal, sink_blocks, forced) in [
                (true, 0, false),
                (false, 0, false),
                (false, 2, false),
                (true, 1, true),
                (false, 0, true),
            ] {
                seed += 1;
                let shape = shape(q_len, k_len);
                let options = XAttentionOptions {
                    top_k: Some(top_k),
                    causal,
                    sink_blocks,
                    forced: forced.then(|| scattered(shape)),
                    ..options()
                };
                assert_same_as_reference(shape, &options, seed);
            }
        }
    }
}

#[test]
fn rows_have_as_many_blocks_as_asked_for() {
    let shape = shape(64, 64);
    for top_k in 1..20 {
        let options = XAttentionOptions {
            top_k: Some(top_k),
            ..options()
        };
        let layout = options.layout(shape).unwrap();
        let scores = sixteenths(layout.score_shape(), 5);
        let mask = gpu_select(&scores, shape, &options, None);
        for i in 0..16 {
            // Block 0 and the diagonal are forced.
            let forced = 1 + usize::from(i > 0);
            let expected = top_k.max(forced).min(i + 1);
            assert_eq!(mask.row(1, 2, i).count(), expected, "row {i} of {top_k}");
        }
    }
}

#[test]
fn forced_blocks_of_a_mask_are_decided_as_by_the_reference() {
    let mut seed = 100;
    for (q_len, k_len) in LENGTHS {
        for threshold in [0.0, 0.25, 0.75, 1.0] {
            for (causal, mode) in [
                (true, Mode::Exact),
                (false, Mode::Exact),
                (true, reference(8)),
                (false, reference(16)),
            ] {
                seed += 1;
                let shape = shape(q_len, k_len);
                let options = XAttentionOptions {
                    threshold: threshold.into(),
                    causal,
                    mode,
                    forced: Some(scattered(shape)),
                    ..options()
                };
                if mode != Mode::Exact && q_len > k_len {
                    // Reference mode has no more query chunks than key chunks.
                    assert!(options.layout(shape).is_err());
                    continue;
                }
                assert_same_as_reference(shape, &options, seed);
            }
        }
    }
}

/// The union of a static pattern with a scored one holds the pattern, and no more where the pattern is enough.
#[test]
fn a_window_is_united_with_what_the_scores_select() {
    let shape = shape(64, 64);
    let grid = BlockGrid {
        batch: 2,
        heads: 3,
        q_len: 64,
        k_len: 64,
        block: 4,
    };
    let window = BlockMask::sliding_window(&grid, 10).unwrap();
    let pattern = window
        .union(&BlockMask::dilated(&grid, 3, 4).unwrap())
        .unwrap();
    let with = |threshold: f64, forced| {
        let options = XAttentionOptions {
            threshold: threshold.into(),
            forced,
            ..options()
        };
        let layout = options.layout(shape).unwrap();
        gpu_select(&sixteenths(layout.score_shape(), 3), shape, &options, None)
    };
    let united = with(0.75, Some(pattern.clone()));
    assert_eq!(united.union(&pattern).unwrap(), united);
    assert!(united.count() > pattern.count());
    // Without a share to reach: the pattern, block 0 and the diagonal, which the pattern has.
    let sinks = BlockMask::sinks(&grid, 1).unwrap();
    assert_eq!(
        with(0.0, Some(pattern.clone())),
        pattern.union(&sinks).unwrap()
    );
}

#[test]
fn rows_of_other_kinds_of_heads_hold_what_the_kind_means() {
    let streaming = HeadKind::Streaming {
        sink_blocks: 2,
        recent_blocks: 3,
    };
    let mut seed = 200;
    for (q_len, k_len) in LENGTHS {
        for (causal, mode, top_k) in [
            (true, Mode::Exact, None),
            (false, Mode::Exact, None),
            (true, Mode::Exact, Some(2)),
            (true, reference(8), None),
            (false, reference(16), None),
        ] {
            let shape = shape(q_len, k_len);
            for kinds in [
                vec![HeadKind::Sparse, streaming, HeadKind::Dense],
                vec![streaming, HeadKind::Dense, streaming],
            ] {
                seed += 1;
                let options = XAttentionOptions {
                    causal,
                    mode,
                    top_k,
                    head_kinds: Some(kinds),
                    ..options()
                };
                if mode == Mode::Exact || q_len <= k_len {
                    assert_same_as_reference(shape, &options, seed);
                }
            }
        }
    }
}

/// What a head that is not scored finds in its scores has no influence.
#[test]
fn scores_of_heads_that_are_not_sparse_are_not_read() {
    let shape = shape(64, 64);
    let options = XAttentionOptions {
        head_kinds: Some(vec![
            HeadKind::Dense,
            HeadKind::Streaming {
                sink_blocks: 1,
                recent_blocks: 2,
            },
            HeadKind::Sparse,
        ]),
        ..options()
    };
    let layout = options.layout(shape).unwrap();
    let mut scores = sixteenths(layout.score_shape(), 1);
    for lanes in [Some(1), Some(32)] {
        let expected = gpu_select(&scores, shape, &options, lanes);
        for (at, score) in scores.iter_mut().enumerate() {
            if at / 256 % 3 < 2 {
                *score = f64::NAN;
            }
        }
        assert_eq!(gpu_select(&scores, shape, &options, lanes), expected);
        assert_eq!(expected.row(1, 0, 9).count(), 10);
        assert_eq!(expected.row(1, 1, 9).collect::<Vec<_>>(), [0, 8, 9]);
    }
}
