//! What of a product rests on numbers that a device may read as zero.

use half::f16;
use sparse_core::bsr::{bsr_matmul, bsr_sddmm};
use sparse_core::matmul::dense_matmul;
use sparse_core::nm::{nm_matmul, nm_sddmm};
use sparse_core::{BlockSelection, BsrMatrix, Epilogue, Matrix, Nm, NmMatrix};

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
    // The second column of each row.
    let w = NmMatrix::new(2, 2, Nm::ONE_TWO, vec![0.0_f32; 2], &[1, 1]);
    let selection = w.selection().unwrap();
    let reference = nm_sddmm(&dy, &x, &selection, 1.0, 1.0, Some(&w)).unwrap();
    assert_eq!(reference.flushed, [0.0, 64.0 * small]);
}
