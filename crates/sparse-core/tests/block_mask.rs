//! Block masks: constructors, accessors, fixed patterns against their definition by tokens.

use proptest::prelude::*;
use sparse_core::{BlockGrid, BlockMask, MaskError};

fn message(result: Result<BlockMask, MaskError>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_broken_invariant_has_its_message() {
    assert_eq!(
        message(BlockMask::try_from_words(1, 2, 3, 33, vec![0; 11])),
        "a mask of [1, 2, 3, 33] blocks needs 12 words (2 for each row of key blocks), but 11 were given"
    );
    assert_eq!(
        message(BlockMask::try_from_words(1, 2, 3, 33, vec![0; 13])),
        "a mask of [1, 2, 3, 33] blocks needs 12 words (2 for each row of key blocks), but 13 were given"
    );
    assert_eq!(
        message(BlockMask::try_from_words(1, 1, 3, 5, vec![31, 32, 64])),
        "the last word of mask row 1 is 0x00000020, but only 5 key blocks exist: bits past them must be zero"
    );
    assert_eq!(
        message(BlockMask::try_from_words(
            1,
            1,
            2,
            33,
            vec![0, 1, u32::MAX, 2]
        )),
        "the last word of mask row 1 is 0x00000002, but only 33 key blocks exist: bits past them must be zero"
    );
    assert_eq!(
        message(BlockMask::from_bools(1, 1, 2, 3, &[true; 5])),
        "a mask of [1, 1, 2, 3] blocks needs 6 truth values, but 5 were given"
    );
    assert_eq!(
        message(BlockMask::from_bools(1, 1, 2, 3, &[true; 7])),
        "a mask of [1, 1, 2, 3] blocks needs 6 truth values, but 7 were given"
    );
    assert_eq!(
        message(BlockMask::dense(1 << 20, 1 << 20, 1 << 20, 1 << 20)),
        "a mask of [1048576, 1048576, 1048576, 1048576] blocks (batch, heads, query blocks, key blocks) is too \
         large to address on this machine"
    );
    assert_eq!(
        message(BlockMask::causal(&GRID.with_block(0))),
        "blocks of 0 tokens cannot cover a sequence: block must be at least 1"
    );
    assert_eq!(
        message(BlockMask::dilated(&GRID, 0, 1)),
        "dilation 0 never leaves its block: it must be at least 1 (1 is a plain window)"
    );
}

#[test]
#[should_panic(expected = "needs 1 words (1 for each row of key blocks), but 0 were given")]
fn the_panicking_twin_says_the_same() {
    BlockMask::from_words(1, 1, 1, 1, vec![]);
}

#[test]
fn accessors_describe_the_mask() {
    let mask = BlockMask::from_words(1, 2, 1, 34, vec![1 << 31, 0b10, 0b101, 0]);
    assert_eq!(mask.shape(), [1, 2, 1, 34]);
    assert_eq!(
        (mask.batch(), mask.heads(), mask.q_blocks(), mask.k_blocks()),
        (1, 2, 1, 34)
    );
    assert_eq!(mask.words_per_row(), 2);
    assert_eq!(mask.row(0, 0, 0).collect::<Vec<_>>(), [31, 33]);
    assert_eq!(mask.row(0, 1, 0).collect::<Vec<_>>(), [0, 2]);
    assert!(mask.get(0, 0, 0, 33) && !mask.get(0, 1, 0, 33));
    assert_eq!((mask.count(), mask.density()), (4, 4.0 / 68.0));
    assert_eq!((mask.count_of_head(0, 0), mask.count_of_head(0, 1)), (2, 2));
}

#[test]
#[should_panic(expected = "key block 33 is outside of a mask of [1, 1, 1, 33] blocks")]
fn a_bit_past_the_row_is_no_block() {
    BlockMask::dense(1, 1, 1, 33).unwrap().get(0, 0, 0, 33);
}

#[test]
fn a_row_past_the_last_is_none_of_the_next_head_or_batch_entry() {
    let mask = BlockMask::dense(2, 3, 4, 1).unwrap();
    let message = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<String>().unwrap();
    for (b, h, i) in [(0, 0, 4), (0, 3, 0), (2, 0, 0)] {
        let row = std::panic::catch_unwind(|| mask.row(b, h, i).count()).unwrap_err();
        let expected = format!("row ({b}, {h}, {i}) is outside of a mask of [2, 3, 4, 1] blocks");
        assert_eq!(message(row), expected);
    }
    for (b, h) in [(0, 3), (2, 0)] {
        let count = std::panic::catch_unwind(|| mask.count_of_head(b, h)).unwrap_err();
        let expected = format!("head ({b}, {h}) is outside of a mask of [2, 3, 4, 1] blocks");
        assert_eq!(message(count), expected);
    }
}

#[test]
fn empty_sizes_make_empty_masks() {
    for shape in [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]] {
        let mask = BlockMask::dense(shape[0], shape[1], shape[2], shape[3]).unwrap();
        assert_eq!(mask.words(), [0_u32; 0]);
        assert_eq!((mask.count(), mask.density()), (0, 0.0));
        assert_eq!(mask.to_bools().unwrap(), [false; 0]);
    }
    let mask = BlockMask::dense(1, 1, 1, 0).unwrap();
    assert_eq!(mask.row(0, 0, 0).count(), 0);
}

trait WithBlock {
    fn with_block(self, block: usize) -> Self;
}

impl WithBlock for BlockGrid {
    fn with_block(self, block: usize) -> Self {
        Self { block, ..self }
    }
}

