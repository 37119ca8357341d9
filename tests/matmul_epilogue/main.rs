//! What every matmul does with its sums: alpha, beta, bias, activation; and how x and y may lie.

#[path = "../support/mod.rs"]
mod support;

mod factors;
mod layouts;
mod not_finite;
mod refusals;

use half::{bf16, f16};
use support::matmul::{Case, Format, check};

/// Every format with shapes for the tiled kernel and for few tokens. Each pair is a kernel to compile, so that what multiplies with them
/// is dealt out over them rather than tried with all.
fn cases() -> Vec<Case> {
    // Rows of y that start at vec4s, at words, at neither.
    [
        (Format::Dense, [33, 32, 40]),
        (Format::Dense, [11, 7, 13]),
        (Format::Dense, [5, 9, 17]),
        (Format::nm("8:2:8"), [18, 14, 15]),
        (Format::nm("8:2:8"), [1, 20, 36]),
        (Format::nm("2:4"), [11, 7, 13]),
        (Format::Bsr((16, 8), 0.5), [33, 32, 40]),
        (Format::Bsr((5, 3), 0.5), [18, 14, 15]),
        (Format::Bsr((4, 4), 0.5), [3, 10, 30]),
    ]
    .into_iter()
    .map(|(format, shape)| Case::new(format, shape))
    .collect()
}

/// `case` in one of three mixes of storage types, dealt by `number`.
fn check_some_types(number: usize, case: &Case) {
    match number % 3 {
        0 => check::<f32, f32, f32>(case),
        1 => check::<f32, f16, f16>(case),
        _ => check::<f16, bf16, bf16>(case),
    };
}
