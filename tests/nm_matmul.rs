//! `nm_matmul` against its CPU reference.

mod support;

use half::f16;
use sparse_gpu::{Activation, Tile};
use support::matmul::{Case, EDGES, FEW, Format, check};

/// Shared by many rows, by few, by one; groups that are and are not multiples of 4; strips that no tile divides.
const PATTERNS: [&str; 12] = [
    "8:2:4", "16:2:16", "8:2:8", "32:16:32", "4:1:4", "12:3:7", "5:1:2", "2:4", "1:2", "2:1:3",
    "3:5:31", "1:8",
];

#[test]
fn small_integers_are_exact_in_every_shape() {
    for pattern in ["8:2:8", "4:2:4", "2:4"] {
        for shape in EDGES {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(Format::nm(pattern), shape)
            });
        }
    }
}

#[test]
fn every_pattern_and_storage_type() {
    for pattern in PATTERNS {
        for shape in FEW {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(Format::nm(pattern), shape)
            });
            for_each_dtype!(T => { check::<T, T, T>(&Case::new(Format::nm(pattern), shape)); });
        }
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let shapes = [[64, 16, 4], [64, 16, 8], [64, 16, 12]];
    let worst = shapes
        .map(|s| check::<f32, f32, f32>(&Case::new(Format::nm("8:1:4"), s)))
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

#[test]
fn bias_and_activations() {
    for activation in Activation::ALL {
        for (pattern, shape) in [("8:2:8", [65, 32, 64]), ("2:4", [9, 7, 15])] {
            let case = Case {
                bias: true,
                activation,
                ..Case::new(Format::nm(pattern), shape)
            };
            for_each_dtype!(T => { check::<T, T, T>(&case); });
        }
    }
}

#[test]
fn every_tile_computes_the_same() {
    for rows in [1, 2, 4, 8, 16] {
        let tile = Some(Tile {
            rows,
            cols: 8,
            lanes: 16,
        });
        for pattern in ["16:2:8", "6:2:4", "2:4"] {
            check::<f32, f32, f32>(&Case {
                tile,
                integers: true,
                ..Case::new(Format::nm(pattern), [130, 37, 66])
            });
            // Rows of y that start at whole vec4s and words, whatever the tile.
            let case = Case {
                tile,
                ..Case::new(Format::nm(pattern), [70, 40, 24])
            };
            check::<f32, f32, f32>(&case);
            check::<f16, f16, f16>(&case);
        }
    }
}
