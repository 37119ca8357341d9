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

    /// Where the first number is that is not finite, and what it is.
    pub(super) fn first_not_finite(&self) -> Option<(Vec<usize>, f64)> {
        match self {
            Self::F32(t) => first_not_finite(t),
            Self::F16(t) => first_not_finite(t),
            Self::Bf16(t) => first_not_finite(t),
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

    /// Row, column and value of the first number that is too large for `dtype` and would become infinite in it.
    pub fn first_beyond(&self, dtype: DType) -> Option<([usize; 2], f64)> {
        match dtype {
            DType::F32 => self.first_infinite_in::<f32>(),
            DType::F16 => self.first_infinite_in::<f16>(),
            DType::Bf16 => self.first_infinite_in::<bf16>(),
        }
    }

    fn first_infinite_in<T: Element>(&self) -> Option<([usize; 2], f64)> {
        let cast = self.cast::<T>();
        let is_infinite = |x: &T| x.to_f64().is_infinite();
        let at = cast.data().iter().position(is_infinite)?;
        let (row, col) = (at / cast.cols(), at % cast.cols());
        Some(([row, col], f64::from(self.cast::<f32>().get(row, col))))
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

fn first_not_finite<T: Element>(tensor: &Tensor<T>) -> Option<(Vec<usize>, f64)> {
    let mut numbers = tensor.data().iter().map(|x| x.to_f64());
    let mut at = numbers.position(|x| !x.is_finite())?;
    let value = tensor.data()[at].to_f64();
    let mut place: Vec<usize> = tensor
        .shape()
        .iter()
        .rev()
        .map(|&size| {
            let index = at % size.max(1);
            at /= size.max(1);
            index
        })
        .collect();
    place.reverse();
    Some((place, value))
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
    fn the_first_number_that_is_not_finite_is_found_in_its_row_and_column() {
        let mut data = vec![1.0_f32; 24];
        let place = |data: &[f32]| {
            let tensor = Tensor::try_new(vec![2, 3, 4], data.to_vec()).unwrap();
            AnyTensor::F32(tensor).first_not_finite()
        };
        assert_eq!(place(&data), None);
        data[23] = f32::NAN;
        data[18] = f32::NEG_INFINITY;
        assert_eq!(place(&data), Some((vec![1, 1, 2], f64::NEG_INFINITY)));
        let half = Tensor::try_new(vec![2], vec![f16::ONE, f16::NAN]).unwrap();
        let (place, value) = AnyTensor::F16(half).first_not_finite().unwrap();
        assert!(place == [1] && value.is_nan());
    }

    #[test]
    fn numbers_that_a_type_does_not_hold_are_found() {
        let of = |data: [f32; 4]| AnyMatrix::F32(Matrix::try_new(2, 2, data.to_vec()).unwrap());
        // The largest of f16 is 65504; what is nearer to it than to the next step rounds to it.
        assert_eq!(
            of([1.0, 65504.0, -65519.0, 2.0]).first_beyond(DType::F16),
            None
        );
        let large = of([1.0, 2.0, -65520.0, 7e4]);
        assert_eq!(large.first_beyond(DType::F16), Some(([1, 0], -65520.0)));
        assert_eq!(large.first_beyond(DType::Bf16), None);
        let largest = of([f32::MAX; 4]);
        assert_eq!(largest.first_beyond(DType::F32), None);
        assert!(largest.first_beyond(DType::Bf16).is_some());
    }

    #[test]
    fn half_types_keep_their_bits() {
        let values = [f16::from_f32(0.1), f16::NEG_ZERO, f16::INFINITY];
        assert_eq!(elements::<f16>(&little_endian(&values)), values);
        assert_eq!(elements::<bf16>(&[0x80, 0x3f]), [bf16::ONE]);
    }
}
