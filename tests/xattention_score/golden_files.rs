//! The scores of the golden files, and both modes on their inputs.

use half::{bf16, f16};
use sparse_core::xattention::Mode;

use crate::check;
use crate::goldens::load_everything;
use crate::support::gpu::rounded;
use crate::support::xattention::gpu_scores;

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
