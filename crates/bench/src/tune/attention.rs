//! Attention and scores that tiles compete in, checked against the CPU reference.

use sparse_core::attention::{AttentionOptions, AttentionShape};
use sparse_core::synthetic::{AttentionInputs, normal_tensor};
use sparse_core::xattention::{XAttentionLayout, XAttentionOptions};
use sparse_core::{DType, Element};
use sparse_gpu::{
    AttentionTypes, BlockAttention, BlockAttentionPlan, Error, Explanation, Gpu, GpuTensor,
    KernelTile, XAttentionScore, XAttentionScorePlan, wgpu,
};
use sparse_measure::{OutputAndLse, check};

use super::contest::TunedOperation;
use crate::device::GpuQkv;

/// q, k and v of `heads` heads, each with keys of its own, on both sides.
fn inputs<T: Element>(
    gpu: &Gpu,
    [tokens, heads, head_dim]: [usize; 3],
) -> anyhow::Result<(AttentionInputs<T>, GpuQkv)> {
    let tensor = |seed| normal_tensor::<T>(vec![1, heads, tokens, head_dim], seed);
    let inputs = AttentionInputs {
        q: tensor(1)?,
        k: tensor(2)?,
        v: tensor(3)?,
    };
    let shape = AttentionShape::try_new(1, heads, heads, tokens, tokens, head_dim)?;
    let on_gpu = GpuQkv::upload(gpu, &inputs, shape)?;
    Ok((inputs, on_gpu))
}

/// Dense causal attention.
#[derive(Debug)]
pub(super) struct Attention<T> {
    inputs: AttentionInputs<T>,
    qkv: GpuQkv,
    options: AttentionOptions,
    out: GpuTensor,
    lse: GpuTensor,
}

impl<T: Element> Attention<T> {
    pub(super) fn new(
        gpu: &Gpu,
        tokens: usize,
        heads: usize,
        head_dim: usize,
    ) -> anyhow::Result<Self> {
        let (inputs, qkv) = inputs(gpu, [tokens, heads, head_dim])?;
        let q_shape = qkv.shape.q_shape();
        Ok(Self {
            inputs,
            options: AttentionOptions {
                causal: true,
                ..AttentionOptions::default()
            },
            out: gpu.empty_tensor(&q_shape, DType::F32)?,
            lse: gpu.empty_tensor(&q_shape[..3], DType::F32)?,
            qkv,
        })
    }
}

impl<T: Element> TunedOperation for Attention<T> {
    type Plan = BlockAttentionPlan;

    fn plan(&self, gpu: &Gpu) -> Result<BlockAttentionPlan, Error> {
        gpu.plan_blocking(&BlockAttention {
            block: self.options.block,
            causal: self.options.causal,
            types: AttentionTypes {
                q: T::DTYPE,
                k: T::DTYPE,
                v: T::DTYPE,
                out: DType::F32,
            },
            ..BlockAttention::new(self.qkv.shape)
        })
    }

    fn kernel_tile(plan: &BlockAttentionPlan) -> Option<KernelTile> {
        Some(plan.kernel_tile())
    }

    fn explain(plan: &BlockAttentionPlan) -> &Explanation {
        plan.explain()
    }

    fn record(
        &self,
        plan: &BlockAttentionPlan,
        pass: &mut wgpu::ComputePass<'_>,
    ) -> Result<(), Error> {
        let GpuQkv { q, k, v, .. } = &self.qkv;
        // The clones share the buffers.
        let (mut out, mut lse) = (self.out.clone(), self.lse.clone());
        plan.record(pass, q, k, v, None, &mut out, &mut lse)
    }

    fn outputs(&self) -> Vec<&GpuTensor> {
        vec![&self.out, &self.lse]
    }

    /// Sampled queries against the CPU reference, some in every tile; what the default gives passes the same check.
    fn is_right(
        &self,
        results: &[Vec<f32>],
        _default: Option<&[Vec<f32>]>,
    ) -> anyhow::Result<bool> {
        let [out, lse] = results else {
            anyhow::bail!("{} results of attention", results.len());
        };
        let attended = OutputAndLse {
            out: out.clone(),
            lse: lse.clone(),
        };
        let is_written = out.iter().chain(lse).all(|x| x.is_finite());
        let error = check::attention(&self.inputs, None, &self.options, &attended)?;
        Ok(is_written && error.ratio() <= 1.0)
    }
}

/// Causal scores.
#[derive(Debug)]
pub(super) struct Scores<T> {
    inputs: AttentionInputs<T>,
    qkv: GpuQkv,
    layout: XAttentionLayout,
    scores: GpuTensor,
}

impl<T: Element> Scores<T> {
    pub(super) fn new(
        gpu: &Gpu,
        tokens: usize,
        heads: usize,
        head_dim: usize,
        stride: usize,
    ) -> anyhow::Result<Self> {
        let (inputs, qkv) = inputs(gpu, [tokens, heads, head_dim])?;
        let options = XAttentionOptions {
            stride,
            ..XAttentionOptions::default()
        };
        let layout = options.layout(qkv.shape)?;
        Ok(Self {
            inputs,
            qkv,
            scores: gpu.empty_tensor(&layout.score_shape(), DType::F32)?,
            layout,
        })
    }
}

impl<T: Element> TunedOperation for Scores<T> {
    type Plan = XAttentionScorePlan;

    fn plan(&self, gpu: &Gpu) -> Result<XAttentionScorePlan, Error> {
        gpu.plan_blocking(&XAttentionScore {
            q: T::DTYPE,
            k: T::DTYPE,
            ..XAttentionScore::new(self.qkv.shape, self.layout.options().clone())
        })
    }

    fn kernel_tile(plan: &XAttentionScorePlan) -> Option<KernelTile> {
        Some(plan.kernel_tile())
    }

    fn explain(plan: &XAttentionScorePlan) -> &Explanation {
        plan.explain()
    }

    fn record(
        &self,
        plan: &XAttentionScorePlan,
        pass: &mut wgpu::ComputePass<'_>,
    ) -> Result<(), Error> {
        let mut scores = self.scores.clone();
        plan.record(pass, &self.qkv.q, &self.qkv.k, &mut scores)
    }

    fn outputs(&self) -> Vec<&GpuTensor> {
        vec![&self.scores]
    }

    fn is_right(
        &self,
        results: &[Vec<f32>],
        _default: Option<&[Vec<f32>]>,
    ) -> anyhow::Result<bool> {
        let [scores] = results else {
            anyhow::bail!("{} results of scores", results.len());
        };
        let is_written = scores.iter().all(|x| x.is_finite());
        Ok(is_written && check::scores(&self.inputs, &self.layout, scores)?.ratio() <= 1.0)
    }
}
