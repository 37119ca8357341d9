//! `block_attention` against its CPU reference.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::bounds::compare;
use sparse_core::{BlockMask, DType};
use sparse_gpu::{AttentionTile, AttentionTypes, BlockAttention};
use support::attention::{Case, DIRECT, Kernel, Outcome, attention_shape, scattered, tiles};

/// `(q_len, k_len)` around blocks of 32: none, one, odd, block - 1, block, block + 1, several, and q shorter and longer than k.
const LENGTHS: [(usize, usize); 16] = [
    (0, 0),
    (0, 5),
    (5, 0),
    (1, 1),
    (1, 40),
    (40, 1),
    (7, 7),
    (31, 31),
    (32, 32),
    (33, 33),
    (31, 33),
    (33, 31),
    (32, 130),
    (130, 32),
    (97, 161),
    (161, 97),
];

fn small(q_len: usize, k_len: usize, head_dim: usize) -> BlockAttention {
    BlockAttention {
        block: 32,
        ..BlockAttention::new(attention_shape(1, 2, 1, q_len, k_len, head_dim))
    }
}

fn mask(
    problem: &BlockAttention,
    keep: impl FnMut(usize, usize, usize, usize) -> bool,
) -> BlockMask {
    let [batch, heads, q_blocks, k_blocks] = problem.mask_shape();
    BlockMask::from_fn(batch, heads, q_blocks, k_blocks, keep).unwrap_or_else(|e| panic!("{e}"))
}

/// With every tile of a kernel.
fn every_length(kernel: Kernel, causal: bool) {
    for tile in kernel.tiles(32) {
        for (q_len, k_len) in LENGTHS {
            let problem = BlockAttention {
                causal,
                tile: Some(tile),
                ..small(q_len, k_len, 8)
            };
            Case::new(&problem, None).check();
            Case::new(&problem, Some(scattered(&problem, 50))).check();
        }
    }
}

#[test]
fn every_length_full_with_direct_tiles() {
    every_length(Kernel::Direct, false);
}

#[test]
fn every_length_causal_with_direct_tiles() {
    every_length(Kernel::Direct, true);
}

#[test]
fn every_length_full_with_tiles_of_gpus() {
    every_length(Kernel::Tiled, false);
}

#[test]
fn every_length_causal_with_tiles_of_gpus() {
    every_length(Kernel::Tiled, true);
}

#[test]
fn every_length_with_tiles_for_few_queries() {
    every_length(Kernel::Few, false);
    every_length(Kernel::Few, true);
}

const DIMENSIONS: [usize; 18] = [
    1, 2, 3, 6, 32, 33, 40, 64, 65, 72, 80, 96, 100, 128, 160, 192, 255, 256,
];

/// Those of [`DIMENSIONS`] that `takes`.
fn head_dimensions(tile: AttentionTile, takes: impl Fn(usize) -> bool) {
    // Storage types take turns, so that every dimension meets some and every type meets rows of vec4s, words and halves of words.
    let [a, b, c] = DType::ALL;
    let mixed = [[a, b, c, a], [b, c, a, b], [c, a, b, c], [a, a, a, a]];
    for (number, head_dim) in DIMENSIONS.into_iter().enumerate() {
        if !takes(head_dim) {
            continue;
        }
        let [q, k, v, out] = mixed[number % 4];
        let problem = BlockAttention {
            tile: Some(tile),
            types: AttentionTypes { q, k, v, out },
            ..small(50, 70, head_dim)
        };
        Case::new(&problem, Some(scattered(&problem, 60))).check();
    }
}

const WIDE_TILED: AttentionTile = AttentionTile::Tiled {
    queries: 32,
    split: 8,
};

#[test]
fn head_dimensions_up_to_80_with_tiles_of_gpus() {
    head_dimensions(WIDE_TILED, |head_dim| head_dim <= 80);
}

#[test]
fn head_dimensions_above_80_with_tiles_of_gpus() {
    head_dimensions(WIDE_TILED, |head_dim| head_dim > 80);
    // The tile of the plan, dense.
    Case::new(&small(50, 70, 128), None).check();
}

#[test]
fn head_dimensions_up_to_80_with_direct_tiles() {
    head_dimensions(DIRECT, |head_dim| head_dim <= 80);
}

#[test]
fn head_dimensions_up_to_128_with_direct_tiles() {
    head_dimensions(DIRECT, |head_dim| (81..=128).contains(&head_dim));
}

/// Long rows that are loaded element by element are long texts: software drivers compile them for many seconds.
#[test]
fn head_dimensions_above_128_with_direct_tiles() {
    head_dimensions(DIRECT, |head_dim| {
        head_dim > 128 && head_dim.is_multiple_of(4)
    });
}

#[test]
fn every_block_size() {
    for block in [16, 32, 48, 64, 80, 96, 128, 256] {
        for tile in [None, tiles(block).last().copied()] {
            let problem = BlockAttention {
                block,
                tile,
                ..BlockAttention::new(attention_shape(1, 2, 1, 300, 290, 16))
            };
            Case::new(&problem, Some(scattered(&problem, 50))).check();
        }
    }
}

#[test]
fn batches_and_shared_key_heads() {
    for (batch, q_heads, kv_heads) in [(3, 1, 1), (2, 4, 4), (2, 6, 2), (1, 8, 1)] {
        let problem = BlockAttention {
            block: 16,
            ..BlockAttention::new(attention_shape(batch, q_heads, kv_heads, 37, 45, 4))
        };
        Case::new(&problem, None).check();
        Case::new(&problem, Some(scattered(&problem, 50))).check();
    }
}

