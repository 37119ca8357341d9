//! Formats, pruning, block masks and CPU references for sparse matmul and block-sparse attention.
//!
//! No GPU and no `unsafe`: everything here is plain owned data and obviously correct code. The CPU references
//! accumulate in f64 and are the oracle that the kernels of `sparse-gpu` are tested against.
#![forbid(unsafe_code)]
#![warn(unused_crate_dependencies, clippy::print_stdout)]

// Of the tests in the repository's `tests` folder.
#[cfg(test)]
use safetensors as _;

pub mod attention;
pub mod bounds;
pub mod bsr;
mod element;
pub mod mask;
pub mod matmul;
mod matrix;
mod memory;
pub mod nm;
pub mod prune;
mod shape;
pub mod synthetic;
mod tensor;
pub mod xattention;

/// `half::f16` and `half::bf16` are the half-width elements; a program whose own `half` has another version takes them from here.
pub use half;

pub use bsr::{BlockSelection, BsrError, BsrMatrix};
pub use element::{DType, Element};
pub use mask::{BlockGrid, BlockMask, MaskError};
pub use matmul::{Activation, Epilogue, MatmulError, MatmulReference};
pub use matrix::{Matrix, MatrixView};
pub use memory::OutOfMemory;
pub use nm::{Nm, NmError, NmMatrix, NmSelection};
pub use prune::{BlockBudget, Norm, PruneError};
pub use shape::ShapeError;
pub use tensor::Tensor;
