//! Products with dense weights in which x, w or y is larger than a binding.

use half::f16;
use sparse_core::matmul::dense_matmul_tokens;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{Element, Epilogue};
use sparse_gpu::{DenseMatmul, MatmulTypes, Tile, TileOrigin, Transposed};

use crate::support::gpu::{gpu, poisoned, submit};
use crate::support::matmul::integers;
use crate::{LARGE, assert_equal, dense_equals_the_reference, multiply};

#[test]
fn few_tokens_go_in_smaller_panels_where_rows_are_long() {
    // 8 tokens of sums do not fit a binding, 4 do.
    dense_equals_the_reference([8, 5_000_000, 4], &[0, 3, 4, 7]);
}

/// A panel of 512 tokens of the caller's tile does not fit a binding, one of 256 does; and of rows that are longer still, one of 16.
#[test]
fn tiles_are_made_smaller_where_rows_are_long_and_plans_say_so() {
    let tile = Some(Tile {
        rows: 8,
        cols: 8,
        lanes: 64,
    });
    let problem = DenseMatmul {
        tile,
        ..DenseMatmul::new(512, 8, 70_000)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let explanation = plan.explain();
    assert_eq!(explanation.tile, "8 rows x 8 tokens x 32 lanes");
    assert_eq!(explanation.tile_origin, None);
    let note = "the tile 8 rows x 8 tokens x 64 lanes, of the caller, takes more tokens at once than can be bound: a smaller one is in its place";
    assert!(explanation.notes.iter().any(|n| n == note), "{explanation}");
    let fits = DenseMatmul {
        tile,
        ..DenseMatmul::new(512, 8, 50_000)
    };
    let plan = gpu().plan_blocking(&fits).unwrap();
    assert_eq!(plan.explain().tile_origin, Some(TileOrigin::Caller));

    let (tokens, n_out, k_in) = (9, 2, 2_000_000);
    let (x, w) = (integers(tokens, k_in, 1), integers(n_out, k_in, 2));
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let problem = DenseMatmul {
        split_k: Some(16),
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let actual = multiply(&problem, &gw, &gx, n_out, &[0, 8]);
    assert_equal(
        actual,
        &dense_matmul_tokens(&x, &w, &Epilogue::default(), &[0, 8]).unwrap(),
    );
}

#[test]
fn dense_weights_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (10, 12_800, 4128);
    assert!(n_out * k_in * 4 > LARGE);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 9]);
}

/// x and w transposed: rows of k are bound some at a time, those of w in parts whose sums meet.
fn transposed_equals_the_reference<X: Element>(
    [tokens, n_out, k_in]: [usize; 3],
    sampled: &[usize],
) {
    let x = integer_matrix::<X>(k_in, tokens, 3, 1).unwrap();
    let w = integers(k_in, n_out, 2);
    let (gx, gw) = (gpu().upload(&x).unwrap(), gpu().upload(&w).unwrap());
    let problem = DenseMatmul {
        types: MatmulTypes {
            x: X::DTYPE,
            ..MatmulTypes::default()
        },
        transposed: Transposed {
            x: true,
            w: true,
            y: true,
        },
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&problem).unwrap();
    let mut y = poisoned::<f32>(gpu(), &[n_out, tokens]);
    submit(gpu(), |pass| plan.record(pass, &gw, &gx, &mut y).unwrap());
    let y = gpu().read_blocking::<f32>(&y).unwrap();
    let actual = sampled
        .iter()
        .flat_map(|&t| (0..n_out).map(move |o| o * tokens + t))
        .map(|i| f64::from(y.data()[i]))
        .collect();
    let (x, w) = (x.view().transposed(), w.view().transposed());
    assert_equal(
        actual,
        &dense_matmul_tokens(x, w, &Epilogue::default(), sampled).unwrap(),
    );
}

#[test]
fn transposed_operands_larger_than_a_binding() {
    // w of 200 MiB, x, y; and rows that do not start at vec4s.
    transposed_equals_the_reference::<f32>([9, 12_800, 4096], &[0, 8]);
    transposed_equals_the_reference::<f32>([2, 8_193, 4100], &[0, 1]);
    transposed_equals_the_reference::<f32>([70_001, 3, 500], &[0, 33_551, 33_552, 70_000]);
    transposed_equals_the_reference::<f32>([70_001, 500, 3], &[0, 33_551, 33_552, 70_000]);
    // x as halves, with rows that start at whole words and in the middle of them.
    transposed_equals_the_reference::<f16>([70_000, 3, 1000], &[0, 67_071, 67_072, 69_999]);
    transposed_equals_the_reference::<f16>([70_001, 3, 1000], &[0, 67_071, 67_072, 70_000]);
}

/// Of a transposed x fewer rows can be bound than the 32 that a workgroup packs, and some tokens of them at a time.
#[test]
fn rows_of_a_transposed_x_so_long_that_few_can_be_bound() {
    transposed_equals_the_reference::<f32>([1_100_000, 2, 40], &[0, 419_424, 838_912, 1_099_999]);
    transposed_equals_the_reference::<f16>([2_100_001, 2, 34], &[0, 932_064, 2_100_000]);
}

#[test]
fn unaligned_dense_weights_larger_than_a_binding() {
    dense_equals_the_reference([1, 8209, 4127], &[0]);
}

#[test]
fn activations_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 3, 750);
    assert!(tokens * k_in * 4 > LARGE);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 40_000, 70_000]);
}

#[test]
fn a_result_larger_than_a_binding() {
    let (tokens, n_out, k_in) = (70_001, 750, 4);
    assert!(tokens * n_out * 4 > LARGE);
    dense_equals_the_reference([tokens, n_out, k_in], &[0, 35_555, 70_000]);
}
