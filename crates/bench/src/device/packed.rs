//! Packed q, k and v in GPU memory, and attention over them recorded by plans: dense, or XAttention under a policy.

use sparse_core::{Element, Tensor};
use sparse_gpu::{
    Decision, Error, Explanation, Gpu, GpuMask, GpuTensor, VarlenAttentionPlan, VarlenXAttention,
    VarlenXAttentionPlan, wgpu,
};

use super::GpuResults;

/// The operands of attention over packed sequences in GPU memory. Clones share it.
#[derive(Clone, Debug)]
pub struct GpuPackedQkv {
    /// `[tokens, heads, head_dim]`.
    pub q: GpuTensor,
    /// `[tokens, kv_heads, head_dim]`.
    pub k: GpuTensor,
    /// `[tokens, kv_heads, head_dim]`.
    pub v: GpuTensor,
}

impl GpuPackedQkv {
    /// Copies q, k and v to the GPU, in their storage type.
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn upload<T: Element>(gpu: &Gpu, [q, k, v]: [&Tensor<T>; 3]) -> Result<Self, Error> {
        Ok(Self {
            q: gpu.upload(q)?,
            k: gpu.upload(k)?,
            v: gpu.upload(v)?,
        })
    }
}

/// Planned dense attention over packed sequences, with its results.
#[derive(Debug)]
pub struct PackedDenseRun {
    plan: VarlenAttentionPlan,
    qkv: GpuPackedQkv,
    results: GpuResults,
}

impl PackedDenseRun {
    /// Plans what `problem` is measured against.
    ///
    /// # Errors
    /// Where planning fails or the results do not fit into GPU memory.
    pub fn plan(gpu: &Gpu, qkv: &GpuPackedQkv, problem: &VarlenXAttention) -> Result<Self, Error> {
        let plan = gpu.plan_blocking(&problem.dense_attention())?;
        Ok(Self {
            results: GpuResults {
                out: plan.new_out()?,
                lse: plan.new_lse()?,
            },
            qkv: qkv.clone(),
            plan,
        })
    }

    /// Records the attention.
    ///
    /// # Errors
    /// Those of [`VarlenAttentionPlan::record`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let GpuPackedQkv { q, k, v } = &self.qkv;
        let GpuResults { out, lse } = &mut self.results;
        self.plan.record(pass, q, k, v, None, out, lse)
    }

    /// What recordings write.
    pub fn results(&self) -> &GpuResults {
        &self.results
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.plan.explain()
    }
}

/// Planned XAttention over packed sequences, with its results.
#[derive(Debug)]
pub struct PackedRun {
    plan: VarlenXAttentionPlan,
    qkv: GpuPackedQkv,
    results: GpuResults,
}

impl PackedRun {
    /// Plans it.
    ///
    /// # Errors
    /// Where planning fails or the results do not fit into GPU memory.
    pub fn plan(gpu: &Gpu, qkv: &GpuPackedQkv, problem: &VarlenXAttention) -> Result<Self, Error> {
        let plan = gpu.plan_blocking(problem)?;
        Ok(Self {
            results: GpuResults {
                out: plan.new_out()?,
                lse: plan.new_lse()?,
            },
            qkv: qkv.clone(),
            plan,
        })
    }

    /// Records scores and selections of the items that have some, and the attention.
    ///
    /// # Errors
    /// Those of [`VarlenXAttentionPlan::record`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let GpuPackedQkv { q, k, v } = &self.qkv;
        let GpuResults { out, lse } = &mut self.results;
        self.plan.record(pass, q, k, v, out, lse)
    }

    /// What recordings write.
    pub fn results(&self) -> &GpuResults {
        &self.results
    }

    /// The mask of all items that the attention reads; nothing where no item is scored.
    pub fn mask(&self) -> Option<&GpuMask> {
        self.plan.mask()
    }

    /// Of each item, whether it is scored.
    pub fn is_scored(&self) -> Vec<bool> {
        let decisions = self.plan.decisions();
        decisions.map(|made| made == Decision::Sparse).collect()
    }

    /// The decisions and their reasons, then kernels and tiles.
    pub fn explain(&self) -> &Explanation {
        self.plan.explain()
    }

    /// What was chosen for each step, and why.
    pub fn steps(&self) -> Vec<&Explanation> {
        self.plan.steps()
    }
}
