//! Sums, epilogues, sampled tokens; sparse products against dense ones.

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::bsr::{bsr_matmul, bsr_matmul_tokens, bsr_matmul_transposed};
use sparse_core::matmul::{dense_matmul, dense_matmul_tokens};
use sparse_core::nm::{nm_matmul, nm_matmul_tokens, nm_matmul_transposed};
use sparse_core::{Activation, BsrMatrix, Element, Epilogue, Matrix, MatrixView, Nm, NmMatrix};

use crate::integers;

fn by_hand<T: Element>(x: &Matrix<T>, w: &Matrix<T>, bias: &[T]) -> Vec<f64> {
    let mut y = Vec::new();
    for t in 0..x.rows() {
        for (o, bias) in bias.iter().enumerate() {
            let products = (0..x.cols()).map(|k| x.get(t, k).to_f64() * w.get(o, k).to_f64());
            y.push(products.sum::<f64>() + bias.to_f64());
        }
    }
    y
}

fn dense_is_the_sum_by_hand<T: Element>() {
    for (tokens, n_out, k) in [(3, 5, 7), (1, 1, 1), (4, 2, 1), (1, 6, 16)] {
        let (x, w) = (integers::<T>(tokens, k), integers::<T>(n_out, k));
        let bias = integers::<T>(1, n_out);
        let epilogue = Epilogue::NONE.with_bias(bias.data());
        let product = dense_matmul(&x, &w, &epilogue).unwrap();
        let expected = by_hand(&x, &w, bias.data());
        assert!(expected.iter().any(|&y| y != 0.0));
        assert_eq!((product.tokens, product.n_out), (tokens, n_out));
        assert_eq!(product.y, expected);
        assert_eq!(product.pre, expected);
    }
}

#[test]
fn dense_is_the_sum_by_hand_in_every_storage_type() {
    dense_is_the_sum_by_hand::<f32>();
    dense_is_the_sum_by_hand::<f16>();
    dense_is_the_sum_by_hand::<bf16>();
}

#[test]
fn strided_views_are_read_through_their_strides() {
    let (x, w) = (integers::<f32>(3, 4), integers::<f32>(4, 5));
    let w_turned = w.view().transposed();
    let copied = w_turned.to_matrix().unwrap();
    assert_eq!(
        dense_matmul(&x, w_turned, &Epilogue::NONE),
        dense_matmul(&x, &copied, &Epilogue::NONE)
    );
    let broadcast = MatrixView::try_new(x.data(), 2, 4, 0, 1).unwrap();
    let y = dense_matmul(broadcast, &copied, &Epilogue::NONE).unwrap().y;
    assert_eq!(y[..5], y[5..]);
}

#[test]
fn an_epilogue_adds_the_bias_and_then_activates() {
    let x = Matrix::new(1, 2, vec![1.0_f32, -2.0]);
    let w = Matrix::new(2, 2, vec![3.0_f32, 1.0, 1.0, 2.0]);
    let epilogue = Epilogue::NONE
        .with_bias(&[-0.5_f32, 1.0])
        .with_activation(Activation::Relu);
    let product = dense_matmul(&x, &w, &epilogue).unwrap();
    assert_eq!(product.pre, [0.5, -2.0]);
    assert_eq!(product.y, [0.5, 0.0]);
    assert_eq!(product.magnitude, [5.5, 6.0]);
}

#[test]
fn an_epilogue_scales_and_adds_and_factors_of_zero_take_nothing() {
    let x = Matrix::new(2, 1, vec![1.0_f32, f32::INFINITY]);
    let w = Matrix::new(2, 1, vec![3.0_f32, -1.0]);
    let c = Matrix::new(2, 2, vec![10.0_f32, 20.0, f32::NAN, 40.0]);
    let epilogue = Epilogue::NONE
        .with_alpha(2.0)
        .with_addend(-0.5, &c)
        .unwrap();
    let product = dense_matmul(&x, &w, &epilogue).unwrap();
    assert_eq!(product.y[..2], [1.0, -12.0]);
    assert_eq!(product.magnitude[..2], [11.0, 12.0]);
    assert!(product.y[2].is_nan());
    assert_eq!(
        (product.epilogue_roundings, product.epilogue_gain),
        (2, 2.0)
    );
    // Sampled tokens meet their own rows of c.
    let sampled = dense_matmul_tokens(&x, &w, &epilogue, &[1, 0]).unwrap();
    assert_eq!(sampled.y[2..], product.y[..2]);
    let nothing = Epilogue::NONE.with_alpha(0.0).with_addend(0.0, &c).unwrap();
    assert_eq!(dense_matmul(&x, &w, &nothing).unwrap().y, [0.0; 4]);
    // Too short, and as many numbers as there are outputs in another shape.
    for (rows, cols) in [(2, 1), (1, 4), (4, 1)] {
        let other = Matrix::new(rows, cols, vec![1.0_f32; rows * cols]);
        let other = Epilogue::NONE.with_addend(1.0, &other).unwrap();
        assert_eq!(
            dense_matmul(&x, &w, &other).unwrap_err().to_string(),
            format!(
                "x has 2 rows and w has 2, so what is added must be 2 x 2, but it is {rows} x {cols}"
            )
        );
    }
}

