//! Attention and scores that tiles compete in, checked against the CPU reference.

use sparse_core::attention::{AttentionOptions, AttentionShape};
use sparse_core::synthetic::{AttentionInputs, normal_tensor};
use sparse_core::xattention::{XAttentionLayout, XAttentionOptions};
use sparse_core::{DType, Element};
use sparse_gpu::{
    AttentionTypes, BlockAttention, BlockAttentionPlan, Error, Explanation, Gpu, GpuTensor,
    KernelTile, XAttentionScore, XAttentionScorePlan, wgpu,
};
use sparse_measure::{OutputAndLse, check, cold_kv_copies};

use super::contest::TunedOperation;
use crate::device::{GpuQkv, KvCopies};

/// q, k and v on both sides.
fn inputs<T: Element>(
    gpu: &Gpu,
    shape: AttentionShape,
) -> anyhow::Result<(AttentionInputs<T>, GpuQkv)> {
    let inputs = AttentionInputs {
        q: normal_tensor::<T>(shape.q_shape().to_vec(), 1)?,
        k: normal_tensor::<T>(shape.kv_shape().to_vec(), 2)?,
        v: normal_tensor::<T>(shape.kv_shape().to_vec(), 3)?,
    };
    let on_gpu = GpuQkv::upload(gpu, &inputs, shape)?;
    Ok((inputs, on_gpu))
}

/// Dense causal attention. Keys and values of few queries come from memory.
#[derive(Debug)]
pub(super) struct Attention<T> {
    inputs: AttentionInputs<T>,
    qkv: GpuQkv,
    kv: KvCopies,
    options: AttentionOptions,
    out: GpuTensor,
    lse: GpuTensor,
}

impl<T: Element> Attention<T> {
    pub(super) fn new(gpu: &Gpu, shape: AttentionShape) -> anyhow::Result<Self> {
        let (inputs, qkv) = inputs(gpu, shape)?;
        let q_shape = shape.q_shape();
        let bytes = (inputs.k.data().len() + inputs.v.data().len()) * T::DTYPE.bytes();
        let copies = cold_kv_copies(shape.q_len(), bytes, bytes);
        Ok(Self {
            kv: qkv.copies(gpu, &inputs, copies)?,
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
        let [k, v] = self.kv.turn();
        // The clones share the buffers.
        let (mut out, mut lse) = (self.out.clone(), self.lse.clone());
        plan.record(pass, &self.qkv.q, k, v, None, &mut out, &mut lse)
    }

    fn outputs(&self) -> Vec<&GpuTensor> {
        vec![&self.out, &self.lse]
    }

    /// Sampled queries of every head against the CPU reference; what the default gives passes the same check.
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
        let shape = AttentionShape::try_new(1, heads, heads, tokens, tokens, head_dim)?;
        let (inputs, qkv) = inputs(gpu, shape)?;
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
