//! N:M weights in GPU memory.

use sparse_core::{DType, Element, Nm, NmMatrix};

use crate::{Error, Gpu};

/// An N:M matrix in GPU memory: values `[rows, kept]` with rows padded to a multiple of 4 elements, and the packed indices of
/// [`NmMatrix::packed_indices`].
#[derive(Clone, Debug)]
pub struct GpuNm {
    pub(crate) values: wgpu::Buffer,
    pub(crate) indices: wgpu::Buffer,
    pub(crate) words_per_strip: usize,
    rows: usize,
    cols: usize,
    pattern: Nm,
    dtype: DType,
    pub(crate) device: wgpu::Device,
}

impl GpuNm {
    /// `[rows, cols]` of the matrix.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The pattern.
    pub fn pattern(&self) -> Nm {
        self.pattern
    }

    /// Storage type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes in GPU memory.
    pub fn bytes(&self) -> u64 {
        self.values.size() + self.indices.size()
    }
}

impl Gpu {
    /// Copies an N:M matrix to the GPU.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn upload_nm<T: Element>(&self, matrix: &NmMatrix<T>) -> Result<GpuNm, Error> {
        let kept = matrix.kept_per_row();
        Ok(GpuNm {
            values: self.upload_padded("N:M values", matrix.values(), kept)?,
            indices: self.upload_words("N:M indices", matrix.packed_indices())?,
            words_per_strip: matrix.words_per_strip(),
            rows: matrix.rows(),
            cols: matrix.cols(),
            pattern: matrix.pattern(),
            dtype: T::DTYPE,
            device: self.device().clone(),
        })
    }
}
