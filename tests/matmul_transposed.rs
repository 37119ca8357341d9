//! Products with w stored as `[k_in, n_out]`: `y = x w`, and `dx = dy w` of the weights of the forward product.

mod support;

use half::{bf16, f16};
use sparse_core::{BsrMatrix, Matrix, Nm, NmMatrix};
use sparse_gpu::{
    Activation, BsrMatmul, DenseMatmul, MatmulPlan, NmMatmul, Tile, Transposed, Weights,
};
use support::gpu::{gpu, poisoned, read, submit};
use support::matmul::{Added, Case, EDGES, Format, check};

const W: Transposed = Transposed {
    w: true,
    ..Transposed::NONE
};

fn integers(format: Format, shape: [usize; 3]) -> Case {
    Case {
        transposed: W,
        integers: true,
        ..Case::new(format, shape)
    }
}

#[test]
fn small_integers_are_exact_in_every_shape() {
    for shape in EDGES {
        for format in [
            Format::Dense,
            Format::nm("2:4"),
            Format::Bsr((4, 8), 0.5),
            Format::Bsr((3, 5), 0.5),
        ] {
            check::<f32, f32, f32>(&integers(format, shape));
        }
    }
}

#[test]
fn every_pattern() {
    for (i, pattern) in [
        "8:2:4", "8:2:8", "2:4", "12:3:7", "5:1:2", "2:1:3", "3:5:31", "1:8",
    ]
    .into_iter()
    .enumerate()
    {
        for (j, shape) in [[40, 33, 35], [3, 24, 16]].into_iter().enumerate() {
            check::<f32, f32, f32>(&integers(Format::nm(pattern), shape));
            let case = Case {
                integers: false,
                ..integers(Format::nm(pattern), shape)
            };
            match (i + j) % 3 {
                0 => check::<f32, f32, f32>(&case),
                1 => check::<f32, f16, f16>(&case),
                _ => check::<f16, bf16, bf16>(&case),
            };
        }
    }
}

