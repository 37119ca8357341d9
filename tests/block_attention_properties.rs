//! `block_attention`: what must not have any influence, has none, bit for bit.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::BlockMask;
use sparse_core::attention::HeadKind;
use sparse_gpu::{AttentionTile, BlockAttention};
use support::attention::{Case, Outcome, TILES, attention_shape, scattered};

const DIM: usize = 8;

fn problem(batch: usize, q_heads: usize, kv_heads: usize, tile: AttentionTile) -> BlockAttention {
    BlockAttention {
        block: 32,
        tile: Some(tile),
        ..BlockAttention::new(attention_shape(batch, q_heads, kv_heads, 70, 105, DIM))
    }
}

#[test]
fn items_of_a_batch_are_independent() {
    for tile in TILES {
        let problem = problem(3, 2, 1, tile);
        let case = Case::new(&problem, Some(scattered(&problem, 50)));
        let (before, _) = case.run();
        // The middle item stays.
        let mut other = case.clone();
        for (tensor, item) in [
            (&mut other.q, 2 * 70 * DIM),
            (&mut other.k, 105 * DIM),
            (&mut other.v, 105 * DIM),
        ] {
            tensor.data_mut()[..item].fill(f32::NAN);
            tensor.data_mut()[2 * item..].fill(f32::NAN);
        }
        let (after, _) = other.run();
        let (row, item) = (DIM, 2 * 70);
        assert_eq!(
            before.out[item * row..2 * item * row],
            after.out[item * row..2 * item * row]
        );
        assert_eq!(before.lse[item..2 * item], after.lse[item..2 * item]);
    }
}

/// Spoils what `spoilt(key)` names in all heads, and compares.
fn without_influence(case: &Case, spoilt: impl Fn(usize) -> bool, garbage: f32, rows: usize) {
    let k_len = case.problem.shape.k_len();
    let mut other = case.clone();
    for tensor in [&mut other.k, &mut other.v] {
        for (token, row) in tensor.data_mut().chunks_mut(DIM).enumerate() {
            if spoilt(token % k_len) {
                row.fill(garbage);
            }
        }
    }
    let ((before, _), (after, _)) = (case.run(), other.run());
    let q_len = case.problem.shape.q_len();
    for (head, (a, b)) in before
        .out
        .chunks(q_len * DIM)
        .zip(after.out.chunks(q_len * DIM))
        .enumerate()
    {
        assert_eq!(a[..rows * DIM], b[..rows * DIM], "head {head}");
    }
    for (a, b) in before.lse.chunks(q_len).zip(after.lse.chunks(q_len)) {
        assert_eq!(a[..rows], b[..rows]);
    }
}

#[test]
fn blocks_that_are_not_selected_are_not_read() {
    for tile in TILES {
        let problem = problem(1, 2, 1, tile);
        let [_, _, q_blocks, k_blocks] = problem.mask_shape();
        let mask = BlockMask::from_fn(1, 2, q_blocks, k_blocks, |_, _, i, j| j != 1 && j <= i + 1);
        let case = Case::new(&problem, Some(mask.unwrap()));
        without_influence(&case, |key| key / 32 == 1, f32::NAN, 70);
        // Streaming heads read their window and sinks only: the row of queries 64 to 69 stands in the last block.
        let streaming = BlockAttention {
            shape: attention_shape(1, 2, 1, 6, 105, DIM),
            head_kinds: Some(vec![
                HeadKind::Streaming {
                    sink_blocks: 1,
                    recent_blocks: 1,
                };
                2
            ]),
            ..problem
        };
        let case = Case::new(&streaming, None);
        without_influence(&case, |key| (32..96).contains(&key), f32::NAN, 6);
    }
}

#[test]
fn keys_after_a_query_have_no_influence() {
    for tile in TILES {
        // Query t sees the keys up to t + 35: query 20 stands in the middle of a block and of a step of keys.
        let case = Case::new(&problem(2, 2, 1, tile), None);
        without_influence(&case, |key| key > 55, 1e4, 21);
        // Whole tiles of queries that see none of the spoilt blocks never load them.
        without_influence(&case, |key| key >= 96, f32::NAN, 32);
    }
}

