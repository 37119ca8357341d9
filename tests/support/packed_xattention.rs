//! XAttention of packed sequences on the GPU, each item against what it is alone.
#![allow(dead_code, reason = "every test binary uses another part of this file")]

use std::ops::Range;

use sparse_core::attention::{PackedShape, Packing, varlen_attention};
use sparse_core::mask::BlockMask;
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{Mode, XAttentionOptions};
use sparse_core::{Element, Tensor};
use sparse_gpu::{
    AttentionTypes, Decision, GpuMask, Outcome, VarlenXAttention, VarlenXAttentionPlan,
};

use super::gpu::{gpu, poisoned, read, rounded, submit};
use super::packed::assert_items_within;
use super::xattention_run::{Run, check_exact, run};

/// Items of these `(q_len, k_len)`, one after the other.
pub(crate) fn packed(
    lengths: &[(usize, usize)],
    [q_heads, kv_heads, head_dim]: [usize; 3],
) -> PackedShape {
    let (q, k): (Vec<_>, Vec<_>) = lengths.iter().copied().unzip();
    let [q, k] = [q, k].map(|lengths| Packing::of_lengths(&lengths).unwrap());
    PackedShape::try_new(q_heads, kv_heads, head_dim, q, k).unwrap()
}

/// Normal numbers as q, k and v, with peaked scores; NaN where no item has a token.
pub(crate) fn packed_inputs<T: Element>(shape: &PackedShape) -> [Tensor<T>; 3] {
    let (q, kv) = (shape.q_shape().to_vec(), shape.kv_shape().to_vec());
    let mut tensors = [(q, 1), (kv.clone(), 2), (kv, 3)]
        .map(|(shape, seed)| normal_tensor::<f32>(shape, seed).unwrap());
    tensors[0].data_mut().iter_mut().for_each(|x| *x *= 3.0);
    let mut is_token = vec![false; shape.k().total()];
    shape
        .k()
        .ranges()
        .for_each(|item| is_token[item].fill(true));
    let token = shape.kv_heads() * shape.head_dim();
    for x in &mut tensors[1..] {
        let rooms = x.data_mut().chunks_mut(token).zip(&is_token);
        rooms
            .filter(|(_, is_token)| !**is_token)
            .for_each(|(room, _)| room.fill(f32::NAN));
    }
    tensors.map(|tensor| rounded(&tensor))
}

/// Some tokens of `[tokens, heads, head_dim]` as `[1, heads, tokens, head_dim]`.
fn item_of<T: Element>(x: &Tensor<T>, tokens: Range<usize>) -> Tensor<T> {
    let (heads, dim) = (x.shape()[1], x.shape()[2]);
    let row = |head: usize, token: usize| {
        let first = (token * heads + head) * dim;
        &x.data()[first..first + dim]
    };
    let rows = (0..heads).flat_map(|head| tokens.clone().map(move |token| (head, token)));
    let data = rows.flat_map(|(head, token)| row(head, token).iter().copied());
    Tensor::new(vec![1, heads, tokens.len(), dim], data.collect())
}

/// Blocks of every third row and column, other ones in each item, beyond the blocks of the shorter items too.
pub(crate) fn forced(problem: &VarlenXAttention) -> BlockMask {
    let [items, heads, rows, columns] = problem.mask_shape();
    BlockMask::from_fn(items, heads, rows, columns, |b, h, i, j| {
        (b + h + 2 * i + j) % 3 == 0
    })
    .unwrap()
}

/// All that a run leaves behind.
pub(crate) struct PackedRun {
    /// `[total_q, q_heads, head_dim]`.
    pub(crate) out: Vec<f64>,
    /// `[q_heads, total_q]`.
    pub(crate) lse: Vec<f64>,
    /// None where nothing was scored.
    pub(crate) mask: Option<BlockMask>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) plan: VarlenXAttentionPlan,
}

