//! What block attention is planned and recorded with: the kernels' parameters, the choice of a tile, slices of heads that can be bound.

pub(crate) mod check;
pub(crate) mod choose;
pub(crate) mod convert;
pub(crate) mod few;
pub(crate) mod kinds;
pub(crate) mod merge;
pub(crate) mod order;
pub(crate) mod params;
mod plan;
pub(crate) mod record;
mod results;
pub(crate) mod scale;
pub(crate) mod slices;
mod tiles;
mod types;
pub(crate) mod varlen;

pub use order::RowOrder;
pub use sparse_shaders::AttentionTile;
pub use types::{AttentionTypes, TokenLayout};
