//! Running the steps of XAttention on the GPU.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::attention::AttentionShape;
use sparse_core::mask::BlockMask;
use sparse_core::xattention::{BlockScores, XAttentionOptions, xattention_select};
use sparse_core::{Element, Tensor};
use sparse_gpu::{Error, Gpu, GpuMask, Tile, XAttentionScore, XAttentionSelect, wgpu};

use super::gpu::{gpu, poisoned, read, submit};

/// The block scores of q and k, in a buffer that was full of NaN.
pub(crate) fn gpu_scores<Q: Element, K: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    options: &XAttentionOptions,
    tile: Option<Tile>,
) -> ([usize; 4], Vec<f64>) {
    let gpu = gpu();
    let problem = XAttentionScore {
        q: Q::DTYPE,
        k: K::DTYPE,
        tile,
        ..XAttentionScore::new(
            AttentionShape::of_qk(q.shape(), k.shape()).unwrap(),
            options.clone(),
        )
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let [q, k] = [gpu.upload(q).unwrap(), gpu.upload(k).unwrap()];
    let mut scores = poisoned::<f32>(gpu, &plan.score_shape());
    submit(gpu, |pass| plan.record(pass, &q, &k, &mut scores).unwrap());
    (plan.score_shape(), read::<f32>(gpu, &scores))
}

/// A mask with every bit set, unused ones too.
pub(crate) fn poisoned_mask(gpu: &Gpu, shape: [usize; 4]) -> GpuMask {
    let mask = gpu.empty_mask(shape).unwrap();
    let ones = vec![0xff; usize::try_from(mask.buffer().size()).unwrap()];
    gpu.queue().write_buffer(mask.buffer(), 0, &ones);
    mask
}

/// The selection from given scores, which are rounded to f32; `row_lanes` invocations per row. Reading the mask back checks its unused bits.
pub(crate) fn gpu_select(
    scores: &[f64],
    shape: AttentionShape,
    options: &XAttentionOptions,
    row_lanes: Option<usize>,
) -> BlockMask {
    let gpu = gpu();
    let problem = XAttentionSelect {
        row_lanes,
        ..XAttentionSelect::new(shape, options.clone())
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let score_shape = options.layout(shape).unwrap().score_shape();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest f32 is the purpose"
    )]
    let scores = scores.iter().map(|&x| x as f32).collect();
    let scores = gpu
        .upload(&Tensor::new(score_shape.to_vec(), scores))
        .unwrap();
    let mut mask = poisoned_mask(gpu, plan.mask_shape());
    submit(gpu, |pass| plan.record(pass, &scores, &mut mask).unwrap());
    gpu.read_mask_blocking(&mask).unwrap()
}

/// As f64 scores, what the GPU computed.
pub(crate) fn block_scores_of(shape: [usize; 4], scores: Vec<f64>) -> BlockScores {
    BlockScores::try_new(shape, scores).unwrap_or_else(|e| panic!("{e}"))
}

/// Positions of the blocks that differ.
pub(crate) fn mask_differences(actual: &BlockMask, expected: &BlockMask) -> Vec<[usize; 4]> {
    assert_eq!(actual.shape(), expected.shape());
    let [batch, heads, q_blocks, k_blocks] = actual.shape();
    let mut differences = Vec::new();
    for b in 0..batch {
        for h in 0..heads {
            for i in 0..q_blocks {
                let differs = |&j: &usize| actual.get(b, h, i, j) != expected.get(b, h, i, j);
                differences.extend((0..k_blocks).filter(differs).map(|j| [b, h, i, j]));
            }
        }
    }
    differences
}

/// Both kernels: one invocation per row, and several.
pub(crate) const LANES: [Option<usize>; 3] = [Some(1), Some(32), Some(7)];

/// Scores that are multiples of 1/16: sums and shares by 16ths are exact in f64 and on the GPU, ties are frequent.
pub(crate) fn sixteenths(shape: [usize; 4], seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..shape.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f64::from(u32::try_from(state >> 61).unwrap()) / 16.0
        })
        .collect()
}

/// The masks of every kernel from such scores are those of the CPU, bit by bit.
pub(crate) fn assert_same_as_reference(
    shape: AttentionShape,
    options: &XAttentionOptions,
    seed: u64,
) {
    let layout = options.layout(shape).unwrap();
    let numbers = sixteenths(layout.score_shape(), seed);
    let scores = BlockScores::try_new(layout.score_shape(), numbers.clone()).unwrap();
    let expected = xattention_select(&scores, &layout).unwrap();
    for lanes in LANES {
        let mask = gpu_select(&numbers, shape, options, lanes);
        let differences = mask_differences(&mask, &expected);
        assert!(
            differences.is_empty(),
            "{shape:?} {options:?} {lanes:?}: {differences:?}"
        );
    }
}

/// Sizes that all differ, and options to go with them, for operands that do not fit: q `[1, 2, 40, 8]`, k `[1, 1, 50, 8]`, scores and mask
/// `[1, 2, 3, 4]`.
pub(crate) fn small_problem() -> (AttentionShape, XAttentionOptions) {
    let options = XAttentionOptions {
        block: 16,
        stride: 4,
        ..XAttentionOptions::default()
    };
    let shape = AttentionShape::try_new(1, 2, 1, 40, 50, 8).unwrap();
    (shape, options)
}

/// Why `record` refuses its operands. What it recorded is never submitted.
pub(crate) fn refusal(
    record: impl FnOnce(&mut wgpu::ComputePass<'_>) -> Result<(), Error>,
) -> String {
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    record(&mut pass).unwrap_err().to_string()
}
