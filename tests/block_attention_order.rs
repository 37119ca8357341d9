//! `block_attention`: the order of its rows, and the layout of its tokens.
#![expect(
    unused_crate_dependencies,
    reason = "a test binary uses a part of the crate's dependencies"
)]

mod support;

use sparse_core::attention::HeadKind;
use sparse_core::{BlockMask, DType};
use sparse_gpu::{AttentionTile, AttentionTypes, BlockAttention, GpuTensor, RowOrder, TokenLayout};
use support::attention::{Case, DIRECT, FEW, TILES, attention_shape, scattered};
use support::gpu::{gpu, poisoned, submit};

/// Six query heads in two items, two key heads each, blocks of 32.
fn problem(q_len: usize, k_len: usize, tile: AttentionTile) -> BlockAttention {
    BlockAttention {
        block: 32,
        tile: Some(tile),
        ..BlockAttention::new(attention_shape(2, 6, 2, q_len, k_len, 8))
    }
}

#[test]
fn results_do_not_depend_on_the_order() {
    for tile in TILES {
        for (q_len, k_len) in [(1, 1), (33, 150), (150, 33), (161, 161)] {
            for layout in [TokenLayout::HeadMajor, TokenLayout::TokenMajor] {
                let by = |order| {
                    let problem = BlockAttention {
                        order: Some(order),
                        layout,
                        ..problem(q_len, k_len, tile)
                    };
                    let mask = scattered(&problem, 40);
                    let case = Case::new(&problem, Some(mask));
                    case.check();
                    case.run().0
                };
                assert_eq!(by(RowOrder::ByWeight), by(RowOrder::ByPosition));
            }
        }
    }
}

#[test]
fn windows_can_be_ordered_too() {
    let window = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let kinds = vec![
        HeadKind::Dense,
        window,
        window,
        HeadKind::Dense,
        window,
        window,
    ];
    let ordered = BlockAttention {
        head_kinds: Some(kinds),
        order: Some(RowOrder::ByWeight),
        ..problem(100, 100, DIRECT)
    };
    Case::new(&ordered, None).check();
    let dense = BlockAttention {
        order: Some(RowOrder::ByWeight),
        ..problem(100, 100, DIRECT)
    };
    Case::new(&dense, None).check();
}

/// Workgroups of few queries without a mask count blocks of their own and take several heads: a list of rows would leave some out.
#[test]
fn few_queries_without_a_mask_start_by_position() {
    for (kv_heads, tile) in [(8, None), (2, None), (8, Some(FEW))] {
        let problem = BlockAttention {
            order: Some(RowOrder::ByWeight),
            tile,
            ..BlockAttention::new(attention_shape(1, 8, kv_heads, 8, 4096, 64))
        };
        Case::new(&problem, None).check();
        let plan = gpu().plan_blocking(&problem).unwrap();
        assert!(plan.row_order().is_none());
        let explanation = plan.explain().to_string();
        assert!(explanation.contains("start by position"), "{explanation}");
    }
}

/// The list is written by the plan, and a program may hold it.
#[test]
fn results_in_the_list_of_rows_are_refused() {
    let problem = BlockAttention {
        masked: true,
        order: Some(RowOrder::ByWeight),
        ..problem(1, 100, DIRECT)
    };
    let gpu = gpu();
    let plan = gpu.plan_blocking(&problem).unwrap();
    let shape = problem.shape;
    let q = poisoned::<f32>(gpu, &shape.q_shape());
    let k = poisoned::<f32>(gpu, &shape.kv_shape());
    let mask = gpu.upload_mask(&scattered(&problem, 50)).unwrap();
    let list = plan.row_order().unwrap().clone();
    // A query a head: as many log-sum-exps as rows.
    let mut lse = gpu
        .tensor_in(list, 0, &shape.q_shape()[..3], DType::F32)
        .unwrap();
    let mut out = plan.new_out().unwrap();
    submit(gpu, |pass| {
        let recorded = plan.record(pass, &q, &k, &k, Some(&mask), &mut out, &mut lse);
        let message = recorded.unwrap_err().to_string();
        assert!(
            message.contains("lse shares its buffer with the plan's row order"),
            "{message}"
        );
    });
}

