//! Block-sparse matrices: whole `br x bc` blocks are stored or absent (block compressed sparse rows).

mod columns;
mod error;
mod layout;
mod matmul;
mod matrix;
mod sddmm;
mod selection;

pub use columns::BlockColumns;
pub use error::BsrError;
pub use matmul::{bsr_matmul, bsr_matmul_elements, bsr_matmul_tokens, bsr_matmul_transposed};
pub use matrix::BsrMatrix;
pub use sddmm::bsr_sddmm;
pub use selection::BlockSelection;

pub(crate) use layout::{BsrLayout, TAKE_LARGER_BLOCKS};
