//! What the matmul operations share: one engine plans and records dense, N:M and block-sparse products, with many tokens or few.

pub(crate) mod choose;
mod engine;
mod epilogue;
mod layout;
pub(crate) mod params;
mod plan;
mod problem;
pub(crate) mod tiles;
mod weights;

pub(crate) use engine::Engine;
pub(crate) use problem::MatmulProblem;
pub(crate) use weights::Format;

pub use epilogue::{Activation, Addend, Epilogue, Extras};
pub use plan::MatmulPlan;
pub use problem::{Batch, MatmulTypes, NmVariant, Tier, Tile, Transposed};
pub use weights::Weights;