const GRID: BlockGrid = BlockGrid {
    batch: 1,
    heads: 1,
    q_len: 5,
    k_len: 5,
    block: 2,
};

/// The blocks with any pair of tokens for which `sees(query position, key)`; positions may be negative.
fn by_tokens(grid: &BlockGrid, sees: impl Fn(i64, i64) -> bool) -> BlockMask {
    let range = |i: usize, len: usize| {
        let start = i * grid.block;
        start as i64..(start + grid.block).min(len) as i64
    };
    let shift = grid.k_len as i64 - grid.q_len as i64;
    let blocks = |len: usize| len.div_ceil(grid.block);
    BlockMask::from_fn(
        grid.batch,
        grid.heads,
        blocks(grid.q_len),
        blocks(grid.k_len),
        |_, _, i, j| range(i, grid.q_len).any(|t| range(j, grid.k_len).any(|s| sees(t + shift, s))),
    )
    .unwrap()
}

#[test]
fn dilated_counts_blocks_backwards_from_the_own_one() {
    let grid = BlockGrid {
        q_len: 4,
        k_len: 14,
        block: 2,
        ..GRID
    };
    let mask = BlockMask::dilated(&grid, 3, 2).unwrap();
    assert_eq!(mask.row(0, 0, 1).collect::<Vec<_>>(), [3, 6]);
    assert_eq!(mask.row(0, 0, 0).collect::<Vec<_>>(), [2, 5]);
    let causal = BlockMask::causal(&grid).unwrap();
    assert_eq!(BlockMask::dilated(&grid, 1, 99), Ok(causal));
}

#[test]
fn lengths_near_the_end_of_usize_do_not_overflow() {
    let grid = BlockGrid {
        batch: 1,
        heads: 1,
        q_len: usize::MAX,
        k_len: usize::MAX - 1,
        block: usize::MAX / 2,
    };
    for mask in [
        BlockMask::causal(&grid).unwrap(),
        BlockMask::sliding_window(&grid, usize::MAX).unwrap(),
    ] {
        assert_eq!(mask.shape(), [1, 1, 3, 2]);
        assert_eq!(mask.row(0, 0, 0).collect::<Vec<_>>(), [0]);
        assert_eq!(mask.row(0, 0, 2).collect::<Vec<_>>(), [0, 1]);
    }
}

proptest! {
    #[test]
    fn fixed_masks_are_what_their_tokens_see(
        (q_len, k_len) in (0_usize..20, 0_usize..20),
        block in 1_usize..6,
        (window, sinks) in (0_usize..25, 0_usize..25),
    ) {
        let grid = BlockGrid { batch: 2, heads: 3, q_len, k_len, block };
        prop_assert_eq!(BlockMask::causal(&grid).unwrap(), by_tokens(&grid, |p, s| s <= p));
        let reach = window as i64;
        prop_assert_eq!(
            BlockMask::sliding_window(&grid, window).unwrap(),
            by_tokens(&grid, |p, s| s <= p && s > p - reach)
        );
        prop_assert_eq!(
            BlockMask::sinks(&grid, sinks).unwrap(),
            by_tokens(&grid, |_, s| s < sinks as i64)
        );
    }

    #[test]
    fn dilated_blocks_are_counted_from_where_the_last_query_stands(
        (q_len, k_len) in (0_usize..20, 0_usize..20),
        block in 1_usize..6,
        (dilation, count) in (1_usize..4, 0_usize..5),
    ) {
        let grid = BlockGrid { batch: 1, heads: 2, q_len, k_len, block };
        let (q_blocks, k_blocks) = (q_len.div_ceil(block), k_len.div_ceil(block));
        let expected = BlockMask::from_fn(1, 2, q_blocks, k_blocks, |_, _, i, j| {
            let last = ((i + 1) * block).min(q_len) as i64 - 1 + k_len as i64 - q_len as i64;
            let own = last.div_euclid(block as i64);
            (0..count).any(|n| own - (n * dilation) as i64 == j as i64)
        });
        prop_assert_eq!(BlockMask::dilated(&grid, dilation, count), expected);
    }

    #[test]
    fn words_and_truth_values_are_inverse(
        (batch, heads, q_blocks, k_blocks) in (0_usize..3, 0_usize..3, 0_usize..4, 0_usize..70),
        seed: u64,
    ) {
        let len = batch * heads * q_blocks * k_blocks;
        let bools: Vec<bool> = (0..len as u64)
            .map(|i| (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1)
            .collect();
        let mask = BlockMask::from_bools(batch, heads, q_blocks, k_blocks, &bools).unwrap();
        prop_assert_eq!(mask.to_bools().unwrap(), bools.clone());
        let words = mask.words().to_vec();
        prop_assert_eq!(
            BlockMask::try_from_words(batch, heads, q_blocks, k_blocks, words),
            Ok(mask.clone())
        );
        prop_assert_eq!(mask.count(), bools.iter().filter(|&&attends| attends).count());
        for row in 0..batch * heads * q_blocks {
            let (b, h, i) = (row / q_blocks / heads, row / q_blocks % heads, row % q_blocks);
            for j in 0..k_blocks {
                prop_assert_eq!(mask.get(b, h, i, j), bools[row * k_blocks + j]);
            }
        }
    }
}

#[test]
fn a_mask_that_no_memory_holds_is_an_error() {
    assert_eq!(
        BlockMask::dense(1, 1, 1 << 30, 1 << 30)
            .unwrap_err()
            .to_string(),
        "there is no memory for a mask of [1, 1, 1073741824, 1073741824] blocks (batch, heads, query blocks, key blocks), \
         144115188075855872 bytes; choose larger blocks, or some heads at a time"
    );
}
