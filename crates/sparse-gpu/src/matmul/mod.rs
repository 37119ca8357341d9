//! What the matmul operations share: one engine plans and records dense, N:M and block-sparse products, with many tokens or few.

pub(crate) mod choose;
mod engine;
pub(crate) mod params;
mod plan;
mod weights;

pub(crate) use engine::{Engine, MatmulProblem};
pub(crate) use weights::Format;

pub use plan::MatmulPlan;
pub use weights::Weights;

use sparse_core::DType;

pub use sparse_shaders::{Activation, Tile};

/// Storage types of a matmul's operands; each may be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulTypes {
    /// Of the activations.
    pub x: DType,
    /// Of the weights.
    pub w: DType,
    /// Of the result.
    pub y: DType,
}

impl MatmulTypes {
    /// The same storage type for everything.
    pub const fn all(dtype: DType) -> Self {
        Self {
            x: dtype,
            w: dtype,
            y: dtype,
        }
    }
}

impl Default for MatmulTypes {
    fn default() -> Self {
        Self::all(DType::F32)
    }
}

/// What happens to each sum before it is stored: `act(sum + bias[o])`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// Storage type of a bias `[n_out]`, if one is added.
    pub bias: Option<DType>,
    /// Applied last.
    pub activation: Activation,
}

/// Operands of a matmul beyond weights, activations and result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// `[n_out]`, where the epilogue has a bias.
    pub bias: Option<&'a crate::GpuTensor>,
}