#[test]
fn products_and_sums_are_f64() {
    // 1 + 2^-30 needs more than the 24 bits of f32, and so does the product 16777215^2.
    let x = Matrix::new(1, 2, vec![1.0_f32, 2.0_f32.powi(-30)]);
    let ones = Matrix::new(1, 2, vec![1.0_f32; 2]);
    assert_eq!(
        dense_matmul(&x, &ones, &Epilogue::NONE).unwrap().y,
        [1.0 + 2.0_f64.powi(-30)]
    );
    let large = Matrix::new(1, 1, vec![16_777_215.0_f32]);
    assert_eq!(
        dense_matmul(&large, &large, &Epilogue::NONE).unwrap().y,
        [16_777_215.0_f64 * 16_777_215.0]
    );
}

#[test]
fn what_is_not_stored_never_meets_an_infinity() {
    let x = Matrix::new(1, 5, vec![f32::INFINITY, 1.0, f32::NAN, 1.0, 2.0]);
    let w = Matrix::new(1, 5, vec![0.0_f32, 3.0, 0.0, 5.0, 7.0]);
    assert!(dense_matmul(&x, &w, &Epilogue::NONE).unwrap().y[0].is_nan());
    // The tail group holds column 4 and slots for the columns 5 to 7, which do not exist.
    let nm = NmMatrix::from_dense(&w, Nm::TWO_FOUR).unwrap();
    assert_eq!(nm.column(0, 3), 5);
    assert_eq!(nm_matmul(&x, &nm, &Epilogue::NONE).unwrap().y, [22.0]);
    let bsr = BsrMatrix::from_dense(&w, (2, 1)).unwrap();
    assert_eq!(bsr_matmul(&x, &bsr, &Epilogue::NONE).unwrap().y, [22.0]);
}

#[test]
fn explicit_zeros_are_stored_and_take_part() {
    let x = Matrix::new(1, 4, vec![f32::INFINITY, 1.0, 1.0, 1.0]);
    let nm = NmMatrix::new(1, 4, Nm::TWO_FOUR, vec![0.0_f32, 1.0], &[0, 1]);
    assert!(nm_matmul(&x, &nm, &Epilogue::NONE).unwrap().y[0].is_nan());
    let bsr = BsrMatrix::new(1, 4, (1, 2), vec![0, 1], vec![0], vec![0.0_f32, 1.0]);
    assert!(bsr_matmul(&x, &bsr, &Epilogue::NONE).unwrap().y[0].is_nan());
}

#[test]
fn sampled_tokens_are_rows_of_the_whole() {
    let (x, w) = (integers::<f32>(6, 8), integers::<f32>(5, 8));
    let (nm, bsr) = (
        NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap(),
        BsrMatrix::from_dense(&w, (2, 3)).unwrap(),
    );
    let epilogue = Epilogue::NONE.with_activation(Activation::Gelu);
    let tokens = [5, 0, 5, 2];
    let whole = [
        dense_matmul(&x, &w, &epilogue).unwrap(),
        nm_matmul(&x, &nm, &epilogue).unwrap(),
        bsr_matmul(&x, &bsr, &epilogue).unwrap(),
    ];
    let sampled = [
        dense_matmul_tokens(&x, &w, &epilogue, &tokens).unwrap(),
        nm_matmul_tokens(&x, &nm, &epilogue, &tokens).unwrap(),
        bsr_matmul_tokens(&x, &bsr, &epilogue, &tokens).unwrap(),
    ];
    for (whole, sampled) in whole.iter().zip(&sampled) {
        assert_eq!(sampled.tokens, 4);
        for (row, &token) in tokens.iter().enumerate() {
            let (s, w) = (row * 5..row * 5 + 5, token * 5..token * 5 + 5);
            assert_eq!(sampled.y[s.clone()], whole.y[w.clone()]);
            assert_eq!(sampled.pre[s.clone()], whole.pre[w.clone()]);
            assert_eq!(sampled.magnitude[s], whole.magnitude[w]);
        }
    }
}

