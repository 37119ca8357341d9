//! What planning attention takes: the kernels' parameters, the choice of a tile, and slices of heads that can be bound.

pub(crate) mod choose;
pub(crate) mod params;
pub(crate) mod slices;

pub use sparse_shaders::AttentionTile;
