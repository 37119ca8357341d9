//! Keys and values in a cache: room behind the keys, which is not read, and one plan for a number of keys that grows.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::DType;
use sparse_core::attention::HeadKind;
use sparse_gpu::{AttentionTypes, BlockAttention, RowOrder, TokenLayout};
use support::attention::{Case, TILES, attention_shape, scattered};
use support::gpu::{gpu, poisoned, submit};

const LAYOUTS: [TokenLayout; 2] = [TokenLayout::HeadMajor, TokenLayout::TokenMajor];

/// Two items, four query heads that share two of keys.
fn problem(q_len: usize, k_len: usize, head_dim: usize) -> BlockAttention {
    BlockAttention {
        block: 32,
        ..BlockAttention::new(attention_shape(2, 4, 2, q_len, k_len, head_dim))
    }
}

/// The problem with each tile: heads first with a mask, tokens first without.
fn every_kernel(problem: &BlockAttention, check: impl Fn(Case)) {
    for tile in TILES {
        let of = |layout| BlockAttention {
            layout,
            tile: Some(tile),
            ..problem.clone()
        };
        check(Case::new(&of(TokenLayout::TokenMajor), None));
        let masked = of(TokenLayout::HeadMajor);
        check(Case::new(&masked, Some(scattered(&masked, 50))));
    }
}

#[test]
fn what_lies_behind_the_keys_is_not_read() {
    for (q_len, k_len) in [(50, 70), (3, 33), (33, 7), (5, 0)] {
        for room in [0, 1, 40] {
            let problem = BlockAttention {
                k_capacity: Some(k_len + room),
                ..problem(q_len, k_len, 8)
            };
            every_kernel(&problem, |case| {
                case.check();
            });
        }
    }
}

#[test]
fn room_of_every_storage_type() {
    // Rows that start at multiples of four, of two, anywhere.
    for (dtype, head_dim) in [(DType::F16, 8), (DType::Bf16, 6), (DType::F32, 5)] {
        let problem = BlockAttention {
            k_capacity: Some(51),
            types: AttentionTypes::all(dtype),
            ..problem(6, 38, head_dim)
        };
        every_kernel(&problem, |case| {
            case.check();
        });
    }
}

#[test]
fn one_plan_serves_every_number_of_keys() {
    for q_len in [1, 20] {
        for keys in [0, 1, 32, 33, 64, 100] {
            for causal in [false, true] {
                let problem = BlockAttention {
                    causal,
                    ..problem(q_len, keys, 8)
                };
                every_kernel(&problem, |case| {
                    let planned_keys = Some(100);
                    Case {
                        planned_keys,
                        ..case
                    }
                    .check();
                });
            }
        }
    }
}

/// The plan of 2000 keys divides them; a prefix leaves some parts without keys.
#[test]
fn parts_without_keys_weigh_nothing() {
    for keys in [0, 1, 255, 257, 900, 1999] {
        for layout in LAYOUTS {
            let problem = BlockAttention {
                layout,
                ..problem(1, keys, 8)
            };
            let case = Case {
                planned_keys: Some(2000),
                ..Case::new(&problem, None)
            };
            let explanation = case.run().1.to_string();
            assert!(explanation.contains("the keys go to"), "{explanation}");
            case.check();
        }
    }
}

#[test]
fn kinds_of_heads_and_rows_by_weight_stand_at_the_end_of_the_prefix() {
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 2,
    };
    for order in [RowOrder::ByPosition, RowOrder::ByWeight] {
        for tile in TILES {
            let problem = BlockAttention {
                head_kinds: Some(vec![
                    HeadKind::Dense,
                    HeadKind::Sparse,
                    streaming,
                    HeadKind::Sparse,
                ]),
                order: Some(order),
                tile: Some(tile),
                ..problem(70, 200, 8)
            };
            let mask = scattered(&problem, 40);
            Case {
                planned_keys: Some(333),
                ..Case::new(&problem, Some(mask))
            }
            .check();
        }
    }
}

#[test]
fn impossible_rooms_and_prefixes_are_refused() {
    let gpu = gpu();
    let small = BlockAttention {
        k_capacity: Some(69),
        ..problem(50, 70, 8)
    };
    assert_eq!(
        gpu.plan_blocking(&small).unwrap_err().to_string(),
        "block_attention: k_capacity is 69 where k_len is 70; k and v have room for k_len tokens or more"
    );
    let plan = gpu.plan_blocking(&problem(1, 70, 8)).unwrap();
    let [q, mut out] = [0, 1].map(|_| poisoned::<f32>(gpu, &[2, 4, 1, 8]));
    let kv = poisoned::<f32>(gpu, &[2, 2, 70, 8]);
    let mut lse = poisoned::<f32>(gpu, &[2, 4, 1]);
    submit(gpu, |pass| {
        let refused = plan.record_prefix(pass, 71, &q, &kv, &kv, None, &mut out, &mut lse);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "block_attention: a prefix of 71 keys of a plan for 70; plan for as many as the cache holds"
        );
    });
}
