//! What holds for XAttention on the GPU whatever its numbers: minimal sets, monotone thresholds, independence of what is not the problem's.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
    pub(crate) mod xattention_run;
}

use proptest::prelude::*;
use sparse_core::attention::{AttentionShape, MaskHeads};
use sparse_core::bounds::selection_rounding;
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Tensor};
use sparse_gpu::{GpuTensor, XAttention};
use support::gpu::gpu;
use support::xattention::{block_scores_of, gpu_select};
use support::xattention_run::{Run, run, run_uploaded};

/// Any lengths, heads and thresholds; head dimension, block and strides are few, because each of them is another kernel.
#[derive(Clone, Debug)]
struct Case {
    shape: AttentionShape,
    options: XAttentionOptions,
    seed: u64,
}

impl Case {
    fn tensors(&self) -> [Tensor<f32>; 3] {
        let (q, kv) = (self.shape.q_shape(), self.shape.kv_shape());
        let mut tensors = [(q, 0), (kv, 1), (kv, 2)]
            .map(|(shape, n)| normal_tensor(shape.to_vec(), 3 * self.seed + n).unwrap());
        // Peaked scores: with plain normal ones nearly every block is needed.
        tensors[0].data_mut().iter_mut().for_each(|x| *x *= 3.0);
        tensors
    }

    fn run(&self) -> Run {
        let [q, k, v] = self.tensors();
        run([&q, &k, &v], &self.options)
    }
}

prop_compose! {
    fn cases()(
        batch in 1_usize..3,
        (q_heads, kv_heads) in prop::sample::select(vec![(1, 1), (4, 2), (3, 3)]),
        q_len in 1_usize..200,
        k_len in 1_usize..200,
        stride in prop::sample::select(vec![4_usize, 16]),
        threshold in 0.0_f64..1.0,
        causal: bool,
        sink_blocks in 0_usize..2,
        recent_blocks in 0_usize..3,
        mask_heads in prop::sample::select(vec![MaskHeads::Query, MaskHeads::Key]),
        seed in 0_u64..1_000_000,
    ) -> Case {
        let shape = AttentionShape::try_new(batch, q_heads, kv_heads, q_len, k_len, 6);
        let options = XAttentionOptions {
            block: 16,
            stride,
            threshold: threshold.into(),
            causal,
            sink_blocks,
            recent_blocks,
            mask_heads,
            ..XAttentionOptions::default()
        };
        Case { shape: shape.unwrap(), options, seed }
    }
}

/// Rows `(item, head, query block)` of a mask shape.
fn rows([batch, heads, q_blocks, _]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..batch)
        .flat_map(move |b| (0..heads).flat_map(move |h| (0..q_blocks).map(move |i| (b, h, i))))
}

/// Item `item` of a batch.
fn item(tensor: &Tensor<f32>, item: usize) -> Tensor<f32> {
    let mut shape = tensor.shape().to_vec();
    let len: usize = shape[1..].iter().product();
    shape[0] = 1;
    Tensor::new(shape, tensor.data()[item * len..(item + 1) * len].to_vec())
}

/// Each key/value head once for every query head that uses it.
fn expand_heads(tensor: &Tensor<f32>, times: usize) -> Tensor<f32> {
    let mut shape = tensor.shape().to_vec();
    let heads = tensor.data().chunks_exact(shape[2] * shape[3]);
    let data = heads.flat_map(|head| head.repeat(times)).collect();
    shape[1] *= times;
    Tensor::new(shape, data)
}

/// A tensor inside of a larger buffer that is full of NaN.
fn between_nans(tensor: &Tensor<f32>) -> GpuTensor {
    let mut data = vec![f32::NAN; 128];
    data.extend_from_slice(tensor.data());
    data.resize(data.len() + 200, f32::NAN);
    let whole = gpu().upload(&Tensor::new(vec![data.len()], data)).unwrap();
    GpuTensor::from_buffer(whole.buffer().clone(), 512, tensor.shape(), DType::F32).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// By the scores that the device itself has computed.
    #[test]
    fn the_chosen_set_reaches_the_threshold_and_every_block_of_it_is_needed(case in cases()) {
        let result = case.run();
        let layout = case.options.layout(case.shape).unwrap();
        let scores = block_scores_of(layout.score_shape(), result.scores.clone());
        let scores = layout.shared_scores(&scores).unwrap();
        for (b, h, i) in rows(result.mask.shape()) {
            let scores = scores.row(b, h, i);
            let exact = layout.exact_row(b, h, i);
            let total: f64 = scores[..exact.reachable].iter().sum();
            let wanted = case.options.threshold.of_head(h) * total;
            // Masses are cut to multiples of 2^-31 of the row's largest, sums of heads are rounded.
            let cut = total * selection_rounding(&layout);
            let chosen: Vec<usize> = result.mask.row(b, h, i).collect();
            let mass: f64 = chosen.iter().map(|&j| scores[j]).sum();
            prop_assert!(mass >= wanted - cut, "{mass} of {wanted}");
            prop_assert!(chosen.iter().all(|&j| j < exact.reachable));
            prop_assert!((0..exact.reachable).all(|j| !exact.forced[j] || chosen.contains(&j)));
            // One block stays in any case; a row without mass takes all.
            if chosen.len() > 1 && total > 0.0 {
                for &j in chosen.iter().filter(|&&j| !exact.forced[j]) {
                    prop_assert!(mass - scores[j] < wanted + cut, "row {:?} block {j}", (b, h, i));
                }
            }
        }
    }

    #[test]
    fn a_higher_threshold_only_adds_blocks(case in cases(), other in 0.0_f64..=1.0) {
        let scores = case.run().scores;
        let with = |threshold: f64| {
            let options = XAttentionOptions { threshold: threshold.into(), ..case.options.clone() };
            gpu_select(&scores, case.shape, &options, None)
        };
        let own = case.options.threshold.of_head(0);
        let (small, large) = (with(own.min(other)), with(own.max(other)));
        prop_assert_eq!(small.union(&large).unwrap(), large);
    }

    #[test]
    fn items_of_a_batch_are_independent(case in cases()) {
        let whole = case.run();
        let [q, k, v] = case.tensors();
        let (mut scores, mut bools, mut out, mut lse) = (vec![], vec![], vec![], vec![]);
        for at in 0..case.shape.batch() {
            let one = run([&item(&q, at), &item(&k, at), &item(&v, at)], &case.options);
            scores.extend(one.scores);
            bools.extend(one.mask.to_bools().unwrap());
            out.extend(one.out);
            lse.extend(one.lse);
        }
        prop_assert!(whole.scores == scores && whole.mask.to_bools().unwrap() == bools);
        prop_assert!(whole.out == out && whole.lse == lse);
    }

    #[test]
    fn shared_heads_equal_expanded_ones(case in cases()) {
        // Expanded heads share nothing.
        prop_assume!(case.options.mask_heads == MaskHeads::Query);
        let [q, k, v] = case.tensors();
        let times = case.shape.q_heads() / case.shape.kv_heads();
        let [k, v] = [k, v].map(|x| expand_heads(&x, times));
        prop_assert!(case.run() == run([&q, &k, &v], &case.options));
    }

    /// Neither what lies around the operands in their buffers, nor rows past the last token, have influence.
    #[test]
    fn what_is_around_the_operands_has_no_influence(case in cases()) {
        let surrounded = case.tensors().map(|x| between_nans(&x));
        let problem = XAttention::new(case.shape, case.options.clone());
        prop_assert!(run_uploaded::<f32>(&problem, &surrounded) == case.run());
    }
}
