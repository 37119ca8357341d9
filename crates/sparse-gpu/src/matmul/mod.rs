//! What the matmul operations share: one engine plans and records dense, N:M and block-sparse products, with many tokens or few.

pub(crate) mod choose;
mod engine;
mod layout;
pub(crate) mod params;
mod plan;
mod problem;
mod tiles;
mod weights;

pub(crate) use engine::Engine;
pub(crate) use problem::MatmulProblem;
pub(crate) use weights::Format;

pub use plan::MatmulPlan;
pub use problem::{
    Activation, Addend, Batch, Epilogue, Extras, MatmulTypes, NmVariant, Tier, Tile, Transposed,
};
pub use weights::Weights;
