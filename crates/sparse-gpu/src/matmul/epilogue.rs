//! What happens to the sums of a product before they are stored.

use sparse_core::DType;
pub use sparse_shaders::Activation;

use crate::GpuTensor;

/// What is added to a product before the bias.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Addend {
    /// Nothing: what y held is never read.
    #[default]
    None,
    /// `beta * y`, what y held before. With `beta = 0` it is never read, so that a NaN there does not come through.
    Previous {
        /// The factor, a finite number.
        beta: f32,
    },
    /// `beta * r` of another tensor, [`Extras::residual`], of y's shape. With `beta = 0` it is never read.
    Residual {
        /// The factor, a finite number; 1 for a residual connection.
        beta: f32,
        /// Storage of r.
        dtype: DType,
    },
}

impl Addend {
    pub(crate) fn beta(self) -> f32 {
        match self {
            Self::None => 0.0,
            Self::Previous { beta } | Self::Residual { beta, .. } => beta,
        }
    }
}

/// What happens to each sum before it is stored: `act(alpha * sum + beta * c + bias[o])`, the order of cuSPARSELt and of BLAS.
///
/// ```
/// use sparse_gpu::{Activation, Addend, Epilogue, sparse_core::DType};
/// // A residual connection around a linear layer with bias: y = x w^T + r + bias.
/// let layer = Epilogue {
///     addend: Addend::Residual { beta: 1.0, dtype: DType::F32 },
///     bias: Some(DType::F32),
///     ..Epilogue::default()
/// };
/// assert_eq!((layer.alpha, layer.activation), (1.0, Activation::None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epilogue {
    /// Times the sum, a finite number. With `alpha = 0`, as in BLAS, nothing of x and w comes through, NaN neither.
    pub alpha: f32,
    /// `beta * c`.
    pub addend: Addend,
    /// Storage type of a bias `[n_out]`, if one is added.
    pub bias: Option<DType>,
    /// Applied last.
    pub activation: Activation,
}

impl Default for Epilogue {
    /// The sum as it is.
    fn default() -> Self {
        Self {
            alpha: 1.0,
            addend: Addend::None,
            bias: None,
            activation: Activation::None,
        }
    }
}

/// Operands of a matmul beyond weights, activations and result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// `[n_out]`, where the epilogue has a bias.
    pub bias: Option<&'a GpuTensor>,
    /// Of y's shape, where the epilogue's addend is a residual.
    pub residual: Option<&'a GpuTensor>,
}
