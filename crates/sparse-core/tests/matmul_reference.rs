//! The CPU references of the matmuls against each other and against sums written out by hand.

use half::{bf16, f16};
use proptest::prelude::*;
use sparse_core::bsr::{bsr_matmul, bsr_matmul_tokens, bsr_matmul_transposed, bsr_sddmm};
use sparse_core::matmul::{dense_matmul, dense_matmul_tokens};
use sparse_core::nm::{nm_matmul, nm_matmul_tokens, nm_matmul_transposed};
use sparse_core::{
    Activation, BlockSelection, BsrMatrix, Element, Epilogue, MatmulError, Matrix, MatrixView, Nm,
    NmMatrix, ShapeError,
};

/// Small integers that differ along both axes, so that a transposed or shifted read cannot go unseen.
fn integers<T: Element>(rows: usize, cols: usize) -> Matrix<T> {
    let data = (0..rows * cols)
        .map(|i| {
            let (r, c) = (i / cols, i % cols);
            T::from_f32(((r * 5 + c * 3 + r * c) % 9) as f32 - 4.0)
        })
        .collect();
    Matrix::new(rows, cols, data)
}

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
    let short = Epilogue::NONE.with_addend(1.0, &x).unwrap();
    assert_eq!(
        dense_matmul(&x, &w, &short).unwrap_err().to_string(),
        "x has 2 rows and w has 2, so what is added must have 2 x 2 numbers, but it has 2"
    );
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

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (x, w) = (integers::<f32>(3, 4), integers::<f32>(2, 5));
    let message = |error: MatmulError| error.to_string();
    assert_eq!(
        dense_matmul(&x, &w, &Epilogue::NONE).map_err(message),
        Err("x has 4 columns and w has 5: both must be the number of input features".into())
    );
    let bias = Epilogue::NONE.with_bias(&[1.0_f32; 3]);
    assert_eq!(
        dense_matmul(&w, &w, &bias).map_err(message),
        Err("w has 2 rows, so bias must have 2 numbers, but it has 3".into())
    );
    assert_eq!(
        dense_matmul_tokens(&x, &x, &Epilogue::NONE, &[1, 3]).map_err(message),
        Err("token 3 was asked for, but x has 3 rows".into())
    );
    let one = [1.0_f32];
    let endless = MatrixView::try_new(&one, usize::MAX / 2, 1, 0, 0).unwrap();
    assert_eq!(
        dense_matmul(endless, endless, &Epilogue::NONE).map_err(message),
        Err(format!(
            "an output of {0} tokens x {0} features is too large to address on this machine",
            usize::MAX / 2
        ))
    );
    // Without a k, and of a single block: operands that take no memory have outputs that no machine has memory for.
    let empty = Matrix::<f32>::new(1 << 29, 0, Vec::new());
    let expected = "there is no memory for an output of 536870912 tokens x 536870912 features, 2305843009213693952 bytes; \
                    compute some tokens at a time";
    assert_eq!(
        dense_matmul(&empty, &empty, &Epilogue::NONE).map_err(message),
        Err(expected.into())
    );
    let (empty, block) = (
        Matrix::<f32>::new(0, 1 << 29, Vec::new()),
        (1 << 29, 1 << 29),
    );
    let one_block = BlockSelection::new(1 << 29, 1 << 29, block, vec![0, 1], vec![0]);
    let none = None::<&BsrMatrix<f32>>;
    assert_eq!(
        bsr_sddmm(&empty, &empty, &one_block, 1.0, 0.0, none).map_err(message),
        Err(expected.into())
    );
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

/// Views that repeat one number: operands that take no memory, of more input features than any machine has memory for.
#[test]
fn operands_beyond_all_memory_are_refused() {
    let one = [1.0_f32];
    let features = 1 << 50;
    let row = MatrixView::try_new(&one, 1, features, 0, 0).unwrap();
    let expected = format!(
        "there is no memory for an input of 1 tokens x {features} features in f64, {} bytes; compute some input features at a \
         time",
        8_u64 << 50
    );
    let message = |error: MatmulError| error.to_string();
    assert_eq!(
        dense_matmul(row, row, &Epilogue::NONE).map_err(message),
        Err(expected.clone())
    );
    assert_eq!(
        dense_matmul_tokens(row, row, &Epilogue::NONE, &[0]).map_err(message),
        Err(expected)
    );
    // Of a transposed matrix every column is listed.
    let block = (1, features);
    let nothing = BsrMatrix::<f32>::new(1, features, block, vec![0, 0], vec![], vec![]);
    let token = MatrixView::try_new(&one, 1, 1, 0, 0).unwrap();
    let error = bsr_matmul_transposed(token, &nothing, &Epilogue::NONE).map_err(message);
    assert!(
        error.as_ref().is_err_and(|e| e.starts_with(
            "there is no memory for the columns of a 1 x 1125899906842624 matrix in f64, "
        )),
        "{error:?}"
    );
}

