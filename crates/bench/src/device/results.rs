//! What attention leaves in GPU memory.

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_gpu::{Error, Gpu, GpuTensor};
use sparse_measure::OutputAndLse;

/// Output and log-sum-exp of a plan of attention, in f32.
#[derive(Debug)]
pub struct GpuResults {
    /// In the layout of q.
    pub out: GpuTensor,
    /// A number for each query of each head, natural logarithm.
    pub lse: GpuTensor,
}

impl GpuResults {
    /// Of heads that come before tokens: `[batch, heads, q_len, head_dim]` and `[batch, heads, q_len]`.
    ///
    /// # Errors
    /// Where they do not fit into GPU memory.
    pub fn empty(gpu: &Gpu, shape: AttentionShape) -> Result<Self, Error> {
        let q_shape = shape.q_shape();
        Ok(Self {
            out: gpu.empty_tensor(&q_shape, DType::F32)?,
            lse: gpu.empty_tensor(&q_shape[..3], DType::F32)?,
        })
    }

    /// The results of the last recording that has run, on the host.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn read(&self, gpu: &Gpu) -> Result<OutputAndLse, Error> {
        let (_, out) = gpu.read_blocking(&self.out)?.into_parts();
        let (_, lse) = gpu.read_blocking(&self.lse)?.into_parts();
        Ok(OutputAndLse { out, lse })
    }
}
