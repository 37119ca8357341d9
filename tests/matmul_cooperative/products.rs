//! Every shape, format, epilogue, layout, batch and split of k.

use half::{bf16, f16};
use sparse_gpu::{Activation, Batch, Transposed};

use crate::support::matmul::{Added, Case, EPILOGUES, Format};
use crate::{case, check_or_refused};

/// `[tokens, n_out, k_in]`: nothing, one, odd, around a matrix, around tiles, several tiles and panels.
const EDGES: [[usize; 3]; 15] = [
    [0, 16, 8],
    [16, 0, 8],
    [16, 16, 0],
    [1, 1, 1],
    [3, 5, 9],
    [7, 8, 15],
    [8, 16, 16],
    [9, 17, 17],
    [33, 15, 31],
    [31, 32, 32],
    [65, 33, 36],
    [129, 40, 64],
    [257, 48, 66],
    [40, 130, 96],
    [530, 64, 48],
];

/// What all sizes of matrices divide, in every format.
const FORMATS: [(&str, Option<(usize, usize)>); 7] = [
    ("dense", None),
    ("16:2:4", None),
    ("32:2:8", None),
    ("48:3:7", None),
    ("64:1:2", None),
    ("", Some((16, 32))),
    ("", Some((48, 16))),
];

fn formats() -> impl Iterator<Item = Format> {
    FORMATS.into_iter().map(|(pattern, block)| match block {
        Some(block) => Format::Bsr(block, 0.4),
        None if pattern == "dense" => Format::Dense,
        None => Format::nm(pattern),
    })
}

/// One of each kind, for what multiplies many.
fn kinds() -> [Format; 3] {
    [
        Format::Dense,
        Format::nm("32:2:8"),
        Format::Bsr((16, 32), 0.4),
    ]
}

#[test]
fn small_integers_are_exact_in_every_shape() {
    for format in kinds() {
        for shape in EDGES {
            let integers = true;
            check_or_refused::<f32>(&Case {
                integers,
                ..case(format, shape)
            });
        }
    }
}

// Every pair of a format and a type of result is a kernel to compile, which takes lavapipe a second or two: what multiplies is dealt out.

#[test]
fn real_numbers_stay_within_the_bound() {
    let shapes = [[65, 32, 64], [40, 19, 33], [130, 96, 300]];
    for (i, format) in formats().enumerate() {
        check_or_refused::<f32>(&case(format, shapes[i % 3]));
        check_or_refused::<f16>(&case(format, shapes[(i + 1) % 3]));
        check_or_refused::<bf16>(&case(format, shapes[(i + 2) % 3]));
    }
}

#[test]
fn epilogues() {
    let nothing = (0.0, Added::Previous(0.0), true, Activation::None);
    let epilogues = EPILOGUES.into_iter().chain([nothing]);
    // Rows of y that start at vec4s, at words, at neither.
    let shapes = [[33, 32, 40], [18, 14, 15], [20, 15, 24]];
    for (i, (alpha, addend, bias, activation)) in epilogues.enumerate() {
        for (j, format) in kinds().into_iter().enumerate() {
            let case = Case {
                alpha,
                addend,
                bias,
                activation,
                ..case(format, shapes[(i + j) % 3])
            };
            if i % 2 == 0 {
                check_or_refused::<f32>(&case);
            } else {
                check_or_refused::<f16>(&case);
            }
        }
    }
}

#[test]
fn x_and_y_lie_as_their_transposes() {
    for (i, (x, y)) in [(true, false), (false, true), (true, true)]
        .into_iter()
        .enumerate()
    {
        let transposed = Transposed { x, w: false, y };
        for (j, format) in kinds().into_iter().enumerate() {
            let shape = [[65, 33, 36], [64, 32, 64]][(i + j) % 2];
            let case = Case {
                transposed,
                ..case(format, shape)
            };
            check_or_refused::<f32>(&case);
            check_or_refused::<f16>(&case);
        }
    }
}

#[test]
fn batches_and_split_k() {
    for (batch, format) in [
        (Batch::Shared(3), Format::Dense),
        (Batch::PerItem(3), Format::Dense),
        (Batch::Shared(2), Format::nm("16:2:8")),
    ] {
        for shape in [[20, 16, 32], [9, 7, 20]] {
            let case = Case {
                batch,
                ..case(format, shape)
            };
            check_or_refused::<f32>(&case);
            check_or_refused::<f16>(&case);
        }
    }
    for (i, format) in formats().enumerate() {
        let case = Case {
            split_k: Some([2, 3, 7][i % 3]),
            ..case(format, [40, 48, 130])
        };
        check_or_refused::<f32>(&case);
    }
}