#[test]
fn every_block() {
    let blocks = [
        (32, 32),
        (64, 16),
        (16, 64),
        (128, 4),
        (4, 128),
        (4, 6),
        (6, 4),
        (5, 3),
        (1, 1),
        (2, 9),
    ];
    for (i, block) in blocks.into_iter().enumerate() {
        for (j, shape) in [[40, 130, 135], [2, 64, 48]].into_iter().enumerate() {
            let format = Format::Bsr(block, 0.4);
            check::<f32, f32, f32>(&integers(format, shape));
            let case = Case {
                integers: false,
                ..integers(format, shape)
            };
            match (i + j) % 3 {
                0 => check::<f32, f32, f32>(&case),
                1 => check::<f32, f16, f16>(&case),
                _ => check::<f16, bf16, bf16>(&case),
            };
        }
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let case = |k| Case {
        transposed: W,
        ..Case::new(Format::Dense, [64, 16, k])
    };
    let worst = [1, 2, 3]
        .map(|k| check::<f32, f32, f32>(&case(k)))
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

/// The problems that the documentation of `Transposed` gives.
#[test]
fn gradients_of_a_layer() {
    for [tokens, n_out, k_in] in [[5, 12, 7], [40, 33, 70]] {
        let matrix = |rows, cols, seed| support::matmul::integers(rows, cols, seed);
        let (w, x, dy) = (
            matrix(n_out, k_in, 1),
            matrix(tokens, k_in, 2),
            matrix(tokens, n_out, 3),
        );
        // sum over n of a(i, n) b(n, j)
        let product = |[rows, cols, summed]: [usize; 3],
                       a: &dyn Fn(usize, usize) -> f32,
                       b: &dyn Fn(usize, usize) -> f32| {
            let at = (0..rows * cols).map(|n| (n / cols, n % cols));
            at.map(|(i, j)| {
                (0..summed)
                    .map(|n| f64::from(a(i, n)) * f64::from(b(n, j)))
                    .sum()
            })
            .collect::<Vec<f64>>()
        };
        let at = |m: &Matrix<f32>, row: usize, col: usize| m.row(row)[col];
        let run = |problem: DenseMatmul, w: &Matrix<f32>, x: &Matrix<f32>| {
            let plan = gpu().plan_blocking(&problem).unwrap();
            let (w, x) = (gpu().upload(w).unwrap(), gpu().upload(x).unwrap());
            let mut y = poisoned::<f32>(gpu(), &[problem.tokens, problem.n_out]);
            submit(gpu(), |pass| plan.record(pass, &w, &x, &mut y).unwrap());
            read::<f32>(gpu(), &y)
        };
        let dx = DenseMatmul {
            transposed: W,
            ..DenseMatmul::new(tokens, k_in, n_out)
        };
        let expected = product([tokens, k_in, n_out], &|i, n| at(&dy, i, n), &|n, j| {
            at(&w, n, j)
        });
        assert_eq!(run(dx, &w, &dy), expected);
        let dw = DenseMatmul {
            transposed: Transposed { x: true, ..W },
            ..DenseMatmul::new(n_out, k_in, tokens)
        };
        let expected = product([n_out, k_in, tokens], &|i, n| at(&dy, n, i), &|n, j| {
            at(&x, n, j)
        });
        assert_eq!(run(dw, &x, &dy), expected);
    }
}

#[test]
fn with_everything_else() {
    for (format, shape) in [
        (Format::Dense, [33, 32, 42]),
        (Format::Dense, [9, 7, 130]),
        (Format::nm("2:4"), [33, 32, 42]),
        (Format::Bsr((8, 16), 0.5), [18, 30, 64]),
        (Format::Bsr((8, 16), 0.5), [2, 30, 64]),
    ] {
        for (split_k, all) in [(None, true), (Some(3), false), (Some(2), true)] {
            let case = Case {
                transposed: Transposed {
                    x: all,
                    w: true,
                    y: all,
                },
                split_k,
                alpha: 0.7,
                addend: Added::Residual(1.5),
                bias: true,
                activation: Activation::Gelu,
                ..Case::new(format, shape)
            };
            check::<f32, f32, f32>(&case);
            check::<f16, f16, f16>(&case);
        }
    }
}

#[test]
fn every_tile_computes_the_same() {
    for rows in [4, 8, 16] {
        let tile = Some(Tile {
            rows,
            cols: 8,
            lanes: 16,
        });
        for format in [Format::Dense, Format::nm("2:4"), Format::Bsr((8, 12), 0.5)] {
            let case = Case {
                tile,
                ..integers(format, [70, 37, 40])
            };
            check::<f32, f32, f32>(&case);
        }
    }
}

/// With few tokens a workgroup owns many outputs side by side: some to each invocation, a last workgroup that is not full, and long sums in parts.
#[test]
fn few_tokens_and_many_outputs() {
    for (shape, formats) in [
        ([1, 1022, 9], &[Format::Dense, Format::nm("2:4")][..]),
        ([1, 1020, 530], &[Format::Dense]),
        (
            [2, 252, 24],
            &[Format::Dense, Format::nm("2:4"), Format::nm("3:5:31")],
        ),
        ([4, 127, 35], &[Format::Dense, Format::nm("3:5:31")]),
        ([7, 124, 40], &[Format::Dense, Format::nm("2:4")]),
        ([8, 63, 600], &[Format::Dense, Format::nm("3:5:31")]),
    ] {
        for &format in formats {
            check::<f32, f32, f32>(&integers(format, shape));
            let case = Case {
                integers: false,
                ..integers(format, shape)
            };
            check::<f16, f16, f16>(&case);
            check::<f16, bf16, bf16>(&case);
        }
    }
}

/// The products of the same token, so many times.
fn of_token<'a>(
    plan: &MatmulPlan,
    w: impl Into<Weights<'a>>,
    [tokens, n_out]: [usize; 2],
    token: &[f32],
) -> Vec<f64> {
    let x = Matrix::new(tokens, token.len(), token.repeat(tokens));
    let x = gpu().upload(&x).unwrap();
    let mut y = poisoned::<f32>(gpu(), &[tokens, n_out]);
    submit(gpu(), |pass| plan.record(pass, w, &x, &mut y).unwrap());
    read::<f32>(gpu(), &y)
}

/// What the last step reads behind the last k, or behind the last row of a block, is nothing, also where it times zero would be NaN.
#[test]
fn infinities_of_the_last_k_stay_infinite_and_those_of_another_block_stay_there() {
    let inf = f32::INFINITY;
    for tokens in [1, 9] {
        // Rows of vec4s and others; every weight of the last of 13 k is infinite.
        for n_out in [8, 7] {
            let (shape, token) = ([tokens, n_out], [1.0; 13]);
            let number = |i: usize| if i / n_out == 12 { inf } else { 1.0 };
            let w = Matrix::new(13, n_out, (0..13 * n_out).map(number).collect());
            let plan = DenseMatmul {
                transposed: W,
                ..DenseMatmul::new(tokens, n_out, 13)
            };
            let plan = gpu().plan_blocking(&plan).unwrap();
            let y = of_token(&plan, &gpu().upload(&w).unwrap(), shape, &token);
            assert_eq!(y, vec![f64::INFINITY; tokens * n_out]);
            for (pattern, kept) in [(Nm::TWO_FOUR, 2), (Nm::ONE_FOUR, 1), (Nm::new(3, 4, 13), 3)] {
                // Of equal weights the first stay.
                let nm = NmMatrix::prune(&w, pattern).unwrap();
                let plan = NmMatmul {
                    transposed: W,
                    ..NmMatmul::new(tokens, n_out, 13, pattern)
                };
                let plan = gpu().plan_blocking(&plan).unwrap();
                let y = of_token(&plan, &gpu().upload_nm(&nm).unwrap(), shape, &token);
                for (at, y) in y.into_iter().enumerate() {
                    let stored = at % n_out % 4 < kept;
                    assert_eq!(
                        y,
                        if stored { f64::INFINITY } else { 0.0 },
                        "{pattern}: {at}"
                    );
                }
            }
        }
        // Blocks of three and of six rows. Behind the first lies the second, which has other outputs: an infinity of its weights, or of the
        // x that it meets, stays there.
        for (rows, (block_row, weight, x)) in [3, 6]
            .into_iter()
            .flat_map(|rows| [(0, inf, 1.0), (1, 1.0, inf)].map(|infinite| (rows, infinite)))
        {
            let number = |i: usize| match (i / 8 / rows, i % 8 / 4) {
                (0, 0) => 1.0,
                (row, 1) if row == block_row => weight,
                _ => 0.0,
            };
            let w = Matrix::new(2 * rows, 8, (0..16 * rows).map(number).collect());
            let bsr = BsrMatrix::from_dense(&w, (rows, 4)).unwrap();
            assert_eq!(bsr.nnz_blocks(), 2);
            let plan = BsrMatmul {
                transposed: W,
                ..BsrMatmul::new(tokens, 8, 2 * rows, (rows, 4))
            };
            let plan = gpu().plan_blocking(&plan).unwrap();
            let token = [vec![1.0; rows], vec![x; rows]].concat();
            let y = of_token(&plan, &gpu().upload_bsr(&bsr).unwrap(), [tokens, 8], &token);
            let expected = [[rows as f64; 4], [f64::INFINITY; 4]].concat();
            assert_eq!(y, expected.repeat(tokens), "{rows} rows");
        }
    }
}
