//! Normal numbers and small integers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Element, Matrix, ShapeError, Tensor};

/// A seeded source of unit normal numbers (Box and Muller's method).
#[derive(Debug)]
pub(crate) struct Normal {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Normal {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            spare: None,
        }
    }

    pub(crate) fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - [0, 1) keeps the logarithm finite.
        let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.rng.random::<f64>()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

fn filled<T: Element>(
    shape: Vec<usize>,
    mut next: impl FnMut() -> f64,
) -> Result<Tensor<T>, ShapeError> {
    let mut tensor = Tensor::zeros(shape)?;
    for x in tensor.data_mut() {
        *x = T::from_f64(next());
    }
    Ok(tensor)
}

/// Unit normal numbers, rounded to `T`.
///
/// # Errors
/// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice.
pub fn normal_tensor<T: Element>(shape: Vec<usize>, seed: u64) -> Result<Tensor<T>, ShapeError> {
    let mut normal = Normal::new(seed);
    filled(shape, || normal.next())
}

/// As [`normal_tensor`], a matrix.
///
/// ```
/// let w = sparse_core::synthetic::normal_matrix::<f32>(4, 8, 1)?;
/// assert_eq!(w, sparse_core::synthetic::normal_matrix(4, 8, 1)?);
/// assert_ne!(w, sparse_core::synthetic::normal_matrix(4, 8, 2)?);
/// # Ok::<(), sparse_core::ShapeError>(())
/// ```
///
/// # Errors
/// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice.
pub fn normal_matrix<T: Element>(
    rows: usize,
    cols: usize,
    seed: u64,
) -> Result<Matrix<T>, ShapeError> {
    let (_, data) = normal_tensor(vec![rows, cols], seed)?.into_parts();
    Matrix::try_new(rows, cols, data)
}

/// Integers, uniform in `-limit..=limit`: with small ones, sums of products are exact in f32 and a kernel can be
/// asked for equality.
///
/// # Errors
/// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice.
pub fn integer_tensor<T: Element>(
    shape: Vec<usize>,
    limit: u8,
    seed: u64,
) -> Result<Tensor<T>, ShapeError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let limit = i16::from(limit);
    filled(shape, || f64::from(rng.random_range(-limit..=limit)))
}

/// As [`integer_tensor`], a matrix.
///
/// # Errors
/// [`ShapeError::TooLarge`] where the element count overflows, [`ShapeError::OutOfMemory`] where memory does not suffice.
pub fn integer_matrix<T: Element>(
    rows: usize,
    cols: usize,
    limit: u8,
    seed: u64,
) -> Result<Matrix<T>, ShapeError> {
    let (_, data) = integer_tensor(vec![rows, cols], limit, seed)?.into_parts();
    Matrix::try_new(rows, cols, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let x = normal_tensor::<f32>(vec![100_000], 7).unwrap();
        let mean =
            |f: fn(f64) -> f64| x.data().iter().map(|&x| f(f64::from(x))).sum::<f64>() / 100_000.0;
        // Standard errors: 0.0032, 0.0045, 0.031; five of each.
        assert!(mean(|x| x).abs() < 0.016);
        assert!((mean(|x| x * x) - 1.0).abs() < 0.023);
        assert!((mean(|x| x.powi(4)) - 3.0).abs() < 0.16);
    }

    #[test]
    fn integers_reach_both_limits_and_no_further() {
        let m = integer_matrix::<f32>(50, 40, 4, 3).unwrap();
        let range = m
            .data()
            .iter()
            .fold((0.0_f32, 0.0_f32), |(lo, hi), &x| (lo.min(x), hi.max(x)));
        assert_eq!(range, (-4.0, 4.0));
        assert!(m.data().iter().all(|x| x.fract() == 0.0));
    }
}
