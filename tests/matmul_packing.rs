//! How activations are packed: every bit of x comes to its place in panels of every width, from every layout, storage type and number of tokens.
//!
//! The weights are the identity, so that y is x: a token or column that is left out, taken twice or swapped shows by itself. On processors half-width
//! activations stay halves (`pack_halves.wgsl`) and whole lines of x are read; elsewhere `pack.wgsl` converts them and writes whole lines.

mod support;

use half::{bf16, f16};
use sparse_core::{Element, Matrix};
use sparse_gpu::{Batch, Tile, Transposed, Words};
use support::gpu::{has_wide_words, in_words, name};
use support::matmul::{Case, Format};
use support::product::{HostWeights, Inputs, on_gpu};

/// Panels of 32, 64, 96, 128 and 256 tokens; the one of 96 is neither a power of two nor a default of any adapter.
const TILES: [Tile; 5] = [
    tile(4, 4, 8),
    tile(8, 8, 8),
    tile(4, 12, 8),
    tile(16, 16, 8),
    tile(4, 4, 64),
];

const fn tile(rows: usize, cols: usize, lanes: usize) -> Tile {
    Tile { rows, cols, lanes }
}

/// Numbers that every storage type holds, with signs, none of them the same as another of the nearest thousands.
fn numbers<T: Element>(rows: usize, cols: usize) -> Matrix<T> {
    let number = |i: usize| {
        let significand = f64::from(u8::try_from(128 + i % 128).unwrap());
        let exponent = i32::try_from(i / 128 % 16).unwrap() - 8;
        let sign = if (i / 2048).is_multiple_of(2) {
            1.0
        } else {
            -1.0
        };
        T::from_f64(sign * significand * f64::from(exponent).exp2())
    };
    Matrix::new(rows, cols, (0..rows * cols).map(number).collect())
}

/// Multiplies x by the identity and demands x.
fn returns_x<T: Element>(case: &Case) {
    let x = numbers::<T>(case.items() * case.tokens, case.k_in);
    let identity = (0..case.k_in * case.k_in).map(|i| {
        let diagonal = i % (case.k_in + 1) == 0;
        T::from_f32(if diagonal { 1.0 } else { 0.0 })
    });
    let identity = Matrix::new(case.k_in, case.k_in, identity.collect());
    let expected: Vec<f64> = x.data().iter().map(|x| x.to_f64()).collect();
    let inputs = Inputs::<T, T, T> {
        x,
        weights: vec![HostWeights::Dense(identity)],
        bias: None,
        previous: None,
        residual: None,
    };
    let (y, explanation) = on_gpu(case, &inputs);
    assert_eq!(y.len(), expected.len(), "{case:?}");
    // Written so that NaN differs.
    if let Some(i) = (0..y.len()).find(|&i| !(y[i] == expected[i])) {
        let (token, k) = (i / case.k_in, i % case.k_in);
        panic!(
            "{case:?} of {}: x[{token}, {k}] came out as {}, it is {}\n{explanation}",
            name::<T>(),
            y[i],
            expected[i]
        );
    }
}

/// The product of `tokens` by the identity of `k` columns.
fn identity(tile: Tile, tokens: usize, k: usize) -> Case {
    Case {
        tile: Some(tile),
        ..Case::new(Format::Dense, [tokens, k, k])
    }
}

/// `number` deals the storage types out.
fn returns_x_as(number: usize, case: &Case) {
    match number % 3 {
        0 => returns_x::<f16>(case),
        1 => returns_x::<bf16>(case),
        _ => returns_x::<f32>(case),
    }
}

/// Rows of x that load four at once and one by one, with panels full, one token short and one token over.
fn every_panel() {
    for (i, tile) in TILES.into_iter().enumerate() {
        let panel = tile.panel();
        let tokens = [7, 33, panel - 1, panel, panel + 1];
        for (j, tokens) in tokens.into_iter().enumerate() {
            for k in [16, 13] {
                returns_x_as(i + j, &identity(tile, tokens, k));
            }
        }
    }
}

#[test]
fn every_panel_and_number_of_tokens() {
    every_panel();
}

#[test]
fn every_panel_and_number_of_tokens_in_words_of_64_bits() {
    if has_wide_words() {
        in_words(Words::Bits64, every_panel);
    }
}

/// What a workgroup takes ends within a row of x, and several of them share one.
fn long_rows() {
    for k in [129, 254, 260] {
        for transposed in [false, true] {
            for tokens in [33, 132] {
                let case = Case {
                    transposed: Transposed {
                        x: transposed,
                        ..Transposed::NONE
                    },
                    ..identity(tile(8, 8, 8), tokens, k)
                };
                returns_x::<f16>(&case);
                returns_x::<bf16>(&case);
            }
        }
    }
}

#[test]
fn rows_longer_than_a_workgroup_takes() {
    long_rows();
}

#[test]
fn rows_longer_than_a_workgroup_takes_in_words_of_64_bits() {
    if has_wide_words() {
        in_words(Words::Bits64, long_rows);
    }
}

/// Items of a batch begin at words, in the middle of them, and anywhere in a line.
#[test]
fn items_of_a_batch_and_transposed_x() {
    for (i, tile) in [tile(8, 8, 8), tile(4, 12, 8)].into_iter().enumerate() {
        for (j, [tokens, k]) in [[33, 12], [31, 7], [36, 5], [129, 9]]
            .into_iter()
            .enumerate()
        {
            for transposed in [false, true] {
                let case = Case {
                    batch: Batch::Shared(3),
                    transposed: Transposed {
                        x: transposed,
                        ..Transposed::NONE
                    },
                    ..identity(tile, tokens, k)
                };
                for number in 0..2 {
                    returns_x_as(i + j + number, &case);
                }
            }
        }
    }
}

/// Behind the last column panels are zero: neither what follows in memory, here an item of infinities, nor the first number of x, here one more,
/// meets the weights of padding, which are zero, too.
#[test]
fn columns_that_do_not_exist_are_zero() {
    fn check<T: Element>(format: Format, k: usize, transposed: bool) {
        let (tokens, n_out) = (36, 8);
        let case = Case {
            batch: Batch::Shared(2),
            transposed: Transposed {
                x: transposed,
                ..Transposed::NONE
            },
            ..Case::new(format, [tokens, n_out, k])
        };
        let mut x = vec![T::from_f32(1.0); tokens * k];
        x.resize(2 * tokens * k, T::from_f32(f32::INFINITY));
        x[0] = T::from_f32(f32::INFINITY);
        let ones = Matrix::new(n_out, k, vec![T::from_f32(1.0); n_out * k]);
        let inputs = Inputs::<T, T, f32> {
            x: Matrix::new(2 * tokens, k, x),
            weights: vec![HostWeights::prune(ones, format)],
            bias: None,
            previous: None,
            residual: None,
        };
        let (expected, _) = inputs.reference(&case, 0);
        let (y, explanation) = on_gpu(&case, &inputs);
        let finite = n_out..tokens * n_out;
        assert_eq!(
            y[finite.clone()],
            expected.y[finite],
            "{case:?}\n{explanation}"
        );
    }
    for transposed in [false, true] {
        // A last step of one column, and groups of seven of which the last has two.
        for (format, k) in [(Format::Dense, 13), (Format::nm("8:3:7"), 16)] {
            check::<f16>(format, k, transposed);
            check::<bf16>(format, k, transposed);
        }
    }
}
