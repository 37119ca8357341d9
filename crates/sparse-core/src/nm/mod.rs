//! N:M sparsity: of every `m` consecutive weights of a row at most `n` are kept, and `v` consecutive rows may share
//! one pattern (V:N:M).

mod error;
mod layout;
mod matmul;
mod matrix;
mod packing;
mod pattern;
mod sddmm;
mod selection;

pub use error::NmError;
pub use matmul::{nm_matmul, nm_matmul_elements, nm_matmul_tokens, nm_matmul_transposed};
pub use matrix::NmMatrix;
pub use pattern::Nm;
pub use sddmm::nm_sddmm;
pub use selection::NmSelection;

pub(crate) use layout::NmLayout;
