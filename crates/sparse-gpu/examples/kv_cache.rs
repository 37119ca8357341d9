//! A cache of keys and values: a prompt is read in chunks with XAttention, then tokens are generated with one plan, whatever their number.

use sparse_gpu::sparse_core::attention::AttentionShape;
use sparse_gpu::sparse_core::synthetic::normal_matrix;
use sparse_gpu::sparse_core::xattention::XAttentionOptions;
use sparse_gpu::sparse_core::{DType, Matrix};
use sparse_gpu::{
    BlockAttention, DenseMatmul, Error, Gpu, GpuTensor, MatmulPlan, Policy, TokenLayout,
    XAttention, wgpu,
};

type AnyError = Box<dyn std::error::Error>;

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 32;
/// Of q and of the output; of k and v.
const WIDE: usize = HEADS * HEAD_DIM;
const KV_WIDE: usize = KV_HEADS * HEAD_DIM;
/// Tokens that the cache holds.
const ROOM: usize = 1024;
const PROMPT: usize = 512;
const CHUNK: usize = 256;
const GENERATED: usize = 8;

/// One attention layer: weights, and the cache `[1, ROOM, KV_HEADS, HEAD_DIM]`, the heads of a token side by side as projections write them.
struct Layer {
    gpu: Gpu,
    w_q: GpuTensor,
    w_k: GpuTensor,
    w_v: GpuTensor,
    k: GpuTensor,
    v: GpuTensor,
}

impl Layer {
    fn new(gpu: &Gpu) -> Result<Self, AnyError> {
        let weights = |rows, seed| -> Result<GpuTensor, AnyError> {
            Ok(gpu.upload(&normal_matrix::<f32>(rows, WIDE, seed)?)?)
        };
        let cache = || gpu.empty_tensor(&[1, ROOM, KV_HEADS, HEAD_DIM], DType::F32);
        Ok(Self {
            gpu: gpu.clone(),
            w_q: weights(WIDE, 1)?,
            w_k: weights(KV_WIDE, 2)?,
            w_v: weights(KV_WIDE, 3)?,
            k: cache()?,
            v: cache()?,
        })
    }

    /// Records q of the new tokens, `[1, tokens, HEADS, HEAD_DIM]`, and their keys and values behind the `past` ones of the cache.
    fn project(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        x: &GpuTensor,
        past: usize,
    ) -> Result<GpuTensor, Error> {
        let tokens = x.shape()[0];
        // Made once for each number of tokens in a program that generates for long; kernels are compiled once in any case.
        let plan = |n_out| {
            self.gpu
                .plan_blocking(&DenseMatmul::new(tokens, n_out, WIDE))
        };
        let to_q: MatmulPlan = plan(WIDE)?;
        let to_kv: MatmulPlan = plan(KV_WIDE)?;
        let mut q = to_q.new_y()?;
        to_q.record(pass, &self.w_q, x, &mut q)?;
        for (weights, cache) in [(&self.w_k, &self.k), (&self.w_v, &self.v)] {
            // Rows of a multiple of 256 bytes start where every device binds.
            let rows = past..past + tokens;
            let mut new = cache.reshaped(&[ROOM, KV_WIDE])?.rows(rows)?;
            to_kv.record(pass, weights, x, &mut new)?;
        }
        q.reshaped(&[1, tokens, HEADS, HEAD_DIM])
    }
}

/// Records with `record` and submits.
fn submit<T>(
    gpu: &Gpu,
    record: impl FnOnce(&mut wgpu::ComputePass<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let recorded = record(&mut encoder.begin_compute_pass(&Default::default()))?;
    gpu.queue().submit([encoder.finish()]);
    Ok(recorded)
}

fn main() -> Result<(), AnyError> {
    let gpu = Gpu::new_blocking()?;
    let layer = Layer::new(&gpu)?;
    let tokens = normal_matrix::<f32>(PROMPT + GENERATED, WIDE, 4)?;
    let rows = |from: usize, to: usize| {
        let rows = tokens.data()[from * WIDE..to * WIDE].to_vec();
        Matrix::new(to - from, WIDE, rows)
    };
    let layout = TokenLayout::TokenMajor;

    // The prompt: the queries of a chunk are the last of the keys so far.
    for past in (0..PROMPT).step_by(CHUNK) {
        let x = gpu.upload(&rows(past, past + CHUNK))?;
        let shape = AttentionShape::try_new(1, HEADS, KV_HEADS, CHUNK, past + CHUNK, HEAD_DIM)?;
        let options = XAttentionOptions {
            block: 32,
            stride: 8,
            ..XAttentionOptions::default()
        };
        // Short prompts are attended to densely, where that is faster.
        let attention = gpu.plan_blocking(&XAttention {
            policy: Policy::auto(&gpu),
            layout,
            k_capacity: Some(ROOM),
            ..XAttention::new(shape, options)
        })?;
        let (mut out, mut lse) = (attention.new_out()?, attention.new_lse()?);
        submit(&gpu, |pass| {
            let q = layer.project(pass, &x, past)?;
            attention.record(pass, &q, &layer.k, &layer.v, &mut out, &mut lse)
        })?;
        println!(
            "prompt {past}..{}: {}",
            past + CHUNK,
            attention.outcome_blocking()?
        );
    }

    // Token by token, with one plan for as many keys as the cache holds.
    let shape = |keys| AttentionShape::try_new(1, HEADS, KV_HEADS, 1, keys, HEAD_DIM);
    let step = gpu.plan_blocking(&BlockAttention {
        layout,
        ..BlockAttention::new(shape(ROOM)?)
    })?;
    let (mut out, mut lse) = (step.new_out()?, step.new_lse()?);
    let mut x = gpu.empty_tensor(&[1, WIDE], DType::F32)?;
    let mut last_query = None;
    for past in PROMPT..PROMPT + GENERATED {
        gpu.upload_into(&rows(past, past + 1), &mut x)?;
        last_query = Some(submit(&gpu, |pass| {
            let q = layer.project(pass, &x, past)?;
            let keys = past + 1;
            step.record_prefix(pass, keys, &q, &layer.k, &layer.v, None, &mut out, &mut lse)?;
            Ok(q)
        })?);
    }
    let generated = gpu.read_blocking::<f32>(&out)?;

    // The same as a plan for just these keys gives.
    let keys = PROMPT + GENERATED;
    let exact = gpu.plan_blocking(&BlockAttention {
        layout,
        k_capacity: Some(ROOM),
        ..BlockAttention::new(shape(keys)?)
    })?;
    if let Some(q) = last_query {
        submit(&gpu, |pass| {
            exact.record(pass, &q, &layer.k, &layer.v, None, &mut out, &mut lse)
        })?;
    }
    let expected = gpu.read_blocking::<f32>(&out)?;
    let pairs = generated.data().iter().zip(expected.data());
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{GENERATED} tokens generated over {keys} keys, off by at most {difference:.1e}");
    Ok(())
}
