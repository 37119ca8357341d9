//! Block-sparse matrices: whole `br x bc` blocks are stored or absent (block compressed sparse rows).

mod error;
mod layout;
mod matmul;
mod matrix;
mod selection;

pub use error::BsrError;
pub use matmul::{bsr_matmul, bsr_matmul_tokens};
pub use matrix::BsrMatrix;
pub use selection::BlockSelection;

pub(crate) use layout::BsrLayout;