/// The order in which the first `rows` rows of the last slice of heads start, where operands hold no numbers.
fn order_of(problem: &BlockAttention, mask: &BlockMask, rows: usize) -> Vec<u32> {
    let gpu = gpu();
    let problem = BlockAttention {
        masked: true,
        order: Some(RowOrder::ByWeight),
        ..problem.clone()
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let (q_shape, kv_shape) = (problem.shape.q_shape(), problem.shape.kv_shape());
    let [q, k] = [q_shape, kv_shape].map(|shape| poisoned::<f32>(gpu, &shape));
    let mut out = poisoned::<f32>(gpu, &q_shape);
    let mut lse = poisoned::<f32>(gpu, &q_shape[..3]);
    let mask = gpu.upload_mask(mask).unwrap();
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &k, Some(&mask), &mut out, &mut lse)
            .unwrap();
    });
    let list = plan.row_order().unwrap().clone();
    let list = GpuTensor::from_buffer(list, 0, &[rows], DType::F32).unwrap();
    let list = gpu.read_blocking::<f32>(&list).unwrap();
    list.data().iter().map(|word| word.to_bits()).collect()
}

/// The rows from which a thread of the driver, or a GPU that takes them as they come, starts.
fn parts() -> usize {
    if gpu().is_software() {
        std::thread::available_parallelism().unwrap().get()
    } else {
        1
    }
}

/// The order of rows of such weights.
fn expected_order(weights: &[usize]) -> Vec<u32> {
    let mut sorted: Vec<usize> = (0..weights.len()).collect();
    // The sort of the standard library is stable.
    sorted.sort_by_key(|&row| std::cmp::Reverse(weights[row]));
    let (parts, mut dealt) = (parts(), vec![Vec::new(); parts()]);
    for (rank, row) in sorted.into_iter().enumerate() {
        let (turn, place) = (rank / parts, rank % parts);
        let part = if turn % 2 == 1 {
            parts - 1 - place
        } else {
            place
        };
        dealt[part].push(u32::try_from(row).unwrap());
    }
    if parts > 1 {
        dealt.iter_mut().for_each(|part| part.sort_unstable());
    }
    dealt.concat()
}

/// Per row of every head, the selected blocks with a key that the last query of the row may see.
fn weights_of(problem: &BlockAttention, mask: &BlockMask) -> Vec<usize> {
    let (shape, block) = (problem.shape, problem.block);
    let (q_len, k_len) = (shape.q_len(), shape.k_len());
    let [batch, heads, rows, _] = mask.shape();
    let rows = (0..batch * heads * rows).map(|n| (n / rows / heads, n / rows % heads, n % rows));
    rows.map(|(item, head, row)| {
        let queries = ((row + 1) * block).min(q_len);
        let keys = if problem.causal {
            (queries + k_len).saturating_sub(q_len)
        } else {
            k_len
        };
        let seen = |j: &usize| j * block < keys;
        mask.row(item, head, row).filter(seen).count()
    })
    .collect()
}

#[test]
fn the_heaviest_rows_start_first_and_equals_in_their_order() {
    // More rows than are placed at a time, many of the same weight.
    for (rows, causal) in [(1, false), (3, true), (64, false), (65, false), (150, true)] {
        let problem = BlockAttention {
            block: 16,
            causal,
            ..BlockAttention::new(attention_shape(1, 1, 1, rows * 16, rows * 16, 4))
        };
        let mask = BlockMask::from_fn(1, 1, rows, rows, |_, _, i, j| j < i * 7 % 5).unwrap();
        let expected = expected_order(&weights_of(&problem, &mask));
        assert_eq!(order_of(&problem, &mask, rows), expected, "{rows} rows");
    }
}

/// Another mask in every head, last rows and last blocks that are not full, and first queries that see no key or many.
#[test]
fn the_rows_of_every_head_are_weighed_by_the_blocks_that_they_see() {
    for (q_len, k_len) in [(69, 85), (85, 69), (70, 75), (75, 70), (80, 33), (17, 130)] {
        for causal in [true, false] {
            let problem = BlockAttention {
                block: 16,
                causal,
                ..BlockAttention::new(attention_shape(2, 4, 2, q_len, k_len, 4))
            };
            let mask = scattered(&problem, 60);
            let weights = weights_of(&problem, &mask);
            let what = format!("{q_len} x {k_len}, causal {causal}: {weights:?}");
            let order = order_of(&problem, &mask, weights.len());
            assert_eq!(order, expected_order(&weights), "{what}");
        }
    }
}

