//! Infinities and NaN in x and w reach those results only whose sums they belong to.

use half::bf16;
use sparse_core::{BsrMatrix, DType, Matrix, Nm, NmMatrix};
use sparse_gpu::{BsrMatmul, DenseMatmul, MatmulTypes, NmMatmul, Tile};

use crate::product;
use crate::support::gpu::{gpu, submit};

/// `[rows, cols]` with the same row everywhere.
fn repeated(rows: usize, row: &[f32]) -> Matrix<f32> {
    Matrix::new(rows, row.len(), row.repeat(rows))
}

#[test]
fn an_infinity_does_not_leak_through_a_weight_that_is_not_stored() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    // 13 columns: the last group of 4 has one, and the format pads it.
    let x = repeated(
        9,
        &[
            inf, 1.0, 1.0, nan, -inf, 1.0, 1.0, inf, nan, 1.0, 1.0, nan, 5.0,
        ],
    );
    let w = repeated(
        8,
        &[
            0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0,
        ],
    );
    for pattern in ["8:2:4", "4:2:4"] {
        let pattern: Nm = pattern.parse().unwrap();
        let nm = gpu()
            .upload_nm(&NmMatrix::prune(&w, pattern).unwrap())
            .unwrap();
        let plan = gpu()
            .plan_blocking(&NmMatmul::new(9, 8, 13, pattern))
            .unwrap();
        assert_eq!(product(&plan, &nm, &x, 8), [12.0; 72]);
    }
    // Few tokens, one pattern per row: each row selects its x.
    let nm = gpu()
        .upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(2, 8, 13, Nm::TWO_FOUR))
        .unwrap();
    assert_eq!(
        product(&plan, &nm, &repeated(2, &x.data()[..13]), 8),
        [12.0; 16]
    );
    // Many tokens, one pattern per row: all columns are multiplied, as the documentation of the problem says.
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(9, 8, 13, Nm::TWO_FOUR))
        .unwrap();
    assert!(product(&plan, &nm, &x, 8).iter().all(|y| y.is_nan()));
    // Blocks of 3 x 2, of which only the first column block is stored, padded to 4 columns inside the kernel.
    let w = repeated(8, &[0.0, 1.0, 0.0, 0.0, 0.0]);
    let x = repeated(9, &[3.0, 3.0, nan, inf, nan]);
    let bsr = gpu()
        .upload_bsr(&BsrMatrix::from_dense(&w, (3, 2)).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&BsrMatmul::new(9, 8, 5, (3, 2)))
        .unwrap();
    assert_eq!(product(&plan, &bsr, &x, 8), [3.0; 72]);
    // All columns are real, and the infinite last one is not stored: padding must not point at it.
    let w = repeated(8, &[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    let x = repeated(9, &[3.0, 3.0, 3.0, nan, inf, inf]);
    let bsr = gpu()
        .upload_bsr(&BsrMatrix::from_dense(&w, (3, 3)).unwrap())
        .unwrap();
    let six = gpu()
        .plan_blocking(&BsrMatmul::new(9, 8, 6, (3, 3)))
        .unwrap();
    assert_eq!(product(&six, &bsr, &x, 8), [6.0; 72]);
    // The first column block is not stored.
    let w = repeated(8, &[0.0, 0.0, 0.0, 1.0, 0.0]);
    let x = repeated(9, &[inf, nan, 3.0, 3.0, nan]);
    let bsr = gpu()
        .upload_bsr(&BsrMatrix::from_dense(&w, (3, 2)).unwrap())
        .unwrap();
    assert_eq!(product(&plan, &bsr, &x, 8), [3.0; 72]);
}

#[test]
fn tokens_do_not_touch_each_other() {
    // Padding of a row (13 columns in groups or steps of 4, blocks of 3 x 2) must not reach into the next tokens: those of the next
    // panel are infinite.
    let tile = Some(Tile {
        rows: 8,
        cols: 4,
        lanes: 8,
    });
    let (tokens, n_out, k_in) = (64, 8, 13);
    let w = repeated(n_out, &[1.0; 13]);
    let mut x = vec![1.0; tokens / 2 * k_in];
    x.resize(tokens * k_in, f32::INFINITY);
    let x = Matrix::new(tokens, k_in, x);
    let finite = |y: Vec<f32>, sum: f32, what: &str| {
        assert_eq!(
            y[..tokens / 2 * n_out],
            vec![sum; tokens / 2 * n_out],
            "{what}"
        );
    };
    let plan = DenseMatmul {
        tile,
        ..DenseMatmul::new(tokens, n_out, k_in)
    };
    let plan = gpu().plan_blocking(&plan).unwrap();
    finite(
        product(&plan, &gpu().upload(&w).unwrap(), &x, n_out),
        13.0,
        "dense",
    );
    for (pattern, sum) in [
        ("8:2:4", 7.0),
        ("8:3:7", 6.0),
        ("8:1:5", 3.0),
        ("8:5:32", 5.0),
        ("2:4", 7.0),
        ("1:3", 5.0),
    ] {
        let nm: Nm = pattern.parse().unwrap();
        let plan = NmMatmul {
            tile,
            ..NmMatmul::new(tokens, n_out, k_in, nm)
        };
        let plan = gpu().plan_blocking(&plan).unwrap();
        let nm = gpu().upload_nm(&NmMatrix::prune(&w, nm).unwrap()).unwrap();
        finite(product(&plan, &nm, &x, n_out), sum, pattern);
    }
    for block in [(3, 2), (8, 4), (5, 5)] {
        let plan = BsrMatmul {
            tile,
            ..BsrMatmul::new(tokens, n_out, k_in, block)
        };
        let plan = gpu().plan_blocking(&plan).unwrap();
        let bsr = gpu()
            .upload_bsr(&BsrMatrix::from_dense(&w, block).unwrap())
            .unwrap();
        finite(product(&plan, &bsr, &x, n_out), 13.0, "blocks");
    }
}

#[test]
fn the_last_weight_of_an_unaligned_row_is_multiplied_once() {
    // What a step reads past the end of a row of 13 is nothing, also where the last weight times zero would be NaN.
    let mut row = [1.0; 13];
    row[12] = f32::INFINITY;
    for tokens in [1, 9] {
        let w = gpu().upload(&repeated(8, &row)).unwrap();
        let plan = gpu()
            .plan_blocking(&DenseMatmul::new(tokens, 8, 13))
            .unwrap();
        let y = product(&plan, &w, &repeated(tokens, &[1.0; 13]), 8);
        assert_eq!(y, vec![f32::INFINITY; tokens * 8]);
    }
}

#[test]
fn halves_round_to_nearest_and_keep_their_nans_and_infinities() {
    // One column, weight 1: y is x rounded. The numbers lie above, below and at the middle between two bf16, whose even neighbour is
    // above or below. Rounding the last two NaNs as numbers would carry into the sign.
    let bits: [u32; 14] = [
        0x3f80_7fff,
        0x3f80_8000,
        0x3f80_8001,
        0x3f81_7fff,
        0x3f81_8000,
        0x3f81_8001,
        0x7f7f_ffff,
        0xff80_0000,
        0x8000_0000,
        0xbf81_8000,
        0x7f80_0001,
        0xffc0_0001,
        0x7fff_ffff,
        0xffff_ffff,
    ];
    let x = Matrix::new(14, 1, bits.map(f32::from_bits).to_vec());
    let plan = DenseMatmul {
        types: MatmulTypes {
            y: DType::Bf16,
            ..MatmulTypes::default()
        },
        ..DenseMatmul::new(14, 2, 1)
    };
    let plan = gpu().plan_blocking(&plan).unwrap();
    let (gx, w) = (
        gpu().upload(&x).unwrap(),
        gpu().upload(&repeated(2, &[1.0])).unwrap(),
    );
    let mut y = gpu().empty_tensor(&[14, 2], DType::Bf16).unwrap();
    submit(gpu(), |pass| plan.record(pass, &w, &gx, &mut y).unwrap());
    let y = gpu().read_blocking::<bf16>(&y).unwrap();
    for (t, x) in x.data().iter().enumerate() {
        for &y in &y.data()[2 * t..2 * t + 2] {
            if x.is_nan() {
                assert!(y.is_nan(), "{x} became {y}");
            } else {
                // -0.0 may lose its sign in the sum with the accumulator's zero.
                assert_eq!(y, bf16::from_f32(*x), "{x:e}");
            }
        }
    }
}

#[test]
fn a_weight_that_is_pruned_away_does_not_leak() {
    // The smaller half of every group is stored nowhere; what is kept is infinite in one column.
    let w = repeated(8, &[f32::INFINITY, 1.0, 2.0, 0.5]);
    let nm = gpu()
        .upload_nm(&NmMatrix::prune(&w, Nm::TWO_FOUR).unwrap())
        .unwrap();
    let plan = gpu()
        .plan_blocking(&NmMatmul::new(9, 8, 4, Nm::TWO_FOUR))
        .unwrap();
    let y = product(&plan, &nm, &repeated(9, &[1.0, 5.0, 1.0, 7.0]), 8);
    assert_eq!(y, [f32::INFINITY; 72]);
}
