//! Block-sparse matrices: whole `br x bc` blocks are stored or absent (block compressed sparse rows).

mod error;
mod layout;
mod matrix;
mod selection;

pub use error::BsrError;
pub use matrix::BsrMatrix;
pub use selection::BlockSelection;

pub(crate) use layout::BsrLayout;
