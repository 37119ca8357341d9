//! Block-sparse attention: the f64 reference, and the shapes that all attention operations share.

mod dot;
mod shape;

pub(crate) use dot::{Dot, HeadRows};
pub use shape::{AttentionShape, AttentionShapeError, MAX_TOKENS};
