//! Block-sparse attention: the f64 reference, and the shapes that all attention operations share.

mod alignment;
mod dot;
mod error;
mod kinds;
mod mask_heads;
mod options;
mod packing;
mod reference;
mod shape;
mod varlen;

pub(crate) use alignment::{Alignment, BlockRow};
pub(crate) use dot::{Dot, HeadRows, Token};
pub use error::{AttentionError, AttentionShapeError};
pub use kinds::{HeadKind, mask_of_kinds};
pub use mask_heads::MaskHeads;
pub use options::AttentionOptions;
pub use packing::{PackedShape, Packing, PackingError};
pub use reference::{AttentionReference, block_attention, block_attention_of_queries};
pub use shape::{AttentionShape, MAX_HEADS, MAX_TOKENS};
pub(crate) use varlen::unpack;
pub use varlen::varlen_attention;
