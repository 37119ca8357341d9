//! The CPU reference of XAttention on a real model's tensors, against figures from another implementation.

#[path = "support/gemma.rs"]
mod gemma;

use half::f16;
use sparse_core::Tensor;
use sparse_core::attention::{AttentionShape, block_attention_of_queries};
use sparse_core::mask::BlockMask;
use sparse_core::xattention::{
    Mode, ReferenceOptions, XAttentionOptions, xattention_score, xattention_select,
};

fn options(stride: usize, mode: Mode) -> XAttentionOptions {
    XAttentionOptions {
        stride,
        mode,
        ..XAttentionOptions::default()
    }
}

fn mask_of([q, k, _]: &[Tensor<f16>; 3], options: &XAttentionOptions) -> BlockMask {
    let shape = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
    let scores = xattention_score(q, k, options).unwrap().scores;
    xattention_select(&scores, &options.layout(shape).unwrap()).unwrap()
}

/// Share of the blocks that causal attention reaches, per head.
fn densities(mask: &BlockMask) -> Vec<f64> {
    let reachable = f64::from(u32::try_from(mask.q_blocks() * (mask.q_blocks() + 1) / 2).unwrap());
    (0..mask.heads())
        .map(|head| f64::from(u32::try_from(mask.count_of_head(0, head)).unwrap()) / reachable)
        .collect()
}

/// Relative L2 error against dense attention, and mean share of the mass kept, over all queries.
fn error_and_mass([q, k, v]: &[Tensor<f16>; 3], mask: &BlockMask) -> (f64, f64) {
    let attention = XAttentionOptions::default().attention();
    let (q_heads, q_len) = (q.shape()[1], q.shape()[2]);
    // Squared error, squared norm, mass kept.
    let part = |queries: &[usize]| -> [f64; 3] {
        let [sparse, dense] = [Some(mask), None]
            .map(|mask| block_attention_of_queries(q, k, v, mask, &attention, queries).unwrap());
        let pairs = || sparse.out.iter().zip(&dense.out);
        let masses = sparse.lse.iter().zip(&dense.lse);
        [
            pairs().map(|(a, b)| (a - b).powi(2)).sum(),
            pairs().map(|(_, b)| b.powi(2)).sum(),
            masses.map(|(a, b)| (a - b).exp()).sum(),
        ]
    };
    let halves = [0, 1].map(|odd| (odd..q_len).step_by(2).collect::<Vec<_>>());
    let [a, b] = std::thread::scope(|scope| {
        let other = scope.spawn(|| part(&halves[1]));
        [part(&halves[0]), other.join().unwrap()]
    });
    let [error, norm, mass] = [0, 1, 2].map(|n| a[n] + b[n]);
    let rows = f64::from(u32::try_from(q_heads * q_len).unwrap());
    ((error / norm).sqrt(), mass / rows)
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / f64::from(u32::try_from(x.len()).unwrap())
}

/// The figures have three digits.
fn assert_near(what: &str, actual: f64, expected: f64) {
    println!("{what}: {actual:.4}, expected {expected}");
    assert!(
        (actual - expected).abs() <= 0.0005,
        "{what}: {actual}, expected {expected}"
    );
}

fn reference(chunk: usize) -> Mode {
    Mode::Reference(ReferenceOptions {
        chunk: Some(chunk),
        ..ReferenceOptions::default()
    })
}

#[test]
fn densities_are_those_of_another_implementation() {
    let Some(tensors) = gemma::load() else { return };
    for (stride, mode, density) in [
        (16, reference(2048), 0.571),
        (8, reference(4096), 0.608),
        (16, Mode::Exact, 0.545),
    ] {
        let mask = mask_of(&tensors, &options(stride, mode));
        assert_near(
            &format!("stride {stride} {mode:?}"),
            mean(&densities(&mask)),
            density,
        );
    }
    let heads = densities(&mask_of(&tensors, &options(8, Mode::Exact)));
    for (actual, expected) in heads.into_iter().zip([0.178, 0.598, 0.714, 0.708]) {
        assert_near("head of stride 8 Exact", actual, expected);
    }
}

#[test]
fn error_and_mass_are_those_of_another_implementation() {
    let Some(tensors) = gemma::load() else { return };
    let mask = mask_of(&tensors, &options(16, reference(4096)));
    let (error, mass) = error_and_mass(&tensors, &mask);
    assert_near("density", mean(&densities(&mask)), 0.604);
    assert_near("error", error, 0.101);
    assert_near("mass", mass, 0.917);
}
