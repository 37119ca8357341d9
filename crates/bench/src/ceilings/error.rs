//! Why the ceilings of a device could not be measured.

use sparse_core::ShapeError;
use sparse_gpu::Error;

/// Why the ceilings of a device could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeilingError {
    /// A kernel did not do what it was timed for.
    #[error(
        "ceiling kernel {kernel}: its sums are {actual} where {expected} is right: it did not do the work that it is timed for"
    )]
    Wrong {
        /// Name of the kernel.
        kernel: String,
        /// What came out.
        actual: f64,
        /// What should have.
        expected: f64,
    },
    /// The driver did not take a kernel.
    #[error("ceiling kernel {kernel}: the driver refuses it: {message}")]
    Refused {
        /// Name of the kernel.
        kernel: String,
        /// What the driver says.
        message: String,
    },
    /// A template did not expand.
    #[error(transparent)]
    Expand(#[from] sparse_shaders::ExpandError),
    /// The device failed or has too little memory.
    #[error(transparent)]
    Device(#[from] Error),
    /// A run failed.
    #[error("the ceilings could not be timed: {0}")]
    Timing(String),
    /// An operand is too large for this machine.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}