pub(crate) fn run_packed<T: Element>(
    problem: &VarlenXAttention,
    qkv: &[Tensor<T>; 3],
) -> PackedRun {
    let gpu = gpu();
    let problem = VarlenXAttention {
        types: AttentionTypes::all(T::DTYPE),
        ..problem.clone()
    };
    let plan = gpu
        .plan_blocking(&problem)
        .unwrap_or_else(|e| panic!("{problem:?}: {e}"));
    let [q, k, v] = [0, 1, 2].map(|i| gpu.upload(&qkv[i]).unwrap());
    let [total, heads, _] = problem.shape.q_shape();
    let mut out = poisoned::<T>(gpu, q.shape());
    let mut lse = poisoned::<f32>(gpu, &[heads, total]);
    if let Some(mask) = plan.mask() {
        poison(mask, &problem, &plan);
    }
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse).unwrap();
    });
    let mask = plan.mask();
    PackedRun {
        out: read::<T>(gpu, &out),
        lse: read::<f32>(gpu, &lse),
        mask: mask.map(|mask| gpu.read_mask_blocking(mask).unwrap()),
        outcomes: plan.outcomes_blocking().unwrap(),
        plan,
    }
}

/// All blocks of items that are scored, so that what is not written stays visible. The others have theirs from the beginning.
fn poison(mask: &GpuMask, problem: &VarlenXAttention, plan: &VarlenXAttentionPlan) {
    let gpu = gpu();
    let (block, heads) = (problem.options.block, problem.options.mask_heads);
    let given = gpu.read_mask_blocking(mask).unwrap();
    let mut masks = problem.shape.unpack_mask(&given, block, heads).unwrap();
    for (mask, decision) in masks.iter_mut().zip(plan.decisions()) {
        if decision == Decision::Sparse {
            let [batch, heads, rows, columns] = mask.shape();
            *mask = BlockMask::dense(batch, heads, rows, columns).unwrap();
        }
    }
    let poisoned = problem.shape.pack_masks(&masks, block, heads).unwrap();
    let bytes = bytemuck::cast_slice(poisoned.words());
    gpu.queue().write_buffer(mask.buffer(), 0, bytes);
}

/// Output and log-sum-exps within their bounds, of attention over the blocks of `mask`.
pub(crate) fn check_attention<T: Element>(
    what: &str,
    problem: &VarlenXAttention,
    [q, k, v]: &[Tensor<T>; 3],
    mask: Option<&BlockMask>,
    run: &PackedRun,
) {
    let shape = &problem.shape;
    let kinds = match mask {
        Some(_) => problem.attention().head_kinds,
        None => problem.dense_attention().head_kinds,
    };
    let options = problem.options.attention();
    let references = varlen_attention(q, k, v, shape, kinds.as_deref(), mask, &options).unwrap();
    let numbers = v.data().iter().map(|x| x.to_f64().abs());
    let largest_v = numbers.filter(|x| !x.is_nan()).fold(0.0, f64::max);
    assert_items_within(
        what,
        shape,
        &references,
        (largest_v, T::DTYPE),
        [&run.out, &run.lse],
    );
}

/// Every item selects what it selects alone, where that is checked against the CPU twin, and the attention is right over those blocks.
pub(crate) fn check_packed<T: Element>(what: &str, problem: &VarlenXAttention) -> PackedRun {
    let shape = &problem.shape;
    let qkv = packed_inputs::<T>(shape);
    let result = run_packed(problem, &qkv);
    let options = &problem.options;
    let mask = result.mask.as_ref().unwrap();
    let masks = shape
        .unpack_mask(mask, options.block, options.mask_heads)
        .unwrap();
    let layouts = options.packed_layouts(shape).unwrap();
    let tokens = shape.q().ranges().zip(shape.k().ranges());
    for (item, (queries, keys)) in tokens.enumerate() {
        let [q, k, v] = [(0, queries), (1, keys.clone()), (2, keys)]
            .map(|(i, tokens)| item_of(&qkv[i], tokens));
        let what = format!("{what}, item {item}");
        let alone = alone(&what, [&q, &k, &v], layouts[item].options());
        assert_eq!(masks[item], alone.mask, "{what}");
    }
    check_attention(what, problem, &qkv, Some(mask), &result);
    result
}

fn alone<T: Element>(what: &str, qkv: [&Tensor<T>; 3], options: &XAttentionOptions) -> Run {
    match options.mode {
        Mode::Exact => check_exact(what, qkv, options),
        // Against the CPU twin by the tests of that mode.
        Mode::Reference(_) => run(qkv, options),
    }
}
