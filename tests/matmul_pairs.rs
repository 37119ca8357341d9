//! All products, with every two of what they can be asked for together: shape, layout of each operand, storage type of each operand, bias, addend,
//! activation, alpha, split of k, batch. Each choice meets each other one in at least one product of each format, on random numbers within
//! their bounds.

mod support;

use half::{bf16, f16};
use sparse_core::Element;
use sparse_gpu::{Activation, Batch, Transposed};
use support::matmul::{Added, Case, Format, check};
use support::pairs::pairs;

/// Whole vectors, primes, one, an empty sum; for the tiled kernel and for few tokens.
const SHAPES: [[usize; 3]; 7] = [
    [64, 32, 48],
    [29, 37, 53],
    [11, 2, 3],
    [4, 32, 48],
    [7, 23, 31],
    [1, 1, 1],
    [5, 7, 0],
];

/// The same within the tokens that `nm_matvec` takes.
const FEW: [[usize; 3]; 7] = [
    [8, 32, 48],
    [5, 37, 53],
    [2, 2, 3],
    [4, 32, 48],
    [7, 23, 31],
    [1, 1, 1],
    [1, 7, 0],
];

const ADDENDS: [Added; 3] = [Added::Nothing, Added::Previous(-0.7), Added::Residual(1.5)];

/// One product for each row of choices. `own` weights for each item of a batch are for dense ones.
fn every_two_choices_together(format: Format, shapes: &[[usize; 3]]) {
    let (yes_or_no, types) = (2, 3);
    let levels = [
        shapes.len(),
        yes_or_no,
        yes_or_no,
        yes_or_no,
        types,
        types,
        types,
        yes_or_no,
        ADDENDS.len(),
        Activation::ALL.len(),
        yes_or_no,
        yes_or_no,
        yes_or_no,
    ];
    let rows = pairs(&levels);
    assert!(rows.len() < 60, "{} products are too many", rows.len());
    for row in rows {
        let [
            shape,
            x,
            w,
            y,
            x_type,
            w_type,
            y_type,
            bias,
            addend,
            activation,
            alpha,
            split,
            batch,
        ] = row[..]
        else {
            panic!("{} choices", row.len());
        };
        let batch = match (batch, format) {
            (0, _) => Batch::None,
            (_, Format::Dense) if split == 0 => Batch::PerItem(2),
            _ => Batch::Shared(2),
        };
        let case = Case {
            transposed: Transposed {
                x: x == 1,
                w: w == 1,
                y: y == 1,
            },
            bias: bias == 1,
            addend: ADDENDS[addend],
            activation: Activation::ALL[activation],
            alpha: [1.0, 1.3][alpha],
            split_k: [None, Some(3)][split],
            batch,
            ..Case::new(format, shapes[shape])
        };
        with_x(&case, [x_type, w_type, y_type]);
    }
}

fn with_x(case: &Case, types: [usize; 3]) {
    match types[0] {
        0 => with_w::<f32>(case, types),
        1 => with_w::<f16>(case, types),
        _ => with_w::<bf16>(case, types),
    }
}

fn with_w<X: Element>(case: &Case, types: [usize; 3]) {
    match types[1] {
        0 => with_y::<X, f32>(case, types),
        1 => with_y::<X, f16>(case, types),
        _ => with_y::<X, bf16>(case, types),
    }
}

fn with_y<X: Element, W: Element>(case: &Case, types: [usize; 3]) {
    match types[2] {
        0 => check::<X, W, f32>(case),
        1 => check::<X, W, f16>(case),
        _ => check::<X, W, bf16>(case),
    };
}

#[test]
fn dense_matmul() {
    every_two_choices_together(Format::Dense, &SHAPES);
}

#[test]
fn nm_matmul_of_rows_that_share_a_pattern() {
    every_two_choices_together(Format::nm("8:2:8"), &SHAPES);
}

#[test]
fn nm_matmul_of_rows_with_a_pattern_each() {
    every_two_choices_together(Format::nm("2:4"), &SHAPES);
}

#[test]
fn nm_matmul_of_odd_groups() {
    every_two_choices_together(Format::nm("3:2:7"), &SHAPES);
}

#[test]
fn nm_matvec() {
    every_two_choices_together(Format::nm_matvec("2:4"), &FEW);
    every_two_choices_together(Format::nm_matvec("8:1:4"), &FEW);
}

#[test]
fn bsr_matmul_of_whole_vectors() {
    every_two_choices_together(Format::Bsr((16, 8), 0.5), &SHAPES);
}

#[test]
fn bsr_matmul_of_odd_blocks() {
    every_two_choices_together(Format::Bsr((5, 3), 0.5), &SHAPES);
}
