//! The ways in which `nm_matmul` multiplies rows that do not share a pattern: expanding them on the way, branching on it, and expanding them first
//! (more of which: `nm_matmul_expand_first.rs`).

mod support;

use half::{bf16, f16};
use sparse_core::nm::{NmMatrix, nm_matmul};
use sparse_core::{Epilogue, Matrix, Nm};
use sparse_gpu::{Activation, Batch, Error, NmMatmul, NmVariant, Tile, Transposed};
use support::gpu::gpu;
use support::matmul::{Added, Case, EDGES, FEW, Format, check, run};
use support::product::nm_product;

fn branching(pattern: &str, shape: [usize; 3]) -> Case {
    let nm = pattern.parse::<Nm>().unwrap_or_else(|e| panic!("{e}"));
    Case {
        variant: Some(NmVariant::Branch),
        ..Case::new(Format::Nm(nm), shape)
    }
}

/// Every group size that a quad holds, and strips of more rows than one.
const PATTERNS: [&str; 5] = ["2:4", "1:4", "1:2", "2:2:4", "3:1:4"];

#[test]
fn small_integers_are_exact_in_every_shape() {
    for shape in EDGES {
        check::<f32, f32, f32>(&Case {
            integers: true,
            ..branching("2:4", shape)
        });
    }
    for pattern in PATTERNS {
        for shape in FEW {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..branching(pattern, shape)
            });
        }
    }
}

#[test]
fn every_storage_type() {
    for pattern in ["2:4", "3:1:4", "1:2"] {
        for shape in [[9, 7, 15], [65, 32, 64]] {
            for_each_dtype!(T => { check::<T, T, T>(&branching(pattern, shape)); });
        }
    }
}

#[test]
fn every_tile_computes_the_same() {
    for (rows, cols, lanes) in [
        (1, 8, 16),
        (2, 8, 16),
        (4, 16, 8),
        (8, 4, 32),
        (8, 8, 64),
        (4, 12, 8),
    ] {
        let tile = Some(Tile { rows, cols, lanes });
        let case = Case {
            tile,
            integers: true,
            ..branching("2:4", [130, 37, 66])
        };
        check::<f32, f32, f32>(&case);
        // Rows of y that start at whole vec4s and words, whatever the tile.
        let case = Case {
            tile,
            ..branching("2:4", [70, 40, 24])
        };
        check::<f16, f16, f16>(&case);
    }
}

#[test]
fn epilogues_layouts_batches_and_parts() {
    let case = branching("2:4", [41, 26, 76]);
    for activation in Activation::ALL {
        let case = Case {
            alpha: 1.3,
            addend: Added::Previous(-0.7),
            bias: true,
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
            ..case
        });
    }
    // Parts that do not divide the steps, and more of them than there are steps.
    for parts in [2, 3, 7, 40] {
        let case = Case {
            split_k: Some(parts),
            ..case
        };
        check::<f32, f32, f32>(&Case {
            integers: true,
            ..case
        });
        check::<f16, f16, f16>(&case);
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let shapes = [[64, 16, 4], [64, 16, 8], [64, 16, 12]];
    let worst = shapes
        .map(|shape| check::<f32, f32, f32>(&branching("1:4", shape)))
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

/// Columns of a quad that can be stored together.
const PAIRS: [[usize; 2]; 6] = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];

/// Weights of 1 to 8 in which quad q of row r has the pattern q + r, so that every pattern stands at every place of a word and of a tile.
fn all_patterns(rows: usize, quads: usize) -> NmMatrix<f32> {
    let mut dense = vec![0.0; rows * 4 * quads];
    for row in 0..rows {
        for quad in 0..quads {
            let [first, second] = PAIRS[(row + quad) % PAIRS.len()];
            let start = (row * quads + quad) * 4;
            dense[start + first] = [1.0, 3.0, 5.0, 7.0][(row + quad / 3) % 4];
            dense[start + second] = [2.0, 4.0, 6.0, 8.0][(row / 2 + quad) % 4];
        }
    }
    NmMatrix::prune(&Matrix::new(rows, 4 * quads, dense), Nm::TWO_FOUR).unwrap()
}

#[test]
fn all_six_patterns_of_two_of_four_at_every_place() {
    let w = all_patterns(50, 47);
    // Powers of four within a quad: the sum tells which columns were taken, and with which weight.
    let x: Vec<f32> = (0..9 * w.cols())
        .map(|i| [1.0, 4.0, 16.0, 64.0][i % 4] * [1.0, -1.0][i / w.cols() % 2])
        .collect();
    let x = Matrix::new(9, w.cols(), x);
    let expected = nm_matmul(&x, &w, &Epilogue::default()).unwrap().y;
    for variant in [NmVariant::Branch, NmVariant::Expand, NmVariant::ExpandFirst] {
        let actual = nm_product(&w, &x, variant);
        let wrong = actual.iter().zip(&expected).position(|(a, e)| a != e);
        assert_eq!(wrong, None, "{variant:?}: the first wrong element");
        assert_eq!(actual.len(), expected.len());
    }
}