/// Each operand meets each type once; the ways to read one do not depend on the others.
fn every_storage_type(head_dim: usize) {
    let [a, b, c] = DType::ALL;
    for [q, k, v, out] in [[a, b, c, a], [b, c, a, b], [c, a, b, c]] {
        for tile in [tiles(32).first(), tiles(32).last()] {
            let problem = BlockAttention {
                types: AttentionTypes { q, k, v, out },
                tile: tile.copied(),
                ..small(35, 67, head_dim)
            };
            Case::new(&problem, Some(scattered(&problem, 60))).check();
        }
    }
}

#[test]
fn every_storage_type_of_every_operand_in_rows_of_vec4s() {
    every_storage_type(8);
}

#[test]
fn every_storage_type_of_every_operand_in_rows_of_words() {
    every_storage_type(6);
}

#[test]
fn every_storage_type_of_every_operand_in_rows_of_halves_of_words() {
    every_storage_type(5);
}

#[test]
fn empty_full_and_single_block_masks() {
    let problem = small(100, 100, 16);
    for causal in [false, true] {
        let problem = BlockAttention {
            causal,
            ..problem.clone()
        };
        let (nothing, _) = Case::new(&problem, Some(mask(&problem, |_, _, _, _| false))).run();
        assert!(nothing.out.iter().all(|&x| x == 0.0), "rows without keys");
        assert!(nothing.lse.iter().all(|&x| x == f64::NEG_INFINITY));
        for block in 0..4 {
            Case::new(&problem, Some(mask(&problem, |_, _, _, j| j == block))).check();
        }
        // A full mask visits what the dense variant visits, in the same order.
        for tile in tiles(32) {
            let problem = BlockAttention {
                tile: Some(tile),
                ..problem.clone()
            };
            let full = Case::new(&problem, Some(mask(&problem, |_, _, _, _| true)));
            let dense = Case::new(&problem, None);
            if matches!(tile, AttentionTile::Few { .. }) {
                // Its steps end with blocks, and without a mask there are none to end with.
                full.check();
                dense.check();
            } else {
                assert_eq!(full.run().0, dense.run().0);
            }
        }
    }
}

#[test]
fn masks_wider_than_a_word_and_blocks_above_the_diagonal() {
    // 70 key blocks: three words a row, and many selected blocks that causality hides.
    let problem = BlockAttention {
        block: 16,
        ..BlockAttention::new(attention_shape(1, 2, 2, 16 * 20 + 3, 16 * 70 - 5, 4))
    };
    Case::new(&problem, Some(scattered(&problem, 10))).check();
    Case::new(
        &problem,
        Some(mask(&problem, |_, _, i, j| j == 33 || j == i + 50)),
    )
    .check();
}

#[test]
fn equal_scores_average_the_values_exactly() {
    for tile in tiles(32) {
        let problem = BlockAttention {
            causal: false,
            tile: Some(tile),
            ..small(40, 64, 4)
        };
        let mut case = Case::new(&problem, None);
        case.q.data_mut().fill(0.0);
        for (i, v) in case.v.data_mut().iter_mut().enumerate() {
            *v = ((i * 7) % 64) as f32;
        }
        let reference = case.reference();
        let (Outcome { out, lse }, _) = case.run();
        assert_eq!(
            out, reference.out,
            "64 keys: sums of integers over a power of two"
        );
        let ln_64 = 64.0_f64.ln();
        assert!(lse.iter().all(|x| (x - ln_64).abs() < 1e-6));
    }
}

#[test]
fn one_dominating_key_is_copied_exactly() {
    for tile in tiles(32) {
        let problem = BlockAttention {
            tile: Some(tile),
            causal: false,
            ..small(70, 100, 4)
        };
        for winner in [0, 31, 32, 63, 99] {
            let mut case = Case::new(&problem, None);
            case.q.data_mut().fill(1.0);
            case.k.data_mut().fill(-100.0);
            case.k.data_mut()[winner * 4..winner * 4 + 4].fill(100.0);
            let expected: Vec<f64> = case.v.data()[winner * 4..winner * 4 + 4]
                .iter()
                .map(|&x| x.into())
                .collect();
            let (outcome, _) = case.run();
            assert!(outcome.out.chunks(4).all(|row| row == expected));
            assert!(outcome.lse.iter().all(|&x| (x - 200.0).abs() < 1e-4));
        }
    }
}

#[test]
fn large_scores_and_a_scale_of_the_callers() {
    for scale in [1e-3, 1.0, 30.0] {
        let problem = BlockAttention {
            scale: Some(scale),
            ..small(65, 65, 16)
        };
        Case::new(&problem, None).check();
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    // A single key: the output is its value, and what is left is the rounding to the storage type.
    let single = BlockAttention {
        types: AttentionTypes {
            out: DType::Bf16,
            ..AttentionTypes::default()
        },
        ..small(32, 1, 64)
    };
    let [out, _] = Case::new(&single, None).check();
    assert!(out > 0.125, "an eighth of the bound would do: {out}");
}

#[test]
fn a_key_more_or_less_exceeds_the_bound() {
    let problem = BlockAttention {
        causal: false,
        ..small(40, 200, 16)
    };
    let mut case = Case::new(&problem, None);
    let (outcome, _) = case.run();
    // The same with the last key of every head as a copy of the one before.
    for head in case.k.data_mut().chunks_mut(200 * 16) {
        head.copy_within(198 * 16..199 * 16, 199 * 16);
    }
    let reference = case.reference();
    let bounds = case.bounds(&reference);
    assert!(!compare(outcome.out, &reference.out, &bounds.out).holds());
    assert!(!compare(outcome.lse, &reference.lse, &bounds.lse).holds());
}
