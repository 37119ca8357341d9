//! Sparse matmul and block-sparse attention on wgpu.
#![warn(unused_crate_dependencies, clippy::print_stdout)]

mod adapter;
#[cfg(not(target_arch = "wasm32"))]
mod blocking;
mod dispatch;
mod error;
mod gpu;
mod kernel;
mod matmul;
mod ops;
mod problem;
mod read;
mod sparse;
mod tensor;
mod window;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters_blocking;
pub use adapter::{AdapterSummary, adapters};
pub use error::Error;
pub use gpu::{Gpu, GpuOptions};
pub use matmul::{Activation, Epilogue, Extras, MatmulPlan, MatmulTypes, Tile, Weights};
pub use ops::{BsrMatmul, DenseMatmul, NaiveMatmul, NaiveMatmulPlan, NmMatmul, NmMatvec};
pub use problem::{Explanation, Problem};
pub use sparse::{GpuBsr, GpuMask, GpuNm};
pub use tensor::{DenseSource, GpuTensor};

pub use sparse_core;
pub use wgpu;
