//! `xattention_score` on the GPU against its CPU reference and against golden files.

#[path = "support/goldens.rs"]
mod goldens;
mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

use goldens::load_everything;
use half::{bf16, f16};
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

/// f32 torch against f64 differs by at most 3.6e-6 on these files.
const SUM_TOLERANCE: f64 = 2e-5;

fn largest_difference(actual: &[f64], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let difference = |(&a, &e): (&f64, &f32)| (a - f64::from(e)).abs();
    actual
        .iter()
        .zip(expected)
        .map(difference)
        // NaN is the largest of all.
        .map(|d| if d.is_nan() { f64::INFINITY } else { d })
        .fold(0.0, f64::max)
}

#[test]
fn reference_scores_of_the_golden_files() {
    for golden in load_everything() {
        if golden.kdb != 1 {
            println!(
                "{}: scores not compared, this library has no kdb",
                golden.name
            );
            continue;
        }
        let (shape, scores) = gpu_scores(&golden.q, &golden.k, &golden.options, None);
        assert_eq!(shape, golden.attn_sums.shape, "{}", golden.name);
        let max = largest_difference(&scores, &golden.attn_sums.data);
        // Without softmax the scores are not shares; the largest is 71.
        let unit = if golden.name.starts_with("o04") {
            71.0
        } else {
            1.0
        };
        assert!(max <= SUM_TOLERANCE * unit, "{}: {max:e}", golden.name);
    }
}

#[test]
fn both_modes_on_the_inputs_of_the_golden_files() {
    for golden in load_everything() {
        let softmax = !golden.name.starts_with("o04");
        for options in [golden.exact_options(), golden.options.clone()] {
            // Without softmax a sum is a plain exponential and has no relative bound of this kind.
            if softmax || options.mode == Mode::Exact {
                check(&golden.name, &golden.q, &golden.k, &options, None);
            }
        }
    }
}

fn rounded<T: Element>(tensor: &Tensor<f32>) -> Tensor<T> {
    let data = tensor.data().iter().map(|&x| T::from_f32(x)).collect();
    Tensor::new(tensor.shape().to_vec(), data)
}

/// Half-width storage of the golden inputs: exact against a reference of the same rounded numbers, and within the README's share of a
/// row's mass of the unrounded file.
#[test]
fn half_width_storage_of_the_golden_files() {
    for golden in load_everything().iter().filter(|g| g.kdb == 1) {
        if golden.name.starts_with("o04") {
            continue;
        }
        let groups = (golden.options.block / golden.options.stride) as f64;
        let (q, k) = (rounded::<f16>(&golden.q), rounded::<f16>(&golden.k));
        check(&golden.name, &q, &k, &golden.options, None);
        let (_, scores) = gpu_scores(&q, &k, &golden.options, None);
        let max = largest_difference(&scores, &golden.attn_sums.data) / groups;
        assert!(max <= 1e-3, "{}: f16 {max:e}", golden.name);
        let (q, k) = (rounded::<bf16>(&golden.q), rounded::<bf16>(&golden.k));
        check(&golden.name, &q, &k, &golden.options, None);
        let (_, scores) = gpu_scores(&q, &k, &golden.options, None);
        let max = largest_difference(&scores, &golden.attn_sums.data) / groups;
        assert!(max <= 2e-2, "{}: bf16 {max:e}", golden.name);
    }
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
fn edge_shapes_in_every_mode_and_storage() {
    let shapes = [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 3, 70, 5],    // q_len < stride
        [1, 1, 1, 70, 3, 8],    // k_len < stride, q_len > k_len
        [1, 2, 1, 100, 200, 7], // odd head dimension
        [2, 4, 2, 130, 257, 12],
        [2, 6, 3, 65, 64, 33],
        [1, 1, 1, 300, 129, 4],
        [1, 3, 1, 0, 50, 4],
        [1, 2, 2, 50, 0, 4],
        [0, 2, 1, 40, 40, 4],
    ];
    for shape in shapes {
        let [q, k] = inputs(shape);
        // The last has more groups a block than a workgroup sums up at once.
        for (block, stride) in [(32, 4), (32, 32), (64, 8), (24, 3), (20, 1), (80, 1)] {
            for causal in [true, false] {
                for mode in [Mode::Exact, Mode::Reference(ReferenceOptions::default())] {
                    let mode = match mode {
                        Mode::Reference(options) => Mode::Reference(ReferenceOptions {
                            chunk: Some(2 * block),
                            ..options
                        }),
                        Mode::Exact => Mode::Exact,
                    };
                    let options = XAttentionOptions {
                        block,
                        stride,
                        causal,
                        mode,
                        ..XAttentionOptions::default()
                    };
                    let what = format!("{shape:?} {options:?}");
                    // Reference mode refuses more query chunks than key chunks.
                    if options
                        .layout(AttentionShape::of_qk(q.shape(), k.shape()).unwrap())
                        .is_err()
                    {
                        assert!(shape[3] > shape[4] && mode != Mode::Exact, "{what}");
                        continue;
                    }
                    check(&what, &q, &k, &options, None);
                    check(&what, &rounded::<f16>(&q), &rounded(&k), &options, None);
                    check(&what, &rounded::<bf16>(&q), &rounded(&k), &options, None);
                }
            }
        }
    }
}

