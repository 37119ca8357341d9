//! XAttention under a policy that may choose dense attention, as one plan.

use sparse_core::DType;
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{
    AttentionTypes, Error, Explanation, Gpu, GpuMask, GpuTensor, Outcome, Policy, XAttention,
    XAttentionPlan, wgpu,
};
use sparse_measure::OutputAndLse;

use super::{GpuQkv, GpuResults, KvCopies};

/// Planned XAttention under a policy, with its results, in f32.
#[derive(Debug)]
pub struct PolicyRun {
    plan: XAttentionPlan,
    q: GpuTensor,
    kv: KvCopies,
    results: GpuResults,
}

impl PolicyRun {
    /// Plans it.
    ///
    /// # Errors
    /// Where planning fails or the results do not fit into GPU memory.
    pub fn plan(
        gpu: &Gpu,
        qkv: &GpuQkv,
        options: &XAttentionOptions,
        policy: Policy,
    ) -> Result<Self, Error> {
        let plan = gpu.plan_blocking(&XAttention {
            policy,
            types: AttentionTypes {
                q: qkv.q.dtype(),
                k: qkv.k.dtype(),
                v: qkv.v.dtype(),
                out: DType::F32,
            },
            ..XAttention::new(qkv.shape, options.clone())
        })?;
        Ok(Self {
            results: GpuResults {
                out: plan.new_out()?,
                lse: plan.new_lse()?,
            },
            q: qkv.q.clone(),
            kv: qkv.one_copy(),
            plan,
        })
    }

    /// Makes recordings take these copies of keys and values by turns.
    pub fn take_turns(&mut self, kv: &KvCopies) {
        self.kv = kv.clone();
    }

    /// Records whatever the policy asks for.
    ///
    /// # Errors
    /// Those of [`XAttentionPlan::record`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let [k, v] = self.kv.turn();
        let GpuResults { out, lse } = &mut self.results;
        self.plan.record(pass, &self.q, k, v, out, lse)
    }

    /// What recordings write.
    pub fn results(&self) -> &GpuResults {
        &self.results
    }

    /// The results of the last recording that has run, on the host.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn read(&self, gpu: &Gpu) -> Result<OutputAndLse, Error> {
        self.results.read(gpu)
    }

    /// Scores of blocks, for padded lengths in the reference mode; nothing where the plan scores nothing.
    pub fn scores(&self) -> Option<&GpuTensor> {
        self.plan.scores()
    }

    /// The blocks that are selected from them, a mask for each head that has one.
    pub fn mask(&self) -> Option<&GpuMask> {
        self.plan.mask()
    }

    /// What the last recording that has run turned out to be.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn outcome(&self) -> Result<Outcome, Error> {
        self.plan.outcome_blocking()
    }

    /// The decision and its reason, then kernels and tiles.
    pub fn explain(&self) -> &Explanation {
        self.plan.explain()
    }

    /// What was chosen for each step, and why.
    pub fn steps(&self) -> Vec<&Explanation> {
        self.plan.steps()
    }
}
