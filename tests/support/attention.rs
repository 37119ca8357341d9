//! One attention on the GPU, compared with the CPU reference.
#![allow(
    dead_code,
    unused_imports,
    reason = "every test binary uses another part of this file"
)]

mod tiles;

use sparse_core::attention::{
    AttentionOptions, AttentionReference, AttentionShape, MaskHeads, block_attention, mask_of_kinds,
};
use sparse_core::bounds::{AttentionBounds, attention_bounds, compare};
use sparse_core::synthetic::normal_tensor;
use sparse_core::{BlockMask, DType, Tensor};
use sparse_gpu::{AdapterClass, BlockAttention, Explanation, GpuTensor, TokenLayout};

pub(crate) use tiles::{DIRECT, FEW, Kernel, TILED, TILES, tiles};

use super::gpu::{gpu, of_class, poisoned, read, submit};

/// What is attended. Numbers are held in f32 and rounded to the storage types before anything is computed from them.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) problem: BlockAttention,
    pub(crate) q: Tensor<f32>,
    pub(crate) k: Tensor<f32>,
    pub(crate) v: Tensor<f32>,
    pub(crate) mask: Option<BlockMask>,
    /// Whose defaults; none: those of the adapter.
    pub(crate) class: Option<AdapterClass>,
    /// Keys that the plan is for, where it is recorded over a prefix of them.
    pub(crate) planned_keys: Option<usize>,
}

/// Both results of the GPU, widened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) out: Vec<f64>,
    pub(crate) lse: Vec<f64>,
}

/// Sizes that are possible.
#[track_caller]
pub(crate) fn attention_shape(
    batch: usize,
    q_heads: usize,
    kv_heads: usize,
    q_len: usize,
    k_len: usize,
    head_dim: usize,
) -> AttentionShape {
    AttentionShape::try_new(batch, q_heads, kv_heads, q_len, k_len, head_dim)
        .unwrap_or_else(|e| panic!("{e}"))
}

impl Case {
    /// Normal numbers; with a mask where one is given.
    pub(crate) fn new(problem: &BlockAttention, mask: Option<BlockMask>) -> Self {
        let (shape, types) = (problem.shape, problem.types);
        let tensor = |shape: [usize; 4], dtype, seed| {
            let x = normal_tensor::<f32>(shape.to_vec(), seed);
            rounded(&x.unwrap_or_else(|e| panic!("{e}")), dtype)
        };
        Self {
            problem: BlockAttention {
                masked: mask.is_some(),
                ..problem.clone()
            },
            q: tensor(shape.q_shape(), types.q, 1),
            k: tensor(shape.kv_shape(), types.k, 2),
            v: tensor(shape.kv_shape(), types.v, 3),
            mask,
            class: None,
            planned_keys: None,
        }
    }

    pub(crate) fn reference(&self) -> AttentionReference {
        let options = AttentionOptions {
            scale: self.problem.scale,
            causal: self.problem.causal,
            block: self.problem.block,
            mask_heads: self.problem.mask_heads,
            soft_cap: self.problem.soft_cap,
        };
        let of_kinds = self.problem.head_kinds.as_deref().map(|kinds| {
            mask_of_kinds(&self.problem.shape, kinds, self.mask.as_ref(), &options)
                .unwrap_or_else(|e| panic!("{e}"))
        });
        let (mask, mask_heads) = match &of_kinds {
            Some(mask) => (Some(mask), MaskHeads::Query),
            None => (self.mask.as_ref(), options.mask_heads),
        };
        let options = AttentionOptions {
            mask_heads,
            ..options
        };
        block_attention(&self.q, &self.k, &self.v, mask, &options).unwrap_or_else(|e| panic!("{e}"))
    }

    pub(crate) fn bounds(&self, reference: &AttentionReference) -> AttentionBounds {
        let largest = |max: f64, &v: &f32| max.max(f64::from(v).abs());
        let largest_v = self.v.data().iter().fold(0.0, largest);
        attention_bounds(reference, largest_v, self.problem.types.out)
    }

    /// The problem that is planned.
    fn planned(&self) -> BlockAttention {
        let shape = self.problem.shape;
        let keys = self.planned_keys.unwrap_or(shape.k_len());
        BlockAttention {
            shape: attention_shape(
                shape.batch(),
                shape.q_heads(),
                shape.kv_heads(),
                shape.q_len(),
                keys,
                shape.head_dim(),
            ),
            ..self.problem.clone()
        }
    }

    /// Runs the problem. Results start as NaN: what is not written stays visible.
    pub(crate) fn run(&self) -> (Outcome, Explanation) {
        let gpu = &of_class(self.class);
        let out = self.problem.types.out;
        let planned = self.planned();
        let plan = gpu
            .plan_blocking(&planned)
            .unwrap_or_else(|e| panic!("{planned:?}: {e}"));
        let token_major = self.problem.layout == TokenLayout::TokenMajor;
        let room = planned.k_capacity.unwrap_or(planned.shape.k_len());
        let [k, v] = [&self.k, &self.v].map(|x| with_room(x, room));
        let upload = |x: &Tensor<f32>, dtype| {
            if token_major {
                upload_as(&heads_and_tokens_swapped(x), dtype)
            } else {
                upload_as(x, dtype)
            }
        };
        let types = self.problem.types;
        let (q, k, v) = (
            upload(&self.q, types.q),
            upload(&k, types.k),
            upload(&v, types.v),
        );
        let mask = self
            .mask
            .as_ref()
            .map(|mask| with_columns(mask, planned.mask_shape()))
            .map(|mask| gpu.upload_mask(&mask).unwrap_or_else(|e| panic!("{e}")));
        let shape = self.q.shape();
        let mut result = poisoned_as(q.shape(), out);
        let mut lse = poisoned::<f32>(gpu, &shape[..3]);
        let (mask, keys) = (mask.as_ref(), self.problem.shape.k_len());
        submit(gpu, |pass| {
            let recorded = match self.planned_keys {
                None => plan.record(pass, &q, &k, &v, mask, &mut result, &mut lse),
                Some(_) => plan.record_prefix(pass, keys, &q, &k, &v, mask, &mut result, &mut lse),
            };
            recorded.unwrap_or_else(|e| panic!("{e}"));
        });
        let mut out = read_as(&result, out);
        if token_major {
            out = swapped(&out, result.shape());
        }
        let outcome = Outcome {
            out,
            lse: read::<f32>(gpu, &lse),
        };
        (outcome, plan.explain().clone())
    }

