//! Half-width results whose f32 sums are rounded by a second kernel, some tokens at a time.

use half::f16;
use sparse_core::matmul::dense_matmul_tokens;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{DType, Element, Epilogue, Matrix};
use sparse_gpu::{DenseMatmul, MatmulTypes, Tile};

use crate::support::gpu::gpu;
use crate::{BINDING, assert_equal, run};

/// Ones and minus ones: sums of a few hundred are f16 numbers.
fn signs<T: Element>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    integer_matrix(rows, cols, 1, seed).unwrap()
}

/// A product with half-width y, of `rows` of x and `cols` of w.
fn half_width_equals_the_reference(
    [tokens, n_out, k_in]: [usize; 3],
    sampled: &[usize],
    notes: [&str; 2],
) {
    let (x, w) = (signs::<f16>(tokens, k_in, 1), signs::<f16>(n_out, k_in, 2));
    let problem = DenseMatmul {
        types: MatmulTypes::all(DType::F16),
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    for note in notes {
        assert!(
            plan.explain().to_string().contains(note),
            "{}",
            plan.explain()
        );
    }
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let actual = run::<f16>(gpu(), &plan, &gw, &gx, n_out, sampled);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), sampled).unwrap(),
    );
}

const CHUNKS: &str = "tokens at a time";
const ROUNDED: &str = "rounded by a second kernel";

#[test]
fn rounding_chunks_that_packing_limits() {
    let sampled = [0, 33_551, 33_552, 33_553, 40_001, 69_999, 70_000];
    half_width_equals_the_reference([70_001, 3, 500], &sampled, [CHUNKS, ROUNDED]);
}

#[test]
fn rounding_chunks_that_the_result_limits() {
    // 67243 rows of f32 sums can be bound, an odd number of odd rows: no chunk may start in the middle of a word.
    let sampled = [0, 67_199, 67_200, 67_242, 67_243, 67_244, 70_000];
    half_width_equals_the_reference([70_001, 499, 4], &sampled, [CHUNKS, ROUNDED]);
}

#[test]
fn chunks_of_tokens_slices_of_weights_and_rounding_together() {
    // More panels than scratch memory for packed activations has room for, whether those are halves or f32.
    let (tokens, n_out, k_in) = (140, 257, 262_132);
    assert!(n_out * k_in * 2 > BINDING);
    // Sums of hundreds of thousands of signs stay within f16's whole numbers: ten standard deviations are below 2048 where most
    // of x is zero.
    let mut x = vec![f16::ZERO; tokens * k_in];
    let signs = signs::<f16>(tokens, 1000, 1);
    for (row, signs) in x
        .chunks_exact_mut(k_in)
        .zip(signs.data().chunks_exact(1000))
    {
        row[..500].copy_from_slice(&signs[..500]);
        row[k_in - 500..].copy_from_slice(&signs[500..]);
    }
    let x = Matrix::new(tokens, k_in, x);
    let w = self::signs::<f16>(n_out, k_in, 2);
    let problem = DenseMatmul {
        types: MatmulTypes::all(DType::F16),
        tile: Some(Tile {
            rows: 8,
            cols: 4,
            lanes: 8,
        }),
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    for note in [CHUNKS, ROUNDED] {
        assert!(
            plan.explain().to_string().contains(note),
            "{}",
            plan.explain()
        );
    }
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let sampled = [0, 31, 32, 63, 64, 127, 128, 139];
    let actual = run::<f16>(gpu(), &plan, &gw, &gx, n_out, &sampled);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &sampled).unwrap(),
    );
}
