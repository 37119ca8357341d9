//! `bsr_matmul` against its CPU reference.

mod support;

use sparse_gpu::{Activation, Tile};
use support::matmul::{Case, EDGES, FEW, Format, check};

const BLOCKS: [(usize, usize); 11] = [
    (32, 32),
    (64, 64),
    (16, 8),
    (8, 16),
    (4, 4),
    (4, 6),
    (5, 3),
    (1, 1),
    (128, 4),
    (4, 128),
    (128, 128),
];

#[test]
fn small_integers_are_exact_in_every_shape() {
    for block in [(32, 32), (4, 6), (5, 3)] {
        for shape in EDGES {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(Format::Bsr(block, 0.5), shape)
            });
        }
    }
}

#[test]
fn every_block_density_and_storage_type() {
    for block in BLOCKS {
        for (shape, density) in FEW.into_iter().zip([0.3, 0.6, 0.5]) {
            let format = Format::Bsr(block, density);
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(format, shape)
            });
            for_each_dtype!(T => { check::<T, T, T>(&Case::new(format, shape)); });
        }
    }
}

#[test]
fn no_block_and_every_block() {
    for density in [0.0, 1.0] {
        for shape in [[40, 33, 35], [3, 64, 64]] {
            check::<f32, f32, f32>(&Case {
                integers: true,
                ..Case::new(Format::Bsr((16, 16), density), shape)
            });
        }
    }
}

#[test]
fn the_bound_is_not_vacuous() {
    let case = |k| Case::new(Format::Bsr((8, 2), 1.0), [64, 16, k]);
    let worst = [1, 2, 3]
        .map(|k| check::<f32, f32, f32>(&case(k)))
        .into_iter()
        .fold(0.0, f64::max);
    assert!(worst > 0.125, "an eighth of the bound would do: {worst}");
}

#[test]
fn bias_and_activations() {
    for activation in Activation::ALL {
        for (block, shape) in [((32, 32), [65, 64, 64]), ((5, 3), [9, 7, 15])] {
            let case = Case {
                bias: true,
                activation,
                ..Case::new(Format::Bsr(block, 0.5), shape)
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
        for block in [(16, 16), (6, 4)] {
            let format = Format::Bsr(block, 0.4);
            check::<f32, f32, f32>(&Case {
                tile,
                integers: true,
                ..Case::new(format, [130, 37, 66])
            });
        }
    }
}
