//! Epilogues of split sums, of transposed x and y, and of batches.

use sparse_gpu::{Activation, Batch, Transposed};

use crate::support::matmul::{Added, Case, Format};
use crate::{cases, check_some_types};

#[test]
fn split_sums_meet_in_a_fixed_order() {
    let long = [
        Case::new(Format::Dense, [40, 24, 260]),
        Case::new(Format::Bsr((8, 8), 0.4), [3, 10, 1030]),
    ];
    for (i, case) in cases().into_iter().chain(long).enumerate() {
        for (j, parts) in [2, 3, 7].into_iter().enumerate() {
            let exact = Case {
                split_k: Some(parts),
                bias: true,
                addend: Added::Previous(1.0),
                integers: true,
                ..case
            };
            check_some_types(i + j, &exact);
            let activation = Activation::Silu;
            check_some_types(
                i,
                &Case {
                    integers: false,
                    activation,
                    ..exact
                },
            );
        }
    }
}

#[test]
fn x_and_y_may_be_transposed() {
    let whole_vectors = [Case::new(Format::Dense, [72, 33, 16])];
    for (i, case) in cases().into_iter().chain(whole_vectors).enumerate() {
        for (j, (x, y)) in [(true, false), (false, true), (true, true)]
            .into_iter()
            .enumerate()
        {
            let case = Case {
                transposed: Transposed {
                    x,
                    y,
                    ..Transposed::NONE
                },
                split_k: (j == 2).then_some(2),
                bias: true,
                addend: if i % 2 == 0 {
                    Added::Residual(1.0)
                } else {
                    Added::Previous(0.5)
                },
                ..case
            };
            for k in 0..2 {
                check_some_types(i + j + k, &case);
            }
        }
    }
}

#[test]
fn batches_share_weights_or_have_their_own() {
    let mut number = 0;
    for shape in [[33, 32, 40], [11, 7, 13], [5, 9, 17], [0, 3, 4]] {
        for items in [0, 1, 3] {
            for transposed in [false, true] {
                for (format, batch) in [
                    (Format::Dense, Batch::PerItem(items)),
                    (Format::Dense, Batch::Shared(items)),
                    (Format::Bsr((4, 4), 0.5), Batch::Shared(items)),
                ] {
                    let case = Case {
                        batch,
                        transposed: Transposed {
                            x: transposed,
                            y: transposed,
                            w: transposed && number % 2 == 0,
                        },
                        addend: Added::Previous(1.0),
                        bias: true,
                        integers: true,
                        split_k: (number % 4 == 3).then_some(2),
                        ..Case::new(format, shape)
                    };
                    check_some_types(number, &case);
                    number += 1;
                }
            }
        }
    }
}
