//! N:M weights in GPU memory.

use sparse_core::{DType, Element, Nm, NmMatrix};

use crate::{Error, Gpu, GpuTensor};

/// An N:M matrix in GPU memory: values `[rows, kept]` with rows padded to a multiple of 4 elements, and the packed indices of
/// [`NmMatrix::packed_indices`]. Clones share the buffers: what is written into one of them, all of them hold.
#[derive(Clone, Debug)]
pub struct GpuNm {
    pub(crate) values: wgpu::Buffer,
    pub(crate) indices: wgpu::Buffer,
    pub(crate) words_per_strip: usize,
    rows: usize,
    cols: usize,
    kept_per_row: usize,
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

    /// The values, `[rows, kept_per_row]` with rows rounded up to a multiple of 4 elements, for kernels of the program's own: the buffer is the matrix's,
    /// and what they write the next product multiplies by. Slot `j` of a row belongs to the `j`-th kept column of its strip
    /// ([`NmMatrix::column`]).
    ///
    /// The padding of rows, and slots that stand for columns behind the last, hold zeros and have to stay so: products multiply them by zeros.
    /// `docs/FORMATS.md` has the layout.
    pub fn values(&self) -> GpuTensor {
        let shape = vec![self.rows, self.kept_per_row.next_multiple_of(4)];
        GpuTensor::whole(self.values.clone(), shape, self.dtype, &self.device)
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
            kept_per_row: kept,
            pattern: matrix.pattern(),
            dtype: T::DTYPE,
            device: self.device().clone(),
        })
    }
}