#[test]
fn every_stride_and_block_of_models() {
    for (block, stride) in [32, 64, 128]
        .into_iter()
        .flat_map(|block| [4, 8, 16, 32, 64].map(|stride| (block, stride)))
        .filter(|(block, stride)| stride <= block)
    {
        let [q, k] = inputs([1, 4, 2, 331, 517, 32]);
        for causal in [true, false] {
            let options = XAttentionOptions {
                block,
                stride,
                causal,
                ..XAttentionOptions::default()
            };
            check(&format!("{options:?}"), &q, &k, &options, None);
        }
    }
}

#[test]
fn every_head_dimension_of_models() {
    for head_dim in [1, 2, 3, 31, 40, 64, 72, 80, 96, 128, 160, 192, 255, 256] {
        let [q, k] = inputs([1, 2, 1, 200, 200, head_dim]);
        let options = XAttentionOptions {
            block: 32,
            ..XAttentionOptions::default()
        };
        check(&format!("{head_dim}"), &q, &k, &options, None);
        check(
            &format!("{head_dim}"),
            &rounded::<f16>(&q),
            &rounded(&k),
            &options,
            None,
        );
    }
}

/// The longest and the shortest groups of the widest rows, in every block.
#[test]
fn the_widest_rows_at_every_block() {
    let [q, k] = inputs([1, 2, 1, 290, 290, 256]);
    for (block, stride) in [
        (32, 4),
        (32, 32),
        (64, 4),
        (64, 64),
        (128, 4),
        (128, 16),
        (128, 64),
    ] {
        let options = XAttentionOptions {
            block,
            stride,
            ..XAttentionOptions::default()
        };
        check(&format!("{options:?}"), &q, &k, &options, None);
        check(
            "f16",
            &rounded::<f16>(&q),
            &rounded::<f16>(&k),
            &options,
            None,
        );
    }
}

#[test]
fn every_tile_gives_the_same() {
    let [q, k] = inputs([1, 2, 1, 700, 700, 16]);
    for (rows, cols, lanes) in [
        (8, 8, 8),
        (8, 4, 32),
        (4, 8, 32),
        (16, 4, 64),
        (1, 16, 8),
        (2, 4, 8),
    ] {
        let tile = Tile { rows, cols, lanes };
        // With 9 and 15 groups a block, the last tile of rows reaches into the next block.
        for (block, stride) in [(128, 8), (32, 16), (48, 4), (36, 4), (60, 4)] {
            let options = XAttentionOptions {
                block,
                stride,
                ..XAttentionOptions::default()
            };
            check(&format!("{tile}"), &q, &k, &options, Some(tile));
        }
    }
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
