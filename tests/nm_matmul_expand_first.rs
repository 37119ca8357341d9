//! `nm_matmul` over weights that are put back in their places first, into scratch memory, and multiplied as dense ones.

mod support;

use half::{bf16, f16};
use sparse_core::nm::NmMatrix;
use sparse_core::synthetic::integer_matrix;
use sparse_core::{Element, Matrix, Nm};
use sparse_gpu::{Activation, Batch, Error, NmMatmul, NmVariant, Tile, Transposed};
use support::gpu::gpu;
use support::matmul::{Added, Case, EDGES, EPILOGUES, FEW, Format, check, run};
use support::product::nm_product;

fn expanding(pattern: &str, shape: [usize; 3]) -> Case {
    let nm = pattern.parse::<Nm>().unwrap_or_else(|e| panic!("{e}"));
    Case {
        variant: Some(NmVariant::ExpandFirst),
        ..Case::new(Format::Nm(nm), shape)
    }
}

/// Groups of four and of other widths, strips of one row and of several, few and many stored.
const PATTERNS: [&str; 6] = ["2:4", "1:2", "3:1:4", "2:3:7", "8:2:8", "5:31:32"];

#[test]
fn small_integers_are_exact_in_every_shape() {
    for pattern in ["2:4", "2:3:7"] {
        for shape in EDGES {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..expanding(pattern, shape)
            });
        }
    }
    for pattern in PATTERNS {
        for shape in FEW {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..expanding(pattern, shape)
            });
        }
    }
}

#[test]
fn every_storage_type() {
    for pattern in PATTERNS {
        for shape in [[9, 7, 15], [65, 32, 64], [140, 10, 6]] {
            for_each_dtype!(T => { check::<T, T, T>(&expanding(pattern, shape)); });
        }
    }
}

#[test]
fn epilogues_layouts_batches_parts_and_tiles() {
    let case = expanding("2:4", [41, 26, 76]);
    for (alpha, addend, bias, activation) in EPILOGUES {
        let case = Case {
            alpha,
            addend,
            bias,
            activation,
            ..case
        };
        for_each_dtype!(T => { check::<T, T, T>(&case); });
    }
    for (x, y) in [(true, false), (false, true), (true, true)] {
        let transposed = Transposed { x, w: false, y };
        check::<f32, f16, f32>(&Case { transposed, ..case });
        check::<bf16, bf16, bf16>(&Case {
            transposed,
            addend: Added::Residual(2.0),
            batch: Batch::Shared(3),
            activation: Activation::Relu,
            ..case
        });
    }
    for parts in [2, 7, 40] {
        check::<f32, f32, f32>(&Case {
            split_k: Some(parts),
            integers: true,
            ..case
        });
    }
    for (rows, cols, lanes) in [(1, 8, 16), (16, 4, 8), (4, 12, 32)] {
        check::<f16, f16, f32>(&Case {
            tile: Some(Tile { rows, cols, lanes }),
            ..case
        });
    }
}

/// Stored as `[k_in, n_out]`, patterns along the outputs: `dx = dy w`.
#[test]
fn transposed_weights() {
    let transposed = Transposed {
        w: true,
        ..Transposed::NONE
    };
    for pattern in PATTERNS {
        for shape in FEW.into_iter().chain([[140, 10, 6], [130, 37, 66]]) {
            check::<f32, f32, f32>(&Case {
                integers: true,
                transposed,
                ..expanding(pattern, shape)
            });
        }
        for_each_dtype!(T => { check::<T, T, T>(&Case { transposed, ..expanding(pattern, [65, 33, 41]) }); });
    }
    for (alpha, addend, bias, activation) in EPILOGUES {
        check::<f16, f16, f16>(&Case {
            transposed: Transposed {
                x: true,
                ..transposed
            },
            alpha,
            addend,
            bias,
            activation,
            split_k: Some(3),
            batch: Batch::Shared(2),
            ..expanding("8:2:8", [41, 26, 76])
        });
    }
    let variant = None;
    let (_, explanation) = run::<f32, f32, f32>(&Case {
        variant,
        transposed,
        ..expanding("2:4", [200, 24, 16])
    });
    if gpu().is_software() {
        let kernels = "expand_weights_1:2:4_w-f32 + matmul_dense_transposed_";
        assert!(explanation.kernel.starts_with(kernels), "{explanation}");
    }
}

