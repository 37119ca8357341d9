//! Prompts of different lengths, packed without padding, read together: each selects its own key blocks where that pays.

use sparse_gpu::sparse_core::Tensor;
use sparse_gpu::sparse_core::attention::{AttentionShape, PackedShape, Packing};
use sparse_gpu::sparse_core::synthetic::PlantedAttention;
use sparse_gpu::sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{CostModel, Gpu, Policy, VarlenXAttention, wgpu};

/// Queries and keys of each prompt. The last one has been read up to its last 256 tokens, whose keys are there already.
const PROMPTS: [(usize, usize); 4] = [(2048, 2048), (90, 90), (700, 700), (256, 3072)];
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (queries, keys): (Vec<_>, Vec<_>) = PROMPTS.iter().copied().unzip();
    let (queries, keys) = (Packing::of_lengths(&queries)?, Packing::of_lengths(&keys)?);
    let shape = PackedShape::try_new(HEADS, KV_HEADS, HEAD_DIM, queries, keys)?;
    let [q, k, v] = inputs(&shape)?;

    let gpu = Gpu::new_blocking()?;
    let [q, k, v] = [gpu.upload(&q)?, gpu.upload(&k)?, gpu.upload(&v)?];
    let options = XAttentionOptions {
        stride: 16,
        block: 64,
        ..Default::default()
    };
    // What earlier runs of this layer selected; without it, what is usual for the length is expected.
    let costs = CostModel {
        expected_density: Some(0.4),
        ..CostModel::of_class(gpu.class())
    };
    let plan = gpu.plan_blocking(&VarlenXAttention {
        policy: Policy::Auto(costs),
        ..VarlenXAttention::new(shape, options)
    })?;
    let (mut out, mut lse) = (plan.new_out()?, plan.new_lse()?);

    let mut encoder = gpu
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    plan.record(&mut pass, &q, &k, &v, &mut out, &mut lse)?;
    drop(pass);
    gpu.queue().submit([encoder.finish()]);

    let out = gpu.read_blocking::<f32>(&out)?;
    print!("{}", plan.explain());
    for ((queries, keys), outcome) in PROMPTS.iter().zip(plan.outcomes_blocking()?) {
        println!("{queries} queries over {keys} keys: {outcome}");
    }
    println!("out[0] = {:.3} ...", out.data()[0]);
    Ok(())
}

/// Packed q, k and v, `[tokens, heads, head_dim]`, with sinks, local windows, stripes and slashes in each prompt.
fn inputs(shape: &PackedShape) -> Result<[Tensor<f32>; 3], Box<dyn std::error::Error>> {
    let [mut q, mut k, mut v] = [Vec::new(), Vec::new(), Vec::new()];
    for item in shape.item_shapes() {
        // Planted for as many queries as keys, of which the last ones are taken.
        let whole =
            AttentionShape::try_new(1, HEADS, KV_HEADS, item.k_len(), item.k_len(), HEAD_DIM)?;
        let planted = PlantedAttention {
            shape: whole,
            density: 0.2,
            seed: 1,
        };
        let planted = planted.generate::<f32>()?;
        append_tokens(&mut q, &planted.q, item.k_len() - item.q_len());
        append_tokens(&mut k, &planted.k, 0);
        append_tokens(&mut v, &planted.v, 0);
    }
    Ok([
        Tensor::try_new(shape.q_shape().to_vec(), q)?,
        Tensor::try_new(shape.kv_shape().to_vec(), k)?,
        Tensor::try_new(shape.kv_shape().to_vec(), v)?,
    ])
}

/// The tokens of `[1, heads, tokens, head_dim]` from `first` on, all heads of a token side by side.
fn append_tokens(packed: &mut Vec<f32>, x: &Tensor<f32>, first: usize) {
    let (heads, tokens) = (x.shape()[1], x.shape()[2]);
    for token in first..tokens {
        for head in 0..heads {
            let at = (head * tokens + token) * HEAD_DIM;
            packed.extend_from_slice(&x.data()[at..at + HEAD_DIM]);
        }
    }
}
