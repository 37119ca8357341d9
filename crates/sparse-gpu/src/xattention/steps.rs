//! The steps of sparse attention, planned, with what passes from one to the next.

use crate::ops::{BlockAttentionPlan, XAttention, XAttentionScorePlan, XAttentionSelectPlan};
use crate::problem::Explanation;
use crate::{Error, Gpu, GpuMask, GpuTensor};

/// Score, select, attend.
#[derive(Debug)]
pub(super) struct SparseSteps {
    pub(super) score: XAttentionScorePlan,
    pub(super) select: XAttentionSelectPlan,
    pub(super) attention: BlockAttentionPlan,
    /// Whether any head reads the mask.
    pub(super) masked: bool,
    pub(super) scores: GpuTensor,
    pub(super) mask: GpuMask,
}

impl SparseSteps {
    pub(super) async fn plan(gpu: &Gpu, problem: &XAttention) -> Result<Self, Error> {
        let score = gpu.plan(&problem.score()).await?;
        let select = gpu.plan(&problem.select()).await?;
        let attention = problem.attention();
        Ok(Self {
            masked: attention.masked,
            attention: gpu.plan(&attention).await?,
            scores: score.new_scores()?,
            mask: select.new_mask()?,
            score,
            select,
        })
    }

    pub(super) fn explain(&self) -> [&Explanation; 3] {
        [
            self.score.explain(),
            self.select.explain(),
            self.attention.explain(),
        ]
    }
}
