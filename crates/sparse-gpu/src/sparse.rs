//! Sparse operands in GPU memory.

use sparse_core::{BlockMask, DType, Element, Nm, NmMatrix};

use crate::tensor::refuse_other_device;
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

/// A block mask in GPU memory: the words of [`BlockMask::words`].
#[derive(Clone, Debug)]
pub struct GpuMask {
    pub(crate) words: wgpu::Buffer,
    shape: [usize; 4],
    device: wgpu::Device,
}

impl GpuMask {
    /// `[batch, heads, query blocks, key blocks]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The words, as [`BlockMask::words`] has them.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.words
    }

    /// Words of one row of the mask.
    pub fn words_per_row(&self) -> usize {
        self.shape[3].div_ceil(32)
    }

    /// Checks device and shape against what a plan was made for.
    pub(crate) fn expect(
        &self,
        gpu: &Gpu,
        operation: &'static str,
        shape: [usize; 4],
    ) -> Result<(), Error> {
        refuse_other_device(gpu, operation, "mask", &self.device)?;
        if self.shape == shape {
            return Ok(());
        }
        Err(Error::ShapeMismatch {
            operation,
            tensor: "mask",
            expected: shape.to_vec(),
            actual: self.shape.to_vec(),
        })
    }

    fn word_count(&self) -> usize {
        let [batch, heads, q_blocks, _] = self.shape;
        batch * heads * q_blocks * self.words_per_row()
    }
}

impl Gpu {
    /// Copies an N:M matrix to the GPU.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`].
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

    /// Copies a block mask to the GPU.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`].
    pub fn upload_mask(&self, mask: &BlockMask) -> Result<GpuMask, Error> {
        Ok(GpuMask {
            words: self.upload_words("block mask", mask.words())?,
            shape: [mask.batch(), mask.heads(), mask.q_blocks(), mask.k_blocks()],
            device: self.device().clone(),
        })
    }

    /// A mask that an operation writes on the GPU; it selects nothing until then.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::InvalidProblem`] where its bits cannot be counted, [`Error::OutOfMemory`].
    pub fn empty_mask(&self, shape: [usize; 4]) -> Result<GpuMask, Error> {
        let [batch, heads, q_blocks, k_blocks] = shape;
        let words = [batch, heads, q_blocks, k_blocks.div_ceil(32), 4]
            .iter()
            .try_fold(1_u64, |product, &n| product.checked_mul(n as u64))
            .ok_or_else(|| {
                Error::invalid(
                    "mask",
                    format!("shape {shape:?} has more bits than can be addressed"),
                )
            })?;
        Ok(GpuMask {
            words: self.allocate("block mask", words, crate::GpuTensor::USAGES)?,
            shape,
            device: self.device().clone(),
        })
    }

    /// Copies a mask back once everything submitted so far is done.
    ///
    /// # Errors
    /// Those of [`Gpu::read`], and [`Error::Readback`] where the words are no mask: an operation that should have written them did not.
    pub async fn read_mask(&self, mask: &GpuMask) -> Result<BlockMask, Error> {
        refuse_other_device(self, "read", "mask", &mask.device)?;
        let words = self.read_words(&mask.words, mask.word_count()).await?;
        to_block_mask(mask, words)
    }

    /// As [`Gpu::read_mask`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read_mask`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_mask_blocking(&self, mask: &GpuMask) -> Result<BlockMask, Error> {
        refuse_other_device(self, "read", "mask", &mask.device)?;
        let words = self.read_words_blocking(&mask.words, mask.word_count())?;
        to_block_mask(mask, words)
    }

    /// Rows of `row_len` values, each padded with zeros to a multiple of 4 so that kernels load vec4s.
    pub(crate) fn upload_padded<T: Element>(
        &self,
        what: &str,
        values: &[T],
        row_len: usize,
    ) -> Result<wgpu::Buffer, Error> {
        let stride = row_len.next_multiple_of(4);
        if stride == row_len {
            return self.upload_bytes(what, bytemuck::cast_slice(values));
        }
        let mut padded = Vec::with_capacity(values.len() / row_len * stride);
        for row in values.chunks_exact(row_len) {
            padded.extend_from_slice(row);
            padded.resize(padded.len() + stride - row_len, T::ZERO);
        }
        self.upload_bytes(what, bytemuck::cast_slice(&padded))
    }

    pub(crate) fn upload_words(&self, what: &str, words: &[u32]) -> Result<wgpu::Buffer, Error> {
        self.upload_bytes(what, bytemuck::cast_slice(words))
    }

    pub(crate) fn upload_bytes(&self, what: &str, bytes: &[u8]) -> Result<wgpu::Buffer, Error> {
        let buffer = self.allocate(what, bytes.len() as u64, crate::GpuTensor::USAGES)?;
        self.write(&buffer, bytes);
        Ok(buffer)
    }
}

fn to_block_mask(mask: &GpuMask, words: Vec<u32>) -> Result<BlockMask, Error> {
    let [batch, heads, q_blocks, k_blocks] = mask.shape;
    let bytes = 4 * words.len() as u64;
    BlockMask::try_from_words(batch, heads, q_blocks, k_blocks, words).map_err(|e| {
        Error::Readback {
            bytes,
            message: e.to_string(),
        }
    })
}