#[test]
fn empty_sizes_give_empty_or_zero_outputs() {
    let none = Matrix::<f32>::new(0, 4, vec![]);
    let some = integers::<f32>(3, 4);
    assert!(
        dense_matmul(&none, &some, &Epilogue::NONE)
            .unwrap()
            .y
            .is_empty()
    );
    assert!(
        dense_matmul(&some, &none, &Epilogue::NONE)
            .unwrap()
            .y
            .is_empty()
    );
    let narrow = Matrix::<f32>::new(3, 0, vec![]);
    let epilogue = Epilogue::NONE.with_bias(&[1.0_f32, 2.0, 3.0]);
    let nm = NmMatrix::from_dense(&narrow, Nm::TWO_FOUR).unwrap();
    let bsr = BsrMatrix::from_dense(&narrow, (2, 2)).unwrap();
    for product in [
        dense_matmul(&narrow, &narrow, &epilogue).unwrap(),
        nm_matmul(&narrow, &nm, &epilogue).unwrap(),
        bsr_matmul(&narrow, &bsr, &epilogue).unwrap(),
    ] {
        assert_eq!(product.y, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
    }
}

proptest! {
    #[test]
    fn sparse_products_are_dense_products_of_the_decompressed_weights(
        (tokens, n_out, k) in (1_usize..5, 1_usize..12, 1_usize..40),
        (n, m) in (2_usize..=32).prop_flat_map(|m| (1..m, Just(m))),
        v in 1_usize..6,
        block in (1_usize..6, 1_usize..6),
    ) {
        let (x, w) = (integers::<f32>(tokens, k), integers::<f32>(n_out, k));
        let nm = NmMatrix::prune(&w, Nm::new(n, m, v)).unwrap();
        prop_assert_eq!(
            nm_matmul(&x, &nm, &Epilogue::NONE),
            dense_matmul(&x, &nm.to_dense().unwrap(), &Epilogue::NONE)
        );
        let bsr = BsrMatrix::from_dense(&w, block).unwrap();
        prop_assert_eq!(
            bsr_matmul(&x, &bsr, &Epilogue::NONE),
            dense_matmul(&x, &w, &Epilogue::NONE)
        );
        // The gradient of x: the same weights, summed over their rows.
        let dy = integers::<f32>(tokens, n_out);
        let pruned = nm.to_dense().unwrap();
        prop_assert_eq!(
            nm_matmul_transposed(&dy, &nm, &Epilogue::NONE),
            dense_matmul(&dy, pruned.view().transposed(), &Epilogue::NONE)
        );
        prop_assert_eq!(
            bsr_matmul_transposed(&dy, &bsr, &Epilogue::NONE),
            dense_matmul(&dy, w.view().transposed(), &Epilogue::NONE)
        );
    }
}

#[test]
fn an_epilogue_is_finite_where_all_is_that_enters_a_result() {
    let with = |beta, x: f32| {
        let c = Matrix::new(1, 2, vec![0.0_f32, x]);
        Epilogue::NONE.with_addend(beta, &c).unwrap()
    };
    assert!(Epilogue::NONE.is_finite());
    assert!(with(2.0, 1.0).is_finite());
    assert!(!with(2.0, f32::NAN).is_finite());
    assert!(!with(f32::INFINITY, 1.0).is_finite());
    assert!(with(0.0, f32::NAN).is_finite(), "beta = 0 reads nothing");
    assert!(!Epilogue::NONE.with_bias(&[f32::INFINITY]).is_finite());
}

#[test]
fn the_last_of_more_tokens_than_a_result_could_hold() {
    let tokens = 1 << 62;
    let x = MatrixView::try_new(&[3.0_f32], tokens, 1, 0, 0).unwrap();
    let w = Matrix::new(8, 1, vec![2.0_f32; 8]);
    let product = dense_matmul_tokens(x, &w, &Epilogue::NONE, &[tokens - 1]).unwrap();
    assert_eq!(product.y, [6.0; 8]);
}
