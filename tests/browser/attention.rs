//! XAttention from scores to output, the decision that the device takes itself, and packed sequences.

use sparse_gpu::sparse_core::attention::{
    AttentionOptions, AttentionShape, PackedShape, Packing, varlen_attention,
};
use sparse_gpu::sparse_core::bounds::attention_bounds;
use sparse_gpu::sparse_core::synthetic::{PlantedAttention, normal_tensor};
use sparse_gpu::sparse_core::xattention::{XAttentionOptions, varlen_xattention, xattention};
use sparse_gpu::sparse_core::{DType, Tensor};
use sparse_gpu::{Attended, Policy, VarlenAttention, VarlenXAttention, XAttention};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::cost_model::attention_alone;
use crate::support::{assert_within, open, poisoned, read, submit};

fn largest(v: &Tensor<f32>) -> f64 {
    v.data()
        .iter()
        .map(|v| f64::from(v.abs()))
        .fold(0.0, f64::max)
}

#[wasm_bindgen_test]
async fn xattention_selects_and_attends_as_its_twin() {
    let gpu = &open().await;
    for (len, head_dim, stride, block) in
        [(300, 40, 8, 32), (1000, 64, 16, 64), (700, 128, 16, 128)]
    {
        let shape = AttentionShape::try_new(1, 4, 2, len, len, head_dim).unwrap();
        let planted = PlantedAttention {
            shape,
            density: 0.3,
            seed: 1,
        };
        let inputs = planted.generate::<f32>().unwrap();
        let options = XAttentionOptions {
            stride,
            block,
            ..XAttentionOptions::default()
        };
        let twin = xattention(&inputs.q, &inputs.k, &inputs.v, &options).unwrap();

        let plan = gpu.plan(&XAttention::new(shape, options)).await.unwrap();
        let [q, k, v] = [&inputs.q, &inputs.k, &inputs.v].map(|x| gpu.upload(x).unwrap());
        let mut out = poisoned(gpu, &[1, 4, len, head_dim]);
        let mut lse = poisoned(gpu, &[1, 4, len]);
        submit(gpu, |pass| {
            plan.record(pass, &q, &k, &v, &mut out, &mut lse)
        });
        let mask = gpu.read_mask(plan.mask().unwrap()).await.unwrap();
        assert!(mask == twin.mask, "other blocks at {len} x {head_dim}");
        let bounds = attention_bounds(&twin.attention, largest(&inputs.v), DType::F32);
        assert_within(
            "out",
            read(gpu, &out).await,
            &twin.attention.out,
            &bounds.out,
        );
        assert_within(
            "lse",
            read(gpu, &lse).await,
            &twin.attention.lse,
            &bounds.lse,
        );
    }
}

/// The count of blocks never leaves the device: it decides which of two indirect dispatches has workgroups.
#[wasm_bindgen_test]
async fn the_device_decides_without_the_host() {
    let gpu = &open().await;
    let shape = AttentionShape::try_new(1, 2, 1, 512, 512, 32).unwrap();
    let planted = PlantedAttention {
        shape,
        density: 0.3,
        seed: 3,
    };
    let inputs = planted.generate::<f32>().unwrap();
    let [q, k, v] = [&inputs.q, &inputs.k, &inputs.v].map(|x| gpu.upload(x).unwrap());
    for (efficiency, attended) in [(1.0, Attended::Sparse), (0.01, Attended::Dense)] {
        let options = XAttentionOptions {
            stride: 8,
            block: 32,
            threshold: 0.8.into(),
            ..XAttentionOptions::default()
        };
        let problem = XAttention {
            policy: Policy::Auto(attention_alone(efficiency)),
            ..XAttention::new(shape, options)
        };
        let plan = gpu.plan(&problem).await.unwrap();
        let mut out = poisoned(gpu, &[1, 2, 512, 32]);
        let mut lse = poisoned(gpu, &[1, 2, 512]);
        submit(gpu, |pass| {
            plan.record(pass, &q, &k, &v, &mut out, &mut lse)
        });
        let outcome = plan.outcome().await.unwrap();
        assert_eq!(outcome.attended, attended, "{outcome:?}");
        assert!(
            read(gpu, &out).await.iter().all(|x| x.is_finite()),
            "{outcome:?}"
        );
    }
}