    /// Runs the problem and fails the test unless every element lies within its bound. Returns the largest shares of a bound that the
    /// output and the log-sum-exps used.
    pub(crate) fn check(&self) -> [f64; 2] {
        let reference = self.reference();
        let bounds = self.bounds(&reference);
        let (outcome, explanation) = self.run();
        [
            ("out", outcome.out, &reference.out, &bounds.out),
            ("lse", outcome.lse, &reference.lse, &bounds.lse),
        ]
        .map(|(what, actual, expected, bounds)| {
            let comparison = compare(actual, expected, bounds);
            assert!(
                comparison.holds(),
                "{:?}\n{what}: {comparison}\n{explanation}",
                self.problem
            );
            comparison.ratio
        })
    }
}

/// Heads with room for `tokens` each, NaN where there are none: what is read from there stays visible.
pub(crate) fn with_room(x: &Tensor<f32>, tokens: usize) -> Tensor<f32> {
    let &[batch, heads, len, dim] = x.shape() else {
        panic!("{:?} is not of rank 4", x.shape());
    };
    let mut data = Vec::new();
    for head in 0..batch * heads {
        data.extend_from_slice(&x.data()[head * len * dim..(head + 1) * len * dim]);
        data.resize((head + 1) * tokens * dim, f32::NAN);
    }
    Tensor::new(vec![batch, heads, tokens, dim], data)
}

/// A mask of more key blocks, which are selected: what is read of them stays visible.
fn with_columns(mask: &BlockMask, [batch, heads, rows, columns]: [usize; 4]) -> BlockMask {
    let [_, _, _, known] = mask.shape();
    BlockMask::from_fn(batch, heads, rows, columns, |b, h, i, j| {
        j >= known || mask.get(b, h, i, j)
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

/// `[batch, a, b, dim]` as `[batch, b, a, dim]`.
pub(crate) fn swapped<T: Copy>(x: &[T], shape: &[usize]) -> Vec<T> {
    let &[batch, a, b, dim] = shape else {
        panic!("{shape:?} is not of rank 4");
    };
    let rows = (0..batch * b * a).map(|n| (n / (a * b), n % a, n / a % b));
    rows.flat_map(|(item, i, j)| {
        let first = ((item * a + i) * b + j) * dim;
        x[first..first + dim].to_vec()
    })
    .collect()
}

pub(crate) fn heads_and_tokens_swapped(x: &Tensor<f32>) -> Tensor<f32> {
    let shape = x.shape();
    let data = swapped(x.data(), shape);
    Tensor::new(vec![shape[0], shape[2], shape[1], shape[3]], data)
}

/// Numbers that the storage type holds, on the GPU.
pub(crate) fn upload_as(x: &Tensor<f32>, dtype: DType) -> GpuTensor {
    match dtype {
        DType::F32 => gpu().upload(x),
        DType::F16 => gpu().upload(&x.cast::<half::f16>()),
        DType::Bf16 => gpu().upload(&x.cast::<half::bf16>()),
    }
    .unwrap_or_else(|e| panic!("{e}"))
}

/// A tensor of NaN.
pub(crate) fn poisoned_as(shape: &[usize], dtype: DType) -> GpuTensor {
    match dtype {
        DType::F32 => poisoned::<f32>(gpu(), shape),
        DType::F16 => poisoned::<half::f16>(gpu(), shape),
        DType::Bf16 => poisoned::<half::bf16>(gpu(), shape),
    }
}

/// A tensor, widened.
pub(crate) fn read_as(tensor: &GpuTensor, dtype: DType) -> Vec<f64> {
    match dtype {
        DType::F32 => read::<f32>(gpu(), tensor),
        DType::F16 => read::<half::f16>(gpu(), tensor),
        DType::Bf16 => read::<half::bf16>(gpu(), tensor),
    }
}

/// The nearest numbers that the storage type holds.
pub(crate) fn rounded(x: &Tensor<f32>, dtype: DType) -> Tensor<f32> {
    match dtype {
        DType::F32 => x.clone(),
        DType::F16 => x.cast::<half::f16>().cast(),
        DType::Bf16 => x.cast::<half::bf16>().cast(),
    }
}

/// A mask whose blocks are drawn by a fixed rule, about `share` of 100 of them.
pub(crate) fn scattered(problem: &BlockAttention, share: usize) -> BlockMask {
    let [batch, heads, q_blocks, k_blocks] = problem.mask_shape();
    BlockMask::from_fn(batch, heads, q_blocks, k_blocks, |b, h, i, j| {
        // A multiplicative hash: neighbours differ.
        let number = ((b * heads + h) * q_blocks + i) * k_blocks + j;
        (number.wrapping_mul(2_654_435_761) >> 8) % 100 < share
    })
    .unwrap_or_else(|e| panic!("{e}"))
}
