//! XAttention end to end on the GPU, and its results against the CPU reference step by step.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::attention::{AttentionShape, HeadKind, block_attention};
use sparse_core::bounds::{attention_bounds, block_score_bounds, compare, selection_tolerance};
use sparse_core::mask::BlockMask;
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{XAttentionOptions, xattention_score, xattention_select};
use sparse_core::{Element, Tensor};
use sparse_gpu::{AttentionTypes, GpuTensor, XAttention};

use super::gpu::{gpu, poisoned, read, rounded, submit};

/// All that a run leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) out: Vec<f64>,
    pub(crate) lse: Vec<f64>,
    pub(crate) scores: Vec<f64>,
    pub(crate) mask: BlockMask,
}

/// Sparse attention of tensors that fill their buffers.
pub(crate) fn run<T: Element>([q, k, v]: [&Tensor<T>; 3], options: &XAttentionOptions) -> Run {
    let shape = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape()).unwrap();
    let qkv = [q, k, v].map(|x| gpu().upload(x).unwrap());
    run_uploaded::<T>(&XAttention::new(shape, options.clone()), &qkv)
}

/// Sparse attention of tensors on the GPU, all stored as `T`.
pub(crate) fn run_uploaded<T: Element>(problem: &XAttention, [q, k, v]: &[GpuTensor; 3]) -> Run {
    let gpu = gpu();
    let problem = XAttention {
        types: AttentionTypes::all(T::DTYPE),
        ..problem.clone()
    };
    let plan = gpu.plan_blocking(&problem).unwrap();
    let mut out = poisoned::<T>(gpu, q.shape());
    let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
    submit(gpu, |pass| {
        plan.record(pass, q, k, v, &mut out, &mut lse).unwrap();
    });
    Run {
        out: read::<T>(gpu, &out),
        lse: read::<f32>(gpu, &lse),
        scores: read::<f32>(gpu, plan.scores().unwrap()),
        mask: gpu.read_mask_blocking(plan.mask().unwrap()).unwrap(),
    }
}

/// Scores within their bounds, every row's choice a right one within the scores' bounds, and the attention over the chosen blocks within
/// its bounds.
pub(crate) fn check_exact<T: Element>(
    what: &str,
    qkv: [&Tensor<T>; 3],
    options: &XAttentionOptions,
) -> Run {
    let result = run(qkv, options);
    let [q, k, v] = qkv;
    let shape = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
    let layout = options.layout(shape).unwrap();
    let reference = xattention_score(q, k, options).unwrap();
    let bounds = block_score_bounds(&reference, &layout);
    let comparison = compare(
        result.scores.iter().copied(),
        reference.scores.data(),
        &bounds,
    );
    assert!(comparison.holds(), "{what} scores: {comparison}");

    let [_, heads, q_blocks, k_blocks] = result.mask.shape();
    let tolerance = selection_tolerance(&reference, &layout);
    let shared = layout.shared_scores(&reference.scores).unwrap();
    let selected = xattention_select(&reference.scores, &layout).unwrap();
    for (row, &tolerance) in tolerance.iter().enumerate() {
        let (b, h, i) = (
            row / q_blocks / heads,
            row / q_blocks % heads,
            row % q_blocks,
        );
        if layout.kind_of_mask_head(h) != HeadKind::Sparse {
            // Nothing is selected by score.
            assert!(
                result.mask.row(b, h, i).eq(selected.row(b, h, i)),
                "{what} {:?}",
                (b, h, i)
            );
            continue;
        }
        let chosen: Vec<bool> = (0..k_blocks).map(|j| result.mask.get(b, h, i, j)).collect();
        let scores = shared.row(b, h, i);
        layout
            .exact_row(b, h, i)
            .check_choice(scores, &chosen, tolerance)
            .unwrap_or_else(|e| panic!("{what} {:?}: {e}", (b, h, i)));
    }

    let mask = layout.mask_of_query_heads(&result.mask).unwrap();
    let own_masks = options.attention().with_own_masks();
    let expected = block_attention(q, k, v, Some(&mask), &own_masks).unwrap();
    let largest_v = v
        .data()
        .iter()
        .fold(0.0, |max: f64, x| max.max(x.to_f64().abs()));
    let bounds = attention_bounds(&expected, largest_v, T::DTYPE);
    for (name, actual, expected, bounds) in [
        ("out", &result.out, &expected.out, &bounds.out),
        ("lse", &result.lse, &expected.lse, &bounds.lse),
    ] {
        let comparison = compare(actual.iter().copied(), expected, bounds);
        assert!(comparison.holds(), "{what} {name}: {comparison}");
    }
    result
}

/// Normal numbers as q, k and v, with peaked scores.
pub(crate) fn inputs<T: Element>(shape: AttentionShape) -> [Tensor<T>; 3] {
    let [q, kv] = [shape.q_shape(), shape.kv_shape()].map(|shape| shape.to_vec());
    let mut tensors = [(q, 1), (kv.clone(), 2), (kv, 3)]
        .map(|(shape, seed)| normal_tensor::<f32>(shape, seed).unwrap());
    // Peaked scores: with plain normal ones nearly every block is needed.
    tensors[0].data_mut().iter_mut().for_each(|x| *x *= 3.0);
    tensors.map(|tensor| rounded(&tensor))
}