/// All of a transposed w is expanded, or nothing.
#[test]
fn transposed_weights_that_the_scratch_memory_does_not_hold() {
    let problem = |variant| NmMatmul {
        variant,
        transposed: Transposed {
            w: true,
            ..Transposed::NONE
        },
        ..NmMatmul::new(200, 4100, 4100, Nm::TWO_FOUR)
    };
    let error = gpu()
        .plan_blocking(&problem(Some(NmVariant::ExpandFirst)))
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("67240000 bytes of scratch memory"),
        "{error}"
    );
    let plan = gpu().plan_blocking(&problem(None)).unwrap();
    let kernel = &plan.explain().kernel;
    assert!(kernel.starts_with("matmul_nm_transposed_"), "{kernel}");
}

/// Rows go some at a time, and the scratch memory is written anew for each of them and for each matrix of the batch.
#[test]
fn more_rows_than_the_scratch_memory_holds() {
    // 4 bytes x 8200 x 2052 are more than 64 MiB.
    let case = Case {
        integers: true,
        transposed: Transposed {
            x: true,
            ..Transposed::NONE
        },
        batch: Batch::Shared(2),
        ..expanding("2:4", [5, 8200, 2052])
    };
    let (comparison, explanation) = run::<f32, f32, f32>(&case);
    assert!(comparison.holds(), "{comparison}");
    assert!(
        (64 << 19..80 << 20).contains(&explanation.scratch_bytes),
        "{explanation}"
    );
}

/// Each row of w has one weight that is not 0, and x is all ones: y is that weight, to the bit.
fn moved_as_they_are<T: Element>(weights: &[T]) {
    for (pattern, columns) in [("2:4", 8), ("2:3:7", 14)] {
        let pattern: Nm = pattern.parse().unwrap();
        let mut dense = vec![T::from_f32(0.0); weights.len() * columns];
        for (row, &weight) in weights.iter().enumerate() {
            // Rows of a strip share a pattern.
            dense[row * columns + row / pattern.v() % columns] = weight;
        }
        let w = NmMatrix::from_dense(&Matrix::new(weights.len(), columns, dense), pattern).unwrap();
        let ones = Matrix::new(9, columns, vec![1.0_f32; 9 * columns]);
        let y = nm_product(&w, &ones, NmVariant::ExpandFirst);
        for (i, y) in y.into_iter().enumerate() {
            let weight = f64::from(weights[i % weights.len()].to_f32());
            assert!(
                y == weight || y.is_nan() && weight.is_nan(),
                "{pattern}: {weight} became {y}"
            );
        }
    }
}

#[test]
fn halves_are_moved_as_they_are() {
    let of = |bits: [u16; 8]| bits.map(f16::from_bits);
    // The smallest and the largest subnormal, the largest number, infinities, a NaN, beside each other in words.
    moved_as_they_are(&of([
        0x0001, 0x83ff, 0x7bff, 0x7c00, 0xfc00, 0x7e01, 0x0400, 0x3c00,
    ]));
    let of = |bits: [u16; 5]| bits.map(bf16::from_bits);
    moved_as_they_are(&of([0x7f7f, 0x7f80, 0xff80, 0x7fc1, 0x0080]));
}

/// As expanding on the way computes it, to the bit: the same products in the same order.
#[test]
fn expanding_on_the_way_gives_the_same() {
    let pattern: Nm = "1:4".parse().unwrap();
    let w = NmMatrix::prune(&integer_matrix::<f32>(33, 70, 9, 1).unwrap(), pattern).unwrap();
    let x = integer_matrix::<f32>(50, 70, 9, 2).unwrap();
    let products = [NmVariant::Expand, NmVariant::ExpandFirst].map(|variant| {
        nm_product(&w, &x, variant)
            .into_iter()
            .map(f64::to_bits)
            .collect::<Vec<_>>()
    });
    assert_eq!(products[0], products[1]);
    assert!(products[0].iter().any(|&bits| bits != 0));
}
