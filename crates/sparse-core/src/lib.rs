//! Formats, pruning, block masks and CPU references for sparse matmul and block-sparse attention.
//!
//! No GPU and no `unsafe`: everything here is plain owned data and obviously correct code. The CPU references
//! accumulate in f64 and are the oracle that the kernels of `sparse-gpu` are tested against.
#![forbid(unsafe_code)]
#![warn(unused_crate_dependencies, clippy::print_stdout)]

// Dependencies of the tests outside of this crate's sources.
#[cfg(test)]
use proptest as _;

pub mod attention;
mod element;
mod matrix;
mod shape;
pub mod synthetic;
mod tensor;
pub mod xattention;

pub use element::{DType, Element};
pub use matrix::{Matrix, MatrixView};
pub use shape::ShapeError;
pub use tensor::Tensor;
