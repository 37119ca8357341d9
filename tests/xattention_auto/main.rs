//! `xattention` with [`Policy::Auto`]: which attention runs, that its result is that of the kernel it chose, and what it says of it.

#[path = "../support"]
mod support {
    pub(crate) mod cost_model;
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

mod by_plan;
mod on_device;

use sparse_core::attention::AttentionShape;
use sparse_core::synthetic::{PlantedAttention, normal_tensor};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{Element, Tensor};
use sparse_gpu::{AttentionTypes, BlockAttention, Gpu, Policy, XAttention, XAttentionPlan};
use support::cost_model::attention_alone;
use support::gpu::{gpu, poisoned, read, submit};

/// The device always decides, and takes the sparse kernel below a density of `efficiency`.
fn on_device(efficiency: f64) -> Policy {
    Policy::Auto(attention_alone(efficiency))
}

fn options() -> XAttentionOptions {
    XAttentionOptions {
        block: 32,
        stride: 8,
        threshold: 0.8.into(),
        ..XAttentionOptions::default()
    }
}

fn shape(len: usize, head_dim: usize) -> AttentionShape {
    AttentionShape::try_new(2, 4, 2, len, len, head_dim).unwrap()
}

/// q, k and v with few blocks that matter.
fn planted<T: Element>(shape: AttentionShape) -> [Tensor<T>; 3] {
    let planted = PlantedAttention {
        shape,
        density: 0.3,
        seed: 3,
    };
    let inputs = planted.generate::<T>().unwrap();
    [inputs.q, inputs.k, inputs.v]
}

/// q, k and v whose keys all weigh the same.
fn flat<T: Element>(shape: AttentionShape) -> [Tensor<T>; 3] {
    let [mut q, k, v] = [
        (shape.q_shape(), 1),
        (shape.kv_shape(), 2),
        (shape.kv_shape(), 3),
    ]
    .map(|(shape, seed)| normal_tensor::<T>(shape.to_vec(), seed).unwrap());
    q.data_mut().fill(T::ZERO);
    [q, k, v]
}

/// Output and log-sum-exp.
type Result = (Vec<f64>, Vec<f64>);

fn run_plan<T: Element>(gpu: &Gpu, plan: &XAttentionPlan, [q, k, v]: &[Tensor<T>; 3]) -> Result {
    let mut out = poisoned::<T>(gpu, q.shape());
    let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
    let [q, k, v] = [q, k, v].map(|x| gpu.upload(x).unwrap());
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });
    (read::<T>(gpu, &out), read::<f32>(gpu, &lse))
}

fn problem<T: Element>(shape: AttentionShape, policy: Policy) -> XAttention {
    XAttention {
        policy,
        types: AttentionTypes::all(T::DTYPE),
        ..XAttention::new(shape, options())
    }
}

/// The dense attention of the same problem.
fn dense<T: Element>(problem: &BlockAttention, [q, k, v]: &[Tensor<T>; 3]) -> Result {
    let gpu = gpu();
    let plan = gpu.plan_blocking(problem).unwrap();
    let mut out = poisoned::<T>(gpu, q.shape());
    let mut lse = poisoned::<f32>(gpu, &q.shape()[..3]);
    let [q, k, v] = [q, k, v].map(|x| gpu.upload(x).unwrap());
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, None, &mut out, &mut lse)
            .unwrap();
    });
    (read::<T>(gpu, &out), read::<f32>(gpu, &lse))
}