#[test]
fn an_addend_beyond_all_memory_is_refused() {
    let one = [1.0_f32];
    let of = |rows, cols| MatrixView::try_new(&one, rows, cols, 0, 0).unwrap();
    let refused = |c| Epilogue::NONE.with_addend(1.0, c).unwrap_err();
    assert!(matches!(
        refused(of(1 << 30, 1 << 30)),
        ShapeError::OutOfMemory(_)
    ));
    assert!(matches!(
        refused(of(1 << 40, 1 << 40)),
        ShapeError::TooLarge { .. }
    ));
}

/// What of each output rests on a subnormal number, in any format: of x, of w, of alpha, of what is added, of a bias.
#[test]
fn what_rests_on_subnormal_numbers_is_told() {
    let (small, normal) = (f16::from_bits(3), f16::from_f32(1.0));
    let weights = Matrix::new(2, 4, [normal, small].repeat(4));
    let flushed = |x: [f16; 4], epilogue: &Epilogue| {
        let x = Matrix::new(1, 4, x.to_vec());
        let (nm, bsr) = (
            NmMatrix::new(2, 4, Nm::TWO_FOUR, [normal, small].repeat(2), &[0, 1, 2, 3]),
            BsrMatrix::from_dense(&weights, (2, 2)).unwrap(),
        );
        [
            dense_matmul(&x, &weights, epilogue).unwrap().flushed,
            bsr_matmul(&x, &bsr, epilogue).unwrap().flushed,
            nm_matmul(&x, &nm, epilogue).unwrap().flushed,
        ]
    };
    let (ones, small_value) = ([normal; 4], f64::from(small));
    let of = |dense: f64, nm: [f64; 2]| [vec![dense; 2], vec![dense; 2], nm.to_vec()];
    // Two weights of a row of four are subnormal, one of the two that are kept of it.
    let none = Epilogue::NONE;
    assert_eq!(
        flushed(ones, &none),
        of(2.0 * small_value, [small_value; 2])
    );
    // A product of two counts once.
    let one_small = [normal, small, normal, normal];
    let products = small_value + small_value * small_value;
    assert_eq!(
        flushed(one_small, &none),
        of(products, [small_value * small_value, small_value])
    );
    // Of x alone.
    let (x, w) = (
        Matrix::new(1, 2, vec![small, normal]),
        Matrix::new(1, 2, vec![normal; 2]),
    );
    assert_eq!(dense_matmul(&x, &w, &none).unwrap().flushed, [small_value]);
    // What is added may be subnormal too, in its own type.
    let c = Matrix::new(1, 2, vec![small; 2]);
    let added = none.clone().with_alpha(0.0).with_addend(-4.0, &c).unwrap();
    assert_eq!(
        flushed(ones, &added),
        of(4.0 * small_value, [4.0 * small_value; 2])
    );
    let (tiny, normal_c) = (1e-40_f32, Matrix::new(1, 2, vec![normal; 2]));
    let times_tiny = none
        .clone()
        .with_alpha(0.0)
        .with_addend(tiny, &normal_c)
        .unwrap();
    assert_eq!(flushed(ones, &times_tiny)[0], [f64::from(tiny); 2]);
    let stored = |bias: &Epilogue| flushed([f16::ZERO; 4], bias);
    assert_eq!(
        stored(&none.clone().with_bias(&[small; 2])),
        of(small_value, [small_value; 2])
    );
    let widened = [small.to_f32(); 2];
    assert_eq!(stored(&none.clone().with_bias(&widened)), of(0.0, [0.0; 2]));
    // A factor takes all products with it.
    let alpha = 1e-40_f32;
    let scaled = none.with_alpha(alpha);
    let all = 2.0 + 2.0 * small_value;
    assert_eq!(flushed(ones, &scaled)[0], [f64::from(alpha) * all; 2]);
}

#[test]
fn sampled_products_of_subnormal_numbers_are_told() {
    let small = 1e-40_f32;
    let (dy, x) = (
        Matrix::new(2, 2, vec![1.0_f32, 2.0, 4.0, small]),
        Matrix::new(2, 2, vec![8.0_f32, 16.0, 32.0, 64.0]),
    );
    let selection = BlockSelection::new(2, 2, (2, 2), vec![0, 1], vec![0]);
    let none = None::<&BsrMatrix<f32>>;
    let reference = bsr_sddmm(&dy, &x, &selection, 1.0, 0.0, none).unwrap();
    let small = f64::from(small);
    assert_eq!(reference.flushed, [0.0, 0.0, 32.0 * small, 64.0 * small]);
}
