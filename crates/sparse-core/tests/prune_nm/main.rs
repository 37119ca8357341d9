//! N:M and V:N:M selections against their definition, and the rows of cases that every pruning method is held to.

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod definition;

use sparse_core::{Matrix, NmSelection};

fn kept_columns(selection: &NmSelection, row: usize) -> Vec<usize> {
    (0..selection.cols())
        .filter(|&col| selection.keeps(row, col))
        .collect()
}

fn row_of(data: &[f32]) -> Matrix<f32> {
    Matrix::new(1, data.len(), data.to_vec())
}
