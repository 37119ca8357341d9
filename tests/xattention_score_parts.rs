//! `xattention_score` in parts: what it computes does not depend on them, and the memory that it holds grows with the length of the sequence.

mod support {
    pub(crate) mod gpu;
    pub(crate) mod xattention;
}

use sparse_core::Tensor;
use sparse_core::attention::{AttentionShape, HeadKind};
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions};
use sparse_gpu::{Tile, XAttentionScore};
use support::gpu::{gpu, poisoned, read, submit};
use support::xattention::gpu_scores;

/// q and k of a shape `[batch, q_heads, kv_heads, q_len, k_len, head_dim]`.
fn inputs(shape: [usize; 6]) -> [Tensor<f32>; 2] {
    let [batch, q_heads, kv_heads, q_len, k_len, head_dim] = shape;
    [
        normal_tensor(vec![batch, q_heads, q_len, head_dim], 1).unwrap(),
        normal_tensor(vec![batch, kv_heads, k_len, head_dim], 2).unwrap(),
    ]
}

/// Little scratch memory forces parts of heads, strips of query blocks and slices of keys; what is computed stays the same to the bit.
#[test]
fn parts_change_nothing() {
    let gpu = gpu();
    // Panels of 32, so that there are several.
    let tile = Some(Tile {
        rows: 8,
        cols: 4,
        lanes: 8,
    });
    for shape in [[2, 6, 2, 300, 421, 20], [1, 4, 4, 500, 512, 8]] {
        let [q, k] = inputs(shape);
        for mode in [Mode::Exact, Mode::Reference(ReferenceOptions::default())] {
            for (block, stride, causal) in [(32, 4, true), (16, 8, false), (64, 16, true)] {
                let options = XAttentionOptions {
                    block,
                    stride,
                    causal,
                    mode,
                    ..XAttentionOptions::default()
                };
                let attention = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
                let (_, whole) = gpu_scores(&q, &k, &options, tile);
                let mut partitions = Vec::new();
                for most_scratch in [100_000, 20_000, 1] {
                    let problem = XAttentionScore {
                        most_scratch: Some(most_scratch),
                        tile,
                        ..XAttentionScore::new(attention, options.clone())
                    };
                    let plan = gpu.plan_blocking(&problem).unwrap();
                    partitions.push(plan.explain().notes[1].clone());
                    let [q, k] = [gpu.upload(&q).unwrap(), gpu.upload(&k).unwrap()];
                    let mut scores = poisoned::<f32>(gpu, &plan.score_shape());
                    submit(gpu, |pass| plan.record(pass, &q, &k, &mut scores).unwrap());
                    assert_eq!(read::<f32>(gpu, &scores), whole, "{}", plan.explain());
                }
                let smallest = partitions.last().unwrap();
                // Keys of whole groups are read where they are, in one piece.
                let slices = !smallest.contains(" 1 of keys");
                assert_eq!(slices, shape[4] % stride > 0, "{partitions:?}");
                let strips = !smallest.contains(" 1 of query blocks");
                let rows = options.layout(attention).unwrap().score_shape()[2];
                assert_eq!(strips, rows > 32 / (block / stride), "{partitions:?}");
            }
        }
    }
}

/// Heads of other kinds are left out, between scored ones and inside of the query heads of a key head too.
#[test]
fn only_sparse_heads_are_scored() {
    let gpu = gpu();
    let [q, k] = inputs([2, 6, 2, 90, 101, 8]);
    let shape = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
    let options = XAttentionOptions {
        block: 16,
        stride: 4,
        ..XAttentionOptions::default()
    };
    let (_, all) = gpu_scores(&q, &k, &options, None);
    let streaming = HeadKind::Streaming {
        sink_blocks: 1,
        recent_blocks: 1,
    };
    let (dense, sparse) = (HeadKind::Dense, HeadKind::Sparse);
    for kinds in [
        [sparse, dense, sparse, streaming, sparse, sparse],
        [dense, dense, dense, sparse, dense, dense],
        [dense; 6],
    ] {
        let options = XAttentionOptions {
            head_kinds: Some(kinds.to_vec()),
            ..options.clone()
        };
        for most_scratch in [None, Some(1)] {
            let problem = XAttentionScore {
                most_scratch,
                ..XAttentionScore::new(shape, options.clone())
            };
            let plan = gpu.plan_blocking(&problem).unwrap();
            let [q, k] = [gpu.upload(&q).unwrap(), gpu.upload(&k).unwrap()];
            let mut scores = poisoned::<f32>(gpu, &plan.score_shape());
            submit(gpu, |pass| plan.record(pass, &q, &k, &mut scores).unwrap());
            let scores = read::<f32>(gpu, &scores);
            let head = scores.len() / 12;
            for (at, (sum, expected)) in scores.chunks(head).zip(all.chunks(head)).enumerate() {
                if kinds[at % 6] == sparse {
                    assert_eq!(sum, expected, "head {at}");
                } else {
                    assert!(sum.iter().all(|x| x.is_nan()), "head {at} was scored");
                }
            }
        }
    }
}
