//! `xattention_score` on the GPU against its CPU reference and against golden files.

#[path = "../support/goldens.rs"]
mod goldens;
#[path = "../support"]
mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

mod golden_files;
mod shapes;

use sparse_core::attention::AttentionShape;
use sparse_core::bounds::block_score_bounds;
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{
    Mode, Pooling, ReferenceOptions, XAttentionOptions, xattention_score,
};
use sparse_core::{DType, Element, Tensor};
use sparse_gpu::{Tile, XAttentionScore};
use support::gpu::gpu;
use support::xattention::gpu_scores;

/// Largest error in units of its bound; where that is above 1, fails with the place.
fn check<T: Element>(
    what: &str,
    q: &Tensor<T>,
    k: &Tensor<T>,
    options: &XAttentionOptions,
    tile: Option<Tile>,
) -> f64 {
    let (shape, actual) = gpu_scores(q, k, options, tile);
    let reference = xattention_score(q, k, options).unwrap();
    assert_eq!(shape, reference.scores.shape(), "{what}");
    let layout = options
        .layout(AttentionShape::of_qk(q.shape(), k.shape()).unwrap())
        .unwrap();
    let bounds = block_score_bounds(&reference, &layout);
    worst(what, &actual, reference.scores.data(), &bounds)
}

fn worst(what: &str, actual: &[f64], expected: &[f64], bounds: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let mut worst = 0.0_f64;
    for (at, ((a, e), bound)) in actual.iter().zip(expected).zip(bounds).enumerate() {
        let error = (a - e).abs();
        // Written so that NaN fails.
        assert!(
            error <= *bound,
            "{what}: {a} for {e} at {at}, bound {bound:e}"
        );
        worst = worst.max(error / bound);
    }
    worst
}

/// q and k of a shape `[batch, q_heads, kv_heads, q_len, k_len, head_dim]`.
fn inputs(shape: [usize; 6]) -> [Tensor<f32>; 2] {
    let [batch, q_heads, kv_heads, q_len, k_len, head_dim] = shape;
    [
        normal_tensor(vec![batch, q_heads, q_len, head_dim], 1).unwrap(),
        normal_tensor(vec![batch, kv_heads, k_len, head_dim], 2).unwrap(),
    ]
}

#[test]
fn slash_pooling_norm_and_scale() {
    let [q, k] = inputs([1, 2, 1, 150, 150, 16]);
    let reference = ReferenceOptions {
        chunk: Some(64),
        pooling: Pooling::Slash,
        ..ReferenceOptions::default()
    };
    for mode in [Mode::Exact, Mode::Reference(reference)] {
        let options = XAttentionOptions {
            block: 32,
            stride: 4,
            scale: Some(0.7),
            norm: 1.5,
            mode,
            ..XAttentionOptions::default()
        };
        check("slash", &q, &k, &options, None);
    }
}

#[test]
fn large_logits_neither_overflow_nor_lose_rows() {
    let [mut q, k] = inputs([1, 1, 1, 256, 256, 64]);
    q.data_mut().iter_mut().for_each(|x| *x *= 300.0);
    let options = XAttentionOptions {
        block: 32,
        stride: 4,
        ..XAttentionOptions::default()
    };
    let (_, scores) = gpu_scores(&q, &k, &options, None);
    for (row, scores) in scores.chunks(8).enumerate() {
        let total: f64 = scores.iter().sum();
        assert!((total - 8.0).abs() < 1e-5, "row {row}: {total}");
    }
}

/// Few products and few groups, so that the bound counts little that does not happen.
#[test]
fn the_bound_is_not_vacuous() {
    let [mut q, mut k] = inputs([1, 8, 8, 512, 512, 1]);
    for x in q.data_mut().iter_mut().chain(k.data_mut()) {
        *x *= 4.0;
    }
    let options = XAttentionOptions {
        block: 1,
        stride: 1,
        ..XAttentionOptions::default()
    };
    let reference = xattention_score(&q, &k, &options).unwrap();
    let layout = options
        .layout(AttentionShape::of_qk(q.shape(), k.shape()).unwrap())
        .unwrap();
    let bounds = block_score_bounds(&reference, &layout);
    let used = check("tight", &q, &k, &options, None);
    println!("{used} of the bound is used");
    assert!(used > 0.125, "an eighth of the bound would do: {used}");
    // A logit that is off by 1e-3 is noticed.
    let moved: Vec<f64> = reference.scores.data().iter().map(|x| x * 1.001).collect();
    let noticed =
        std::panic::catch_unwind(|| worst("moved", &moved, reference.scores.data(), &bounds));
    assert!(noticed.is_err());
}

#[test]
fn a_plan_says_what_it_does() {
    let shape = AttentionShape::try_new(1, 8, 2, 4096, 4096, 64).unwrap();
    let mut problem = XAttentionScore::new(shape, XAttentionOptions::default());
    let plan = gpu().plan_blocking(&problem).unwrap();
    let text = plan.explain().to_string();
    assert!(
        text.contains("xattention_score: kernel xattention_score_"),
        "{text}"
    );
    assert!(text.contains("k is read where it is"), "{text}");
    assert!(
        text.contains("at most 32768 KiB each: 1 part(s) of heads"),
        "{text}"
    );
    assert!(plan.explain().scratch_bytes <= 96 << 20);
    problem.k = DType::F16;
    let text = gpu().plan_blocking(&problem).unwrap().explain().to_string();
    assert!(text.contains("k is copied into rows of f32"), "{text}");
}
