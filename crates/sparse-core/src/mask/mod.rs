//! Masks of attention: which key blocks each query block attends to.

mod block_mask;
mod error;
mod patterns;
mod set;

pub use block_mask::BlockMask;
pub use error::MaskError;
pub use patterns::BlockGrid;
