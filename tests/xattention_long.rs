//! `xattention` on long inputs: 16 384 tokens on sampled rows, and the memory of plans up to 65 536 tokens.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
    pub(crate) mod xattention_run;
}

use sparse_core::attention::{AttentionShape, block_attention_of_queries};
use sparse_core::bounds::{attention_bounds, block_score_bounds, compare, selection_tolerance};
use sparse_core::synthetic::PlantedAttention;
use sparse_core::xattention::{XAttentionOptions, xattention_score};
use sparse_core::{DType, Tensor};
use sparse_gpu::XAttention;
use support::gpu::gpu;
use support::xattention_run::run;

const LEN: usize = 16_384;
const HEAD_DIM: usize = 32;

/// The first `end` tokens from `start` on, of a single head.
fn tokens(x: &Tensor<f32>, start: usize, end: usize) -> Tensor<f32> {
    let data = x.data()[start * HEAD_DIM..end * HEAD_DIM].to_vec();
    Tensor::new(vec![1, 1, end - start, HEAD_DIM], data)
}

#[test]
fn sampled_rows_of_16k_tokens() {
    let shape = AttentionShape::try_new(1, 1, 1, LEN, LEN, HEAD_DIM).unwrap();
    let planted = PlantedAttention {
        shape,
        density: 0.1,
        seed: 9,
    };
    let inputs = planted.generate::<f32>().unwrap();
    let (q, k, v) = (&inputs.q, &inputs.k, &inputs.v);
    let options = XAttentionOptions {
        stride: 16,
        ..XAttentionOptions::default()
    };
    let layout = options.layout(shape).unwrap();
    let result = run([q, k, v], &options);
    let density = result.mask.density() * 2.0;
    assert!((0.05..0.2).contains(&density), "{density}");

    let blocks = LEN / options.block;
    for row in [0, 1, 5, 31, 32, 33, 64, 77, 96, 126, 127] {
        // The row alone, as the end of a prompt: its scores and its choice are those of the whole.
        let (start, end) = (row * options.block, (row + 1) * options.block);
        let alone = xattention_score(&tokens(q, start, end), &tokens(k, 0, end), &options).unwrap();
        let expected = alone.scores.data();
        assert_eq!(expected.len(), row + 1);
        let bounds = block_score_bounds(&alone, &layout);
        let scores = &result.scores[row * blocks..(row + 1) * blocks];
        let comparison = compare(scores[..=row].iter().copied(), expected, &bounds);
        assert!(comparison.holds(), "row {row} scores: {comparison}");
        assert!(scores[row + 1..].iter().all(|&sum| sum == 0.0), "row {row}");

        let tolerance = selection_tolerance(&alone, &layout)[0];
        let chosen: Vec<bool> = (0..blocks).map(|j| result.mask.get(0, 0, row, j)).collect();
        layout
            .exact_row(0, 0, row)
            .check_choice(&with_zeros(expected, blocks), &chosen, tolerance)
            .unwrap_or_else(|e| panic!("row {row}: {e}"));
    }

    let queries: Vec<usize> = (0..LEN).step_by(509).chain([LEN - 1]).collect();
    let attention = options.attention();
    let expected =
        block_attention_of_queries(q, k, v, Some(&result.mask), &attention, &queries).unwrap();
    let largest = v
        .data()
        .iter()
        .fold(0.0, |max: f64, x| max.max(f64::from(x.abs())));
    let bounds = attention_bounds(&expected, largest, DType::F32);
    let out = queries
        .iter()
        .flat_map(|t| result.out[t * HEAD_DIM..(t + 1) * HEAD_DIM].iter().copied());
    let comparison = compare(out, &expected.out, &bounds.out);
    assert!(comparison.holds(), "out: {comparison}");
    let lse = queries.iter().map(|&t| result.lse[t]);
    let comparison = compare(lse, &expected.lse, &bounds.lse);
    assert!(comparison.holds(), "lse: {comparison}");
}

/// `scores`, and zeros up to `len`.
fn with_zeros(scores: &[f64], len: usize) -> Vec<f64> {
    let mut all = scores.to_vec();
    all.resize(len, 0.0);
    all
}

/// Beside q, k, v and the output a plan holds little, and what is not one number or bit per block grows no faster than the sequence.
#[test]
fn memory_grows_with_the_length_of_the_sequence() {
    let held = |len: usize| {
        let shape = AttentionShape::try_new(1, 8, 8, len, len, 64).unwrap();
        let options = XAttentionOptions {
            stride: 16,
            ..XAttentionOptions::default()
        };
        let plan = gpu()
            .plan_blocking(&XAttention::new(shape, options))
            .unwrap();
        let blocks = (len / 128) as u64;
        let grids = plan.scores().unwrap().bytes() + plan.mask().unwrap().buffer().size();
        // Eight heads, a float and a bit per block, rows of bits in whole words.
        let expected = 8 * blocks * (4 * blocks + 4 * blocks.div_ceil(32));
        assert_eq!(grids, expected, "{len}");
        let steps: u64 = plan.steps().iter().map(|step| step.scratch_bytes).sum();
        let scratch = plan.explain().scratch_bytes;
        assert_eq!(scratch, grids + steps, "{len}");
        (scratch, steps)
    };
    let lengths = [2048, 4096, 8192, 16_384, 32_768, 65_536];
    let held = lengths.map(held);
    // Maxima per query group and key block are a grid too, until the bound on scratch memory cuts the problem into strips: a quarter of the
    // packed queries at most.
    let (_, shortest) = held[0];
    for ((_, steps), len) in held.into_iter().zip(lengths) {
        let times = (len / lengths[0]) as u64;
        assert!(
            4 * steps <= 5 * shortest * times,
            "{len} tokens: {steps} bytes, {shortest} for {}",
            lengths[0]
        );
        assert!(steps <= 96 << 20, "{len} tokens: {steps} bytes");
    }
    // 64K tokens by eight heads: 0.5 GiB of operands in f32, and this beside them.
    let (total, _) = held[5];
    println!("65 536 tokens, 8 heads: {total} bytes");
    assert!(total <= 128 << 20, "{total}");
}
