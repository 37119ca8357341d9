//! The CPU references of the matmuls against each other and against sums written out by hand.

mod products;
mod refusals;
mod subnormals;

use sparse_core::{Element, Matrix};

/// Small integers that differ along both axes, so that a transposed or shifted read cannot go unseen.
fn integers<T: Element>(rows: usize, cols: usize) -> Matrix<T> {
    let data = (0..rows * cols)
        .map(|i| {
            let (r, c) = (i / cols, i % cols);
            T::from_f32(((r * 5 + c * 3 + r * c) % 9) as f32 - 4.0)
        })
        .collect();
    Matrix::new(rows, cols, data)
}
