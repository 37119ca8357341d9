//! Block scores alone.

use sparse_core::Tensor;
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{Error, Explanation, Gpu, GpuTensor, XAttentionScore, XAttentionScorePlan, wgpu};

use super::GpuQkv;

/// Planned block scores, with what they become.
#[derive(Debug)]
pub struct ScoreRun {
    plan: XAttentionScorePlan,
    q: GpuTensor,
    scores: GpuTensor,
    /// Of each query head, whether its scores are computed.
    is_scored: Vec<bool>,
}

impl ScoreRun {
    /// Plans them.
    ///
    /// # Errors
    /// Where planning fails or the scores do not fit into GPU memory.
    pub fn plan(gpu: &Gpu, qkv: &GpuQkv, options: &XAttentionOptions) -> Result<Self, Error> {
        let plan = gpu.plan_blocking(&XAttentionScore {
            q: qkv.q.dtype(),
            k: qkv.k.dtype(),
            ..XAttentionScore::new(qkv.shape, options.clone())
        })?;
        let heads = 0..qkv.shape.q_heads();
        Ok(Self {
            scores: plan.new_scores()?,
            q: qkv.q.clone(),
            is_scored: heads.map(|head| options.is_sparse(head)).collect(),
            plan,
        })
    }

    /// Records the scores of the keys `k`.
    ///
    /// # Errors
    /// Those of [`XAttentionScorePlan::record`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>, k: &GpuTensor) -> Result<(), Error> {
        self.plan.record(pass, &self.q, k, &mut self.scores)
    }

    /// Block scores `[batch, heads, q_blocks, k_blocks]`, on padded lengths in Reference mode.
    pub fn scores(&self) -> &GpuTensor {
        &self.scores
    }

    /// The block scores on the host; 0 for heads that are not scored, whose memory nobody writes.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn read(&self, gpu: &Gpu) -> Result<Tensor<f32>, Error> {
        let mut scores: Tensor<f32> = gpu.read_blocking(&self.scores)?;
        let &[_, heads, rows, blocks] = scores.shape() else {
            return Ok(scores);
        };
        let of_heads = scores.data_mut().chunks_mut((rows * blocks).max(1));
        for (at, of_head) in of_heads.enumerate() {
            if !self.is_scored[at % heads] {
                of_head.fill(0.0);
            }
        }
        Ok(scores)
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.plan.explain()
    }
}
