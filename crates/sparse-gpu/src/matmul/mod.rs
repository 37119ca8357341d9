//! What the matmul operations share: one engine plans and records dense, N:M and block-sparse products, with many tokens or few.

pub(crate) mod choose;
pub(crate) mod cooperative;
mod engine;
mod nm_walk;
pub(crate) mod params;
mod plan;
mod problem;
mod tiles;
mod weights;

pub(crate) use engine::{Engine, matvec_rounds};
pub(crate) use problem::MatmulProblem;
pub(crate) use weights::Format;

pub use plan::MatmulPlan;
pub use problem::{
    Activation, Addend, Batch, Epilogue, Extras, MatmulTypes, NmVariant, Tier, Tile, Transposed,
};
pub use weights::Weights;
