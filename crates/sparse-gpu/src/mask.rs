//! Block masks in GPU memory.

use sparse_core::BlockMask;

use crate::operand::refuse_other_device;
use crate::{Error, Gpu, GpuTensor};

/// A block mask in GPU memory: the words of [`BlockMask::words`]. Clones share the buffer: what an operation writes into one of them, all of them hold.
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
    /// Copies a block mask to the GPU.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`], [`Error::DeviceLost`].
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
    /// [`Error::Unavailable`] above the largest buffer, [`Error::InvalidProblem`] where its bits cannot be counted, [`Error::OutOfMemory`], [`Error::DeviceLost`].
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
            words: self.allocate("block mask", words, GpuTensor::USAGES)?,
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
