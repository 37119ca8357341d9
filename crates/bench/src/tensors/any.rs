//! A tensor in the storage type its file has.

use half::{bf16, f16};
use sparse_core::{DType, Element, Matrix, Tensor};

/// A tensor of one of the three storage types.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyTensor {
    /// Stored as f32.
    F32(Tensor<f32>),
    /// Stored as f16.
    F16(Tensor<f16>),
    /// Stored as bf16.
    Bf16(Tensor<bf16>),
}

impl AnyTensor {
    /// The storage type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::Bf16(_) => DType::Bf16,
        }
    }

    /// Sizes, slowest dimension first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(t) => t.shape(),
            Self::F16(t) => t.shape(),
            Self::Bf16(t) => t.shape(),
        }
    }

    /// The same numbers as `T`, each rounded to nearest.
    pub fn cast<T: Element>(&self) -> Tensor<T> {
        match self {
            Self::F32(t) => t.cast(),
            Self::F16(t) => t.cast(),
            Self::Bf16(t) => t.cast(),
        }
    }
}

/// A matrix of one of the three storage types.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyMatrix {
    /// Stored as f32.
    F32(Matrix<f32>),
    /// Stored as f16.
    F16(Matrix<f16>),
    /// Stored as bf16.
    Bf16(Matrix<bf16>),
}

impl AnyMatrix {
    /// The storage type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::Bf16(_) => DType::Bf16,
        }
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::F32(m) => (m.rows(), m.cols()),
            Self::F16(m) => (m.rows(), m.cols()),
            Self::Bf16(m) => (m.rows(), m.cols()),
        }
    }

    /// The same numbers as `T`, each rounded to nearest.
    pub fn cast<T: Element>(&self) -> Matrix<T> {
        match self {
            Self::F32(m) => m.cast(),
            Self::F16(m) => m.cast(),
            Self::Bf16(m) => m.cast(),
        }
    }
}

/// Little-endian bytes to elements; the bytes need no alignment.
pub(super) fn elements<T: Element>(bytes: &[u8]) -> Vec<T> {
    let mut values = vec![T::ZERO; bytes.len() / size_of::<T>()];
    let filled = values.len() * size_of::<T>();
    let target: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
    target.copy_from_slice(&bytes[..filled]);
    to_native_endian(target, size_of::<T>());
    values
}

/// Elements to little-endian bytes.
pub(super) fn little_endian<T: Element>(values: &[T]) -> Vec<u8> {
    let mut bytes = bytemuck::cast_slice(values).to_vec();
    to_native_endian(&mut bytes, size_of::<T>());
    bytes
}

/// Exchanges the byte order of every element where the machine is big-endian.
fn to_native_endian(bytes: &mut [u8], element: usize) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(element).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_at_an_odd_address_are_read() {
        let mut bytes = vec![0xff_u8];
        bytes.extend(1.5_f32.to_le_bytes());
        bytes.extend((-2.0_f32).to_le_bytes());
        assert_eq!(elements::<f32>(&bytes[1..]), [1.5, -2.0]);
        assert_eq!(little_endian(&[1.5_f32, -2.0]), bytes[1..]);
    }

    #[test]
    fn half_types_keep_their_bits() {
        let values = [f16::from_f32(0.1), f16::NEG_ZERO, f16::INFINITY];
        assert_eq!(elements::<f16>(&little_endian(&values)), values);
        assert_eq!(elements::<bf16>(&[0x80, 0x3f]), [bf16::ONE]);
    }
}