/// Heads that do not fit one binding together: the last of three is weighed by its own part of the mask.
#[test]
fn the_rows_of_a_later_slice_of_heads_are_weighed_by_its_own_masks() {
    let problem = BlockAttention {
        block: 16,
        causal: false,
        ..BlockAttention::new(attention_shape(1, 5, 5, 9 * 16, 60_000, 128))
    };
    // Always the same in the other heads. Weights of long rows are compared without their last bits, which 64 leaves out.
    let count = |head, row| 64 * if head == 4 { 1 + row * 7 % 9 } else { 5 };
    let mask = BlockMask::from_fn(1, 5, 9, 3750, |_, h, i, j| j < count(h, i)).unwrap();
    let weights = weights_of(&problem, &mask);
    assert_eq!(order_of(&problem, &mask, 9), expected_order(&weights[36..]));
}

#[test]
fn long_masks_are_ordered_unless_they_are_small() {
    for (rows, masked, ordered) in [(8, true, false), (64, true, true), (64, false, false)] {
        let problem = BlockAttention {
            block: 16,
            masked,
            ..BlockAttention::new(attention_shape(1, 1, 1, rows * 16, rows * 16, 4))
        };
        let plan = gpu().plan_blocking(&problem).unwrap();
        assert_eq!(plan.row_order().is_some(), ordered, "{rows} rows");
        let explanation = plan.explain().to_string();
        assert_eq!(explanation.contains("by weight"), ordered, "{explanation}");
    }
}

#[test]
fn more_tiles_than_can_be_numbered_are_refused() {
    let problem = BlockAttention {
        block: 1 << 16,
        masked: true,
        order: Some(RowOrder::ByWeight),
        ..BlockAttention::new(attention_shape(1 << 16, 1, 1, 1, 1, 4))
    };
    let error = gpu().plan_blocking(&problem).unwrap_err().to_string();
    assert!(error.contains("take shorter blocks"), "{error}");
}

#[test]
fn heads_side_by_side_in_every_token() {
    for tile in TILES {
        // Rows of vec4s, of whole words, and of halves of words.
        for (head_dim, dtype) in [
            (8, DType::F16),
            (6, DType::Bf16),
            (5, DType::F16),
            (5, DType::F32),
        ] {
            for masked in [false, true] {
                let problem = BlockAttention {
                    layout: TokenLayout::TokenMajor,
                    shape: attention_shape(2, 6, 2, 35, 67, head_dim),
                    types: AttentionTypes::all(dtype),
                    ..problem(35, 67, tile)
                };
                Case::new(&problem, masked.then(|| scattered(&problem, 50))).check();
            }
        }
    }
}

#[test]
fn token_major_operands_above_a_binding_go_in_whole_items() {
    let problem = BlockAttention {
        layout: TokenLayout::TokenMajor,
        block: 128,
        ..BlockAttention::new(attention_shape(3, 2, 1, 3, 100_000, 128))
    };
    Case::new(&problem, Some(scattered(&problem, 30))).check();
    let plan = gpu().plan_blocking(&problem).unwrap();
    let explanation = plan.explain();
    assert!(
        explanation.to_string().contains("slices of heads"),
        "{explanation}"
    );
    // One item of two key heads is above the limit, one head is not.
    let wide = BlockAttention {
        layout: TokenLayout::TokenMajor,
        ..BlockAttention::new(attention_shape(1, 2, 2, 3, 200_000, 127))
    };
    let error = gpu().plan_blocking(&wide).unwrap_err().to_string();
    assert!(
        error.contains("of 2 head(s)") && error.contains("needs bindings of 203200000 bytes"),
        "{error}"
    );
    assert!(error.contains("take TokenLayout::HeadMajor"), "{error}");
    let by_head = BlockAttention {
        layout: TokenLayout::HeadMajor,
        ..wide
    };
    gpu().plan_blocking(&by_head).unwrap();
}
