//! Error bounds of the GPU kernels, derived in `docs/NUMERICS.md`, and the comparison that applies them.
//!
//! Every element has a bound of its own, made of the reference's magnitudes; there is no tolerance to choose.

mod attention;
mod compare;
mod matmul;
mod xattention;

pub use attention::{AttentionBounds, attention_bounds};
pub use compare::{Comparison, compare};
pub use matmul::{cooperative_matmul_bounds, matmul_bounds};
pub use xattention::{block_score_bounds, selection_tolerance};

/// Unit roundoff of f32, in which every kernel accumulates.
pub const UNIT_ROUNDOFF: f64 = 5.960_464_477_539_063e-8;

/// The smallest normal f32: devices may flush anything below to zero.
pub const SMALLEST_NORMAL: f64 = 1.175_494_350_822_287_5e-38;

/// `gamma(n) = n u / (1 - n u)`: the relative error of a product of `n` factors `1 + d`, `|d| <= u` (Higham, Accuracy and Stability
/// of Numerical Algorithms, lemma 3.1).
///
/// ```
/// assert!(sparse_core::bounds::gamma(2) > 2.0 * sparse_core::bounds::UNIT_ROUNDOFF);
/// ```
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * UNIT_ROUNDOFF;
    nu / (1.0 - nu)
}

/// What rounding `value`, itself uncertain by `error`, to a storage type may add.
///
/// One unit in the last place, two roundoffs: the conversion of WGSL does not promise to round to nearest.
pub fn storage_error(dtype: crate::DType, value: f64, error: f64) -> f64 {
    match dtype {
        crate::DType::F32 => 0.0,
        _ => 2.0 * dtype.unit_roundoff() * (value.abs() + error) + 2.0 * dtype.underflow(),
    }
}
