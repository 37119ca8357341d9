//! Tensors in and out: safetensors files, read one tensor at a time, written whole or not at all.

mod any;
mod error;
mod file;
mod header;
mod qkv;
mod similar;
mod write;

#[cfg(test)]
mod tests;

pub use any::{AnyMatrix, AnyTensor};
pub use error::TensorFileError;
pub use file::{LARGEST_TENSOR_BYTES, TensorFile};
pub use qkv::{Qkv, QkvError};
pub use write::{OutTensor, check_out, is_same_out, write_file, write_tensors};
pub(crate) use write::{is_special, target};
