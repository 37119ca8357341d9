//! Products of every format, and at blocks.

use half::{bf16, f16};
use sparse_core::Element;
use sparse_gpu::{Batch, Explanation, NmVariant, Transposed, Words};

use crate::support::gpu::{gpu, has_wide_words, in_words};
use crate::support::matmul::{Case, EPILOGUES, Format, check, inputs};
use crate::support::product::on_gpu;
use crate::support::sddmm;
use crate::{in_both, is_wide, same};

fn formats() -> Vec<Format> {
    vec![
        Format::Dense,
        Format::nm("2:4"),
        Format::nm("8:2:8"),
        Format::nm("16:4:16"),
        Format::nm_matvec("2:4"),
        Format::nm_matvec("4:3:7"),
        Format::Bsr((16, 8), 0.5),
        Format::Bsr((5, 3), 0.6),
    ]
}

fn shapes(format: Format) -> &'static [[usize; 3]] {
    match format {
        Format::NmMatvec(_) => &[[1, 33, 130], [7, 20, 64]],
        _ => &[[1, 19, 40], [9, 7, 15], [70, 36, 64], [33, 17, 30]],
    }
}

/// The same to the bit in both words, and within the bounds of the reference. Returns the result and how it was computed.
fn check_both<X: Element, W: Element, Y: Element>(case: &Case) -> (Vec<f64>, Explanation) {
    let inputs = inputs::<X, W, Y>(case);
    let [(narrow, _), (wide, explanation)] = in_both(|| on_gpu(case, &inputs));
    same(case, [&narrow, &wide]);
    in_words(Words::Bits64, || check::<X, W, Y>(case));
    (wide, explanation)
}

fn products<T: Element>() {
    if !has_wide_words() {
        return;
    }
    for format in formats() {
        for &shape in shapes(format) {
            check_both::<T, T, T>(&Case::new(format, shape));
            check_both::<T, T, f32>(&Case {
                transposed: Transposed {
                    y: true,
                    ..Transposed::NONE
                },
                ..Case::new(format, [shape[0], shape[1] + shape[1] % 2, shape[2]])
            });
        }
    }
}

#[test]
fn products_of_every_format_in_f32_are_the_same_to_the_bit() {
    products::<f32>();
}

#[test]
fn products_of_every_format_in_f16_are_the_same_to_the_bit() {
    products::<f16>();
}

#[test]
fn products_of_every_format_in_bf16_are_the_same_to_the_bit() {
    products::<bf16>();
}

fn products_with_epilogues_batches_and_parts(format: Format) {
    if !has_wide_words() {
        return;
    }
    for (alpha, addend, bias, activation) in EPILOGUES {
        check_both::<f32, f32, f32>(&Case {
            alpha,
            addend,
            bias,
            activation,
            batch: Batch::Shared(2),
            ..Case::new(format, [35, 32, 40])
        });
    }
    check_both::<f32, f32, f32>(&Case {
        split_k: Some(3),
        ..Case::new(format, [20, 32, 512])
    });
    check_both::<f16, f16, f16>(&Case {
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..Case::new(format, [35, 32, 40])
    });
}

#[test]
fn dense_products_with_epilogues_batches_and_parts() {
    products_with_epilogues_batches_and_parts(Format::Dense);
}

#[test]
fn products_of_blocks_with_epilogues_batches_and_parts() {
    products_with_epilogues_batches_and_parts(Format::Bsr((16, 8), 0.5));
}

#[test]
fn products_whose_rows_branch_or_are_expanded_first() {
    if !has_wide_words() {
        return;
    }
    for variant in [NmVariant::Branch, NmVariant::ExpandFirst] {
        check_both::<f32, f32, f32>(&Case {
            variant: Some(variant),
            ..Case::new(Format::nm("2:4"), [150, 24, 64])
        });
    }
}

const X: Transposed = Transposed {
    x: true,
    ..Transposed::NONE
};
const W: Transposed = Transposed {
    w: true,
    ..Transposed::NONE
};

/// In kernels that move words of 64 bits.
fn wide_products(cases: impl IntoIterator<Item = Case>) {
    if !has_wide_words() {
        return;
    }
    for case in cases {
        is_wide(&check_both::<f32, f32, f32>(&case).1);
        is_wide(&check_both::<f16, bf16, f16>(&case).1);
    }
}

/// Of every format.
fn products_with(transposed: Transposed) {
    let formats = [
        Format::Dense,
        Format::nm("2:4"),
        Format::nm("8:2:8"),
        Format::Bsr((16, 8), 0.5),
    ];
    wide_products(formats.map(|format| Case {
        transposed,
        ..Case::new(format, [36, 32, 40])
    }));
}

#[test]
fn products_of_transposed_x() {
    products_with(X);
}

#[test]
fn products_of_transposed_w() {
    products_with(W);
}

#[test]
fn products_of_own_weights_and_of_few_transposed_tokens() {
    let few = [(Format::nm_matvec("2:4"), X), (Format::Dense, W)];
    let few = few.into_iter().map(|(format, transposed)| Case {
        transposed,
        ..Case::new(format, [4, 32, 40])
    });
    let own = [36, 4].map(|tokens| Case {
        batch: Batch::PerItem(3),
        ..Case::new(Format::Dense, [tokens, 32, 40])
    });
    wide_products(few.chain(own));
}

#[test]
fn zeros_keep_their_sign() {
    if !has_wide_words() {
        return;
    }
    for (format, tokens) in [
        (Format::Dense, 20),
        (Format::Dense, 8),
        (Format::Bsr((4, 4), 0.2), 20),
    ] {
        let (y, explanation) = check_both::<f32, f32, f32>(&Case {
            alpha: -1.0,
            integers: true,
            ..Case::new(format, [tokens, 32, 8])
        });
        is_wide(&explanation);
        // WGSL lets a compiler take 0 for -0, and those of GPUs may.
        let negative = y.iter().any(|y| *y == 0.0 && y.is_sign_negative());
        assert!(negative || !gpu().is_software(), "{explanation}");
    }
}

#[test]
fn products_at_blocks_are_the_same_to_the_bit() {
    fn check_both<Y: Element, X: Element, W: Element>(case: &sddmm::Case) {
        let [(narrow, _), (wide, explanation)] = in_both(|| sddmm::run::<Y, X, W>(case));
        same(case, [&narrow, &wide]);
        is_wide(&explanation);
        in_words(Words::Bits64, || sddmm::check::<Y, X, W>(case));
    }
    if !has_wide_words() {
        return;
    }
    for (block, alpha, beta) in [((8, 4), 1.0, 0.0), ((32, 32), 1.3, -0.7)] {
        let case = sddmm::Case {
            alpha,
            beta,
            ..sddmm::Case::new([33, 64, 72], block)
        };
        check_both::<f32, f32, f32>(&case);
        check_both::<f16, f16, f16>(&case);
        check_both::<bf16, f32, bf16>(&case);
    }
}
