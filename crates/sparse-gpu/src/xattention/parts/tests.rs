//! Parts cover a problem and stay within the bound on scratch memory.

use super::*;
use crate::TokenLayout;
use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;
use sparse_shaders::{Tile, XAttentionRules};

fn sizes(heads: usize, kv_heads: usize, len: usize) -> Sizes {
    sizes_in(TokenLayout::HeadMajor, heads, kv_heads, len)
}

fn sizes_in(tokens: TokenLayout, heads: usize, kv_heads: usize, len: usize) -> Sizes {
    let shape = AttentionShape::try_new(1, heads, kv_heads, len, len, 64).unwrap();
    let options = XAttentionOptions {
        stride: 16,
        ..XAttentionOptions::default()
    };
    let kernel = XAttentionScoreKernel {
        groups_per_block: 8,
        tile: Tile {
            rows: 8,
            cols: 4,
            lanes: 32,
        },
        rules: XAttentionRules {
            exact: true,
            causal: true,
        },
    };
    let source = |shape| Source::new(shape, tokens, len, DType::F32);
    let sources = [shape.q_shape(), shape.kv_shape()].map(source);
    Sizes::new(options.layout(shape).unwrap(), kernel, sources)
}

fn scratch(sizes: &Sizes, parts: &Parts) -> u64 {
    let heads = parts.heads.iter().map(Range::len).max().unwrap();
    let key_heads = parts.heads.iter().map(|h| sizes.key_heads(h).len());
    let key_heads = key_heads.max().unwrap();
    Parts::largest(&parts.strips, |r| sizes.query_bytes(heads, r))
        + Parts::largest(&parts.strips, |r| sizes.maxima_bytes(heads, r))
        + Parts::largest(&parts.slices, |u| sizes.key_bytes(key_heads, u))
}

#[test]
fn parts_cover_everything_within_the_bound() {
    for (heads, kv_heads, len) in [
        (8, 2, 4096),
        (32, 8, 8192),
        (8, 8, 65536),
        (6, 2, 300_000),
        (1, 1, 1 << 20),
    ] {
        let sizes = sizes(heads, kv_heads, len);
        let parts = Parts::new(&sizes, false, MOST_BYTES, 128 << 20).unwrap();
        for (ranges, end) in [
            (&parts.heads, heads),
            (&parts.strips, sizes.rows),
            (&parts.slices, sizes.units()),
        ] {
            let mut next = 0;
            for range in ranges {
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, end);
        }
        let bytes = scratch(&sizes, &parts);
        assert!(bytes <= 3 * MOST_BYTES, "{len} tokens: {bytes}");
        // Several key heads only whole.
        for range in &parts.heads {
            let one = sizes.key_heads(range).len() == 1;
            assert!(one || range.len() % sizes.shared == 0, "{range:?}");
        }
    }
}

#[test]
fn heads_that_are_not_wanted_are_left_out() {
    let sizes = sizes(8, 2, 65536);
    let all = Parts::new(&sizes, false, MOST_BYTES, 128 << 20).unwrap();
    let parts = all.clone().of_heads(|head| ![2, 3, 7].contains(&head));
    let scored: Vec<usize> = parts.heads.iter().cloned().flatten().collect();
    assert_eq!(scored, [0, 1, 4, 5, 6]);
    // No part is longer than those that the scratch memory was divided for.
    for run in &parts.heads {
        assert!(
            all.heads
                .iter()
                .any(|part| part.start <= run.start && run.end <= part.end)
        );
    }
    assert_eq!(all.clone().of_heads(|_| true), all);
    assert!(all.of_heads(|_| false).heads.is_empty());
}

#[test]
fn a_single_row_may_exceed_the_cap_but_not_the_binding() {
    // Maxima of one panel: 128 groups times 2^17 blocks times 8 bytes.
    let long = sizes(1, 1, 1 << 24);
    let parts = Parts::new(&long, false, MOST_BYTES, (128 << 20) + 1024).unwrap();
    assert_eq!(parts.strips.len(), long.rows / 16);
    assert_eq!(Parts::new(&long, false, MOST_BYTES, 100 << 20), None);
}

/// A part of a head reaches over the tokens of all heads, where they lie side by side.
#[test]
fn parts_of_tokens_can_be_bound() {
    let window = 16 << 20;
    let sizes = sizes_in(TokenLayout::TokenMajor, 32, 8, 16384);
    let parts = Parts::new(&sizes, false, MOST_BYTES, window).unwrap();
    for heads in &parts.heads {
        for rows in &parts.strips {
            let elements = sizes.queries.elements(heads, &sizes.query_tokens(rows));
            assert!(
                4 * (elements.end - elements.start) <= window,
                "{heads:?} {rows:?}"
            );
        }
        for units in &parts.slices {
            let key_heads = sizes.key_heads(heads);
            let elements = sizes.keys.elements(&key_heads, &sizes.key_tokens(units));
            assert!(
                4 * (elements.end - elements.start) <= window,
                "{heads:?} {units:?}"
            );
        }
    }
    assert!(
        parts.strips.len() > 1 && parts.slices.len() > 1,
        "{parts:?}"
    );
}