#[wasm_bindgen_test]
async fn packed_sequences() {
    let gpu = &open().await;
    let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
    let (q, k) = (packing(&[40, 0, 1, 33]), packing(&[40, 5, 70, 100]));
    let shape = PackedShape::try_new(1, 1, 24, q, k).unwrap();
    let tensor = |shape: [usize; 3], seed| normal_tensor::<f32>(shape.to_vec(), seed).unwrap();
    let [q, k, v] = [
        tensor(shape.q_shape(), 1),
        tensor(shape.kv_shape(), 2),
        tensor(shape.kv_shape(), 3),
    ];
    let problem = VarlenAttention::new(shape.clone());
    let options = AttentionOptions {
        causal: problem.causal,
        ..AttentionOptions::default()
    };
    let references = varlen_attention(&q, &k, &v, &shape, None, None, &options).unwrap();
    let largest = largest(&v);

    let plan = gpu.plan(&problem).await.unwrap();
    let [q, k, v] = [&q, &k, &v].map(|x| gpu.upload(x).unwrap());
    let [tokens, _, head_dim] = shape.q_shape();
    let mut out = poisoned(gpu, &shape.q_shape());
    let mut lse = poisoned(gpu, &[1, tokens]);
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, None, &mut out, &mut lse)
    });
    let (out, lse) = (read(gpu, &out).await, read(gpu, &lse).await);
    for (reference, item) in references.iter().zip(shape.q().ranges()) {
        let bounds = attention_bounds(reference, largest, DType::F32);
        let own = out[item.start * head_dim..item.end * head_dim].to_vec();
        assert_within("out", own, &reference.out, &bounds.out);
        assert_within("lse", lse[item].to_vec(), &reference.lse, &bounds.lse);
    }
}

/// Items scored and selected for one after the other.
#[wasm_bindgen_test]
async fn packed_sequences_select_as_their_twin() {
    let gpu = &open().await;
    let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
    let (q, k) = (packing(&[300, 0, 40, 170]), packing(&[300, 5, 400, 170]));
    let shape = PackedShape::try_new(2, 1, 40, q, k).unwrap();
    let tensor = |shape: [usize; 3], seed| normal_tensor::<f32>(shape.to_vec(), seed).unwrap();
    let mut q = tensor(shape.q_shape(), 1);
    let [k, v] = [2, 3].map(|seed| tensor(shape.kv_shape(), seed));
    // Peaked scores: with plain normal ones nearly every block is needed.
    q.data_mut().iter_mut().for_each(|x| *x *= 3.0);
    let options = XAttentionOptions {
        stride: 8,
        block: 32,
        threshold: 0.6.into(),
        ..XAttentionOptions::default()
    };
    let twins = varlen_xattention(&q, &k, &v, &shape, &options).unwrap();
    let largest = largest(&v);

    let problem = VarlenXAttention::new(shape.clone(), options.clone());
    let plan = gpu.plan(&problem).await.unwrap();
    let [q, k, v] = [&q, &k, &v].map(|x| gpu.upload(x).unwrap());
    let [tokens, heads, head_dim] = shape.q_shape();
    let mut out = poisoned(gpu, &shape.q_shape());
    let mut lse = poisoned(gpu, &[heads, tokens]);
    submit(gpu, |pass| {
        plan.record(pass, &q, &k, &v, &mut out, &mut lse)
    });
    let mask = gpu.read_mask(plan.mask().unwrap()).await.unwrap();
    let masks = shape.unpack_mask(&mask, options.block, options.mask_heads);
    let masks = masks.unwrap();
    let (out, lse) = (read(gpu, &out).await, read(gpu, &lse).await);
    for (item, (twin, queries)) in twins.iter().zip(shape.q().ranges()).enumerate() {
        assert!(masks[item] == twin.mask, "other blocks of item {item}");
        let bounds = attention_bounds(&twin.attention, largest, DType::F32);
        // The twin has one head after the other.
        let places = || (0..heads).flat_map(|head| queries.clone().map(move |token| (head, token)));
        let own = places().flat_map(|(head, token)| {
            let first = (token * heads + head) * head_dim;
            out[first..first + head_dim].to_vec()
        });
        assert_within("out", own.collect(), &twin.attention.out, &bounds.out);
        let own = places().map(|(head, token)| lse[head * tokens + token]);
        assert_within("lse", own.collect(), &twin.attention.lse, &bounds.lse);
    }
    assert_eq!(plan.outcomes().await.unwrap().len(), 4);
}