#[test]
fn shared_key_heads_are_as_if_they_were_copied() {
    for tile in TILES {
        let shared = problem(2, 6, 2, tile);
        let case = Case::new(&shared, Some(scattered(&shared, 50)));
        let copied = BlockAttention {
            shape: attention_shape(2, 6, 6, 70, 105, DIM),
            ..shared.clone()
        };
        let mut other = Case::new(&copied, case.mask.clone());
        other.q = case.q.clone();
        for (expanded, x) in [(&mut other.k, &case.k), (&mut other.v, &case.v)] {
            let heads = x.data().chunks(105 * DIM);
            let copies = expanded.data_mut().chunks_mut(3 * 105 * DIM);
            for (head, copies) in heads.zip(copies) {
                copies.copy_from_slice(&head.repeat(3));
            }
        }
        assert_eq!(case.run().0, other.run().0);
    }
}

#[test]
fn the_comparison_sees_an_influence() {
    let case = Case::new(&problem(1, 1, 1, TILES[0]), None);
    let seen = std::panic::catch_unwind(|| without_influence(&case, |key| key == 50, 1e4, 21));
    assert!(seen.is_err(), "query 20 sees key 50");
}

/// The rows of `case` that are NaN, in all of their outputs. (What SwiftShader makes of the logarithm of NaN is any number.)
fn nan_rows(case: &Case) -> Vec<bool> {
    let (outcome, _) = case.run();
    let is_nan = |row: &[f64]| {
        let count = row.iter().filter(|out| out.is_nan()).count();
        assert!(count == 0 || count == DIM, "{row:?}");
        count > 0
    };
    outcome.out.chunks(DIM).map(is_nan).collect()
}

#[test]
fn nan_in_a_key_or_a_query_reaches_the_rows_that_see_it() {
    for tile in TILES {
        let case = Case::new(&problem(1, 2, 1, tile), None);
        // Query t sees the keys up to t + 35.
        for key in [0, 37, 104] {
            let mut poisoned = case.clone();
            poisoned.k.data_mut()[key * DIM + 3] = f32::NAN;
            let seen: Vec<bool> = (0..140).map(|row| row % 70 + 35 >= key).collect();
            assert_eq!(nan_rows(&poisoned), seen, "key {key} {tile}");
        }
        let mut poisoned = case.clone();
        poisoned.q.data_mut()[75 * DIM + 3] = f32::NAN;
        let own: Vec<bool> = (0..140).map(|row| row == 75).collect();
        assert_eq!(nan_rows(&poisoned), own, "{tile}");
    }
}

/// A NaN logit may count as one at the cap: the row is NaN then, or an average of values, and no other row is touched.
#[test]
fn nan_in_a_key_under_a_soft_cap_stays_in_the_rows_that_see_it() {
    for tile in TILES {
        let capped = BlockAttention {
            soft_cap: Some(2.0),
            ..problem(1, 2, 1, tile)
        };
        let case = Case::new(&capped, None);
        let (before, _) = case.run();
        let mut poisoned = case.clone();
        poisoned.k.data_mut()[60 * DIM + 3] = f32::NAN;
        let (after, _) = poisoned.run();
        let largest = case
            .v
            .data()
            .iter()
            .fold(0.0_f32, |max, v| max.max(v.abs()));
        for row in 0..140 {
            let out = |outcome: &Outcome| outcome.out[row * DIM..(row + 1) * DIM].to_vec();
            if row % 70 + 35 < 60 {
                assert_eq!(
                    (out(&after), after.lse[row]),
                    (out(&before), before.lse[row])
                );
            } else {
                let average = |x: f64| x.is_nan() || x.abs() <= f64::from(largest) * 1.001;
                assert!(out(&after).into_iter().all(average), "row {row} {tile}");
            }
        }
    }
}