#[test]
fn an_infinity_meets_only_stored_weights_where_rows_branch() {
    let w = all_patterns(6, 3);
    let ones = Matrix::new(9, w.cols(), vec![1.0; 9 * w.cols()]);
    let sums = nm_product(&w, &ones, NmVariant::Branch);
    for column in 0..w.cols() {
        let mut x = vec![1.0; 9 * w.cols()];
        for token in 0..9 {
            x[token * w.cols() + column] = f32::INFINITY;
        }
        let x = Matrix::new(9, w.cols(), x);
        let stored = |row: usize| PAIRS[(row + column / 4) % 6].contains(&(column % 4));
        let branch = nm_product(&w, &x, NmVariant::Branch);
        let expand = nm_product(&w, &x, NmVariant::Expand);
        let first = nm_product(&w, &x, NmVariant::ExpandFirst);
        let expand = expand.into_iter().zip(first);
        for (i, (branch, (expand, first))) in branch.into_iter().zip(expand).enumerate() {
            let row = i % w.rows();
            if stored(row) {
                assert_eq!([branch, expand, first], [f64::INFINITY; 3]);
            } else {
                assert_eq!(branch, sums[row], "column {column}, row {row}");
                // As documented: the column is multiplied with a zero.
                assert!(
                    expand.is_nan() && first.is_nan(),
                    "column {column}, row {row}: {expand}, {first}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_exist_is_refused() {
    let refusal = |problem: NmMatmul| match gpu().plan_blocking(&problem) {
        Err(Error::InvalidProblem { .. }) => {
            let error = gpu().plan_blocking(&problem).err();
            error.map(|e| e.to_string()).unwrap_or_default()
        }
        other => panic!("{problem:?}: {other:?}"),
    };
    let problem = NmMatmul {
        variant: Some(NmVariant::Branch),
        ..NmMatmul::new(9, 8, 12, "3:4".parse().unwrap())
    };
    assert_eq!(
        refusal(problem),
        "nm_matmul: variant Branch with pattern 3:4; it exists for 2:4, 1:4 and 1:2, others take Expand or leave it to the plan with None"
    );
    let tile = |rows| Tile {
        rows,
        cols: 8,
        lanes: 8,
    };
    for (pattern, rows, most) in [("2:4", 16, 8), ("1:4", 8, 4)] {
        let message = refusal(NmMatmul {
            variant: Some(NmVariant::Branch),
            tile: Some(tile(rows)),
            ..NmMatmul::new(9, 8, 12, pattern.parse().unwrap())
        });
        let expected =
            format!("pattern {pattern} and a tile of {rows} rows; it has at most {most}");
        assert!(message.contains(&expected), "{message}");
    }
    let transposed = Transposed {
        w: true,
        ..Transposed::NONE
    };
    let problem = NmMatmul {
        variant: Some(NmVariant::Branch),
        transposed,
        ..NmMatmul::new(9, 8, 12, Nm::TWO_FOUR)
    };
    assert_eq!(
        refusal(problem),
        "nm_matmul: variant Branch with a transposed w, whose patterns run along the outputs; take Expand or ExpandFirst, or leave it to the plan with None"
    );
}

#[test]
fn the_variant_that_was_asked_for_runs() {
    let case = branching("2:4", [3, 8, 16]);
    for (variant, kernel, note) in [
        (
            NmVariant::Branch,
            "matmul_nm_branch_1:2:4_",
            "branching was asked for",
        ),
        (
            NmVariant::Expand,
            "matmul_nm_expand_1:2:4_",
            "expanding was asked for",
        ),
        (
            NmVariant::ExpandFirst,
            "expand_weights_1:2:4_",
            "expanding first was asked for",
        ),
    ] {
        let variant = Some(variant);
        let (comparison, explanation) = run::<f32, f32, f32>(&Case { variant, ..case });
        assert!(comparison.holds(), "{comparison}");
        assert!(explanation.kernel.starts_with(kernel), "{explanation}");
        assert!(explanation.notes.iter().any(|n| n == note), "{explanation}");
    }
}

#[test]
fn the_plan_says_why_it_branches_or_not() {
    // Which class of adapter takes which is tested without a device, beside the choice.
    let plan = gpu().plan_blocking(&NmMatmul::new(512, 64, 64, Nm::TWO_FOUR));
    let explanation = plan.unwrap().explain().clone();
    assert!(!explanation.notes.is_empty(), "{explanation}");
    if gpu().is_software() {
        let kernel = "expand_weights_1:2:4_w-f32";
        assert!(explanation.kernel.starts_with(kernel), "{explanation}");
    }
}
