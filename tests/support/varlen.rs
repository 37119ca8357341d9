//! One attention over packed sequences on the GPU, compared with the CPU reference.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use sparse_core::attention::{AttentionOptions, Packing, varlen_attention};
use sparse_core::synthetic::normal_tensor;
use sparse_core::{BlockMask, DType, Tensor};
use sparse_gpu::{Explanation, VarlenAttention};

use super::attention::{Outcome, poisoned_as, read_as, rounded, upload_as};
use super::gpu::{gpu, poisoned, read, submit};
use super::packed::assert_items_within;

/// What is attended. Numbers are held in f32 and rounded to the storage types before anything is computed from them.
#[derive(Clone, Debug)]
pub(crate) struct VarlenCase {
    pub(crate) problem: VarlenAttention,
    pub(crate) q: Tensor<f32>,
    pub(crate) k: Tensor<f32>,
    pub(crate) v: Tensor<f32>,
    pub(crate) mask: Option<BlockMask>,
}

/// NaN where no item has a token: what is read from there stays visible.
fn with_empty_rooms(x: Tensor<f32>, packing: &Packing) -> Tensor<f32> {
    let (shape, mut data) = x.into_parts();
    let token = shape[1] * shape[2];
    let mut is_used = vec![false; shape[0]];
    packing.ranges().for_each(|item| is_used[item].fill(true));
    for (token, _) in data
        .chunks_mut(token)
        .zip(is_used)
        .filter(|(_, used)| !used)
    {
        token.fill(f32::NAN);
    }
    Tensor::new(shape, data)
}

impl VarlenCase {
    /// Normal numbers; with a mask where one is given.
    pub(crate) fn new(problem: &VarlenAttention, mask: Option<BlockMask>) -> Self {
        let types = problem.types;
        let tensor = |shape: [usize; 3], dtype, seed| {
            let x = normal_tensor::<f32>(shape.to_vec(), seed);
            rounded(&x.unwrap_or_else(|e| panic!("{e}")), dtype)
        };
        let (q_shape, kv_shape) = (problem.shape.q_shape(), problem.shape.kv_shape());
        Self {
            problem: VarlenAttention {
                masked: mask.is_some(),
                ..problem.clone()
            },
            q: tensor(q_shape, types.q, 1),
            k: with_empty_rooms(tensor(kv_shape, types.k, 2), problem.shape.k()),
            v: with_empty_rooms(tensor(kv_shape, types.v, 3), problem.shape.k()),
            mask,
        }
    }

    /// Runs the problem. Results start as NaN: what is not written stays visible.
    pub(crate) fn run(&self) -> (Outcome, Explanation) {
        let gpu = gpu();
        let types = self.problem.types;
        let plan = gpu
            .plan_blocking(&self.problem)
            .unwrap_or_else(|e| panic!("{:?}: {e}", self.problem));
        let q = upload_as(&self.q, types.q);
        let (k, v) = (upload_as(&self.k, types.k), upload_as(&self.v, types.v));
        let mask = self
            .mask
            .as_ref()
            .map(|mask| gpu.upload_mask(mask).unwrap_or_else(|e| panic!("{e}")));
        let shape = self.problem.shape.q_shape();
        let mut out = poisoned_as(&shape, types.out);
        let mut lse = poisoned::<f32>(gpu, &[shape[1], shape[0]]);
        submit(gpu, |pass| {
            plan.record(pass, &q, &k, &v, mask.as_ref(), &mut out, &mut lse)
                .unwrap_or_else(|e| panic!("{e}"));
        });
        let outcome = Outcome {
            out: read_as(&out, types.out),
            lse: read::<f32>(gpu, &lse),
        };
        (outcome, plan.explain().clone())
    }

    /// Runs the problem and fails the test unless every element lies within its bound.
    pub(crate) fn check(&self) -> Explanation {
        let problem = &self.problem;
        let options = AttentionOptions {
            scale: problem.scale,
            causal: problem.causal,
            block: problem.block,
            mask_heads: problem.mask_heads,
            soft_cap: problem.soft_cap,
        };
        let references = varlen_attention(
            &self.q,
            &self.k,
            &self.v,
            &problem.shape,
            problem.head_kinds.as_deref(),
            self.mask.as_ref(),
            &options,
        )
        .unwrap_or_else(|e| panic!("{e}"));
        let (outcome, explanation) = self.run();
        let largest = |max: f64, &v: &f32| max.max(f64::from(v).abs());
        let largest_v = self.v.data().iter().fold(0.0, largest);
        assert_items_within(
            &explanation.to_string(),
            &problem.shape,
            &references,
            (largest_v, problem.types.out),
            [&outcome.out, &outcome.lse],
        );
        explanation
    }
}

/// A mask whose blocks are drawn by a fixed rule, about `share` of 100 of them. It goes on past the blocks of the shorter items.
pub(crate) fn scattered(problem: &VarlenAttention, share: usize) -> BlockMask {
    let [items, heads, q_blocks, k_blocks] = problem.mask_shape();
    BlockMask::from_fn(items, heads, q_blocks, k_blocks, |b, h, i, j| {
        // A multiplicative hash: neighbours differ.
        let number = ((b * heads + h) * q_blocks + i) * k_blocks + j;
        (number.wrapping_mul(2_654_435_761) >> 8) % 100 < share
    })
    .unwrap_or_else(|e| panic!("{e}"))
}
