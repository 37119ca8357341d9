//! N:M weights in GPU memory.

use sparse_core::{DType, Element, Nm, NmMatrix};

use crate::memory::without_padding;
use crate::operand::refuse_other_device;
use crate::{Error, Gpu, GpuTensor};

/// An N:M matrix in GPU memory: values `[rows, kept]` with rows padded to a multiple of 4 elements, and the packed indices of
/// [`NmMatrix::packed_indices`]. Clones share the buffers: what is written into one of them, all of them hold. [`Gpu::empty_nm_like`] makes one with values
/// of its own.
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
    /// The padding of rows, and slots that stand for columns behind the last, hold zeros and have to stay so: products multiply them by zeros, and
    /// [`Gpu::read_nm`] refuses a matrix where the latter are something else.
    /// `docs/FORMATS.md` has the layout.
    pub fn values(&self) -> GpuTensor {
        let shape = vec![self.rows, self.row_stride()];
        GpuTensor::whole(self.values.clone(), shape, self.dtype, &self.device)
    }

    /// Bytes in GPU memory, those that it shares with others included.
    pub fn bytes(&self) -> u64 {
        self.values.size() + self.indices.size()
    }

    /// Slots of a row.
    pub(crate) fn kept_per_row(&self) -> usize {
        self.kept_per_row
    }

    /// Elements from one row to the next.
    pub(crate) fn row_stride(&self) -> usize {
        self.kept_per_row.next_multiple_of(4)
    }

    fn index_words(&self) -> usize {
        self.rows.div_ceil(self.pattern.v()) * self.words_per_strip
    }

    fn host<T: Element>(&self, padded: &[T], indices: &[u32]) -> Result<NmMatrix<T>, Error> {
        let values = without_padding(padded, self.kept_per_row);
        NmMatrix::try_from_packed(self.rows, self.cols, self.pattern, values, indices).map_err(
            |e| Error::Readback {
                bytes: self.bytes(),
                message: e.to_string(),
            },
        )
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

    /// An N:M matrix of zeros with the slots of another, for an operation to write: the gradient of weights, say. It shares the packed indices of the
    /// other matrix, which stay as they are, and allocates values.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn empty_nm_like(&self, matrix: &GpuNm, dtype: DType) -> Result<GpuNm, Error> {
        const OPERATION: &str = "empty_nm_like";
        refuse_other_device(self, OPERATION, "the matrix", &matrix.device)?;
        // The matrix is there: its rows are counted, and bytes of an element are few.
        let elements = (matrix.rows as u64).saturating_mul(matrix.row_stride() as u64);
        let bytes = elements.saturating_mul(dtype.bytes() as u64);
        Ok(GpuNm {
            values: self.allocate("N:M values", bytes, GpuTensor::USAGES)?,
            dtype,
            ..matrix.clone()
        })
    }

    /// Copies an N:M matrix back once everything submitted so far is done: weights that a program's own kernels have trained, say.
    ///
    /// # Errors
    /// Those of [`Gpu::read`], and [`Error::Readback`] where slots that stand for columns behind the last are not zero.
    pub async fn read_nm<T: Element>(&self, matrix: &GpuNm) -> Result<NmMatrix<T>, Error> {
        refuse_other_device(self, "read", "matrix", &matrix.device)?;
        let values = self.read::<T>(&matrix.values()).await?;
        let words = matrix.index_words();
        let indices = self.read_words(&matrix.indices, words).await?;
        matrix.host(values.data(), &indices)
    }

    /// As [`Gpu::read_nm`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read_nm`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_nm_blocking<T: Element>(&self, matrix: &GpuNm) -> Result<NmMatrix<T>, Error> {
        refuse_other_device(self, "read", "matrix", &matrix.device)?;
        let values = self.read_blocking::<T>(&matrix.values())?;
        let indices = self.read_words_blocking(&matrix.indices, matrix.index_words())?;
        matrix.host(values.data(), &indices)
    }
}
