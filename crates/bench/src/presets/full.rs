//! `--preset full`: linear layers and attention of published models, scaled by adapter class. Every layer at one number of tokens in all
//! patterns, for the plots against density; two of them also from one token to thousands.

use sparse_core::DType;
use sparse_core::attention::MaskHeads;
use sparse_shaders::MatvecKernel;

use super::case::{AttentionCase, Case, MatmulCase, SizeClass};
use super::quick::{bsr, nm};
use super::{decoding, gradients, packed};
use crate::cli::{Operation, Pattern};

/// A linear layer of a published model: name, output features, input features.
type Layer = (&'static str, usize, usize);

const LAYERS: [Layer; 5] = [
    ("BERT-base up", 3072, 768),
    ("BERT-base down", 768, 3072),
    ("ViT-L/16 up", 4096, 1024),
    ("Llama-3 8B qkv", 6144, 4096),
    ("Llama-3 8B gate", 14336, 4096),
];

/// The layers that are measured from one token on.
const SWEPT: [Layer; 2] = [LAYERS[0], LAYERS[4]];

/// An attention layer of a published model.
#[derive(Clone, Copy, Debug)]
struct Attention {
    model: &'static str,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    causal: bool,
    tokens: usize,
}

const ATTENTION: [Attention; 3] = [
    Attention {
        model: "ViT-L/16 at 1024 px",
        heads: 16,
        kv_heads: 16,
        head_dim: 64,
        causal: false,
        tokens: 4096,
    },
    Attention {
        model: "Llama-3 8B",
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        causal: true,
        tokens: 8192,
    },
    Attention {
        model: "Gemma-3 270M",
        heads: 4,
        kv_heads: 1,
        head_dim: 256,
        causal: true,
        tokens: 4096,
    },
];

/// More of the mass means more blocks: several densities of the same shape.
const THRESHOLDS: [f64; 3] = [0.5, 0.8, 0.9];

/// Densities from 1/2 to 1/8, and every number of rows that share a choice.
fn nm_patterns() -> [Pattern; 9] {
    [
        nm(1, 2, 4),
        nm(4, 2, 4),
        nm(8, 2, 4),
        nm(8, 2, 8),
        nm(8, 2, 16),
        nm(16, 2, 8),
        nm(32, 2, 4),
        nm(32, 2, 8),
        nm(32, 2, 16),
    ]
}

const BSR_PATTERNS: [Pattern; 8] = [
    bsr(16, 16, 0.25),
    bsr(32, 32, 0.5),
    bsr(32, 32, 0.25),
    bsr(32, 32, 0.125),
    bsr(64, 64, 0.5),
    bsr(64, 64, 0.25),
    bsr(64, 64, 0.125),
    bsr(128, 128, 0.25),
];

pub(super) fn cases(class: SizeClass) -> Vec<Case> {
    let mut cases = Vec::new();
    for layer in LAYERS {
        let tokens = usual_tokens(class);
        cases.push(linear(layer, class, tokens, Pattern::Dense));
        let sparse = nm_patterns().into_iter().chain(BSR_PATTERNS);
        cases.extend(sparse.map(|pattern| linear(layer, class, tokens, pattern)));
        for tokens in [1, 8] {
            for pattern in [nm(1, 2, 4), nm(8, 2, 8)] {
                cases.push(linear(layer, class, tokens, pattern));
            }
        }
    }
    for layer in SWEPT {
        for tokens in [1, 16, 64, 512, 2048] {
            let patterns = [Pattern::Dense, nm(8, 2, 8), bsr(32, 32, 0.25)];
            cases.extend(patterns.map(|pattern| linear(layer, class, tokens, pattern)));
        }
    }
    for layer in SWEPT {
        let (model, n_out, k_in) = layer;
        let (n_out, k_in) = scaled(n_out, k_in, class);
        cases.extend(gradients::cases(model, [usual_tokens(class), n_out, k_in]));
    }
    for layer in ATTENTION {
        cases.extend(attention(layer, class));
    }
    cases.extend(decoding::cases(class));
    cases.extend(packed::cases(class));
    without_repetitions(cases)
}

/// Some sizes of the sweep are measured anyway.
fn without_repetitions(cases: Vec<Case>) -> Vec<Case> {
    let mut kept: Vec<Case> = Vec::new();
    for case in cases {
        if !kept.contains(&case) {
            kept.push(case);
        }
    }
    kept
}

/// Rows of x at which all patterns are measured: part of a sequence, or a batch of them where the adapter is fast.
const fn usual_tokens(class: SizeClass) -> usize {
    match class {
        SizeClass::Software => 256,
        SizeClass::Integrated => 1024,
        SizeClass::Discrete => 2048,
    }
}

/// f32 for products, which the processor's drivers do as fast as anything; f16 where every byte of the weights is read for a few tokens.
fn linear((model, n_out, k_in): Layer, class: SizeClass, tokens: usize, pattern: Pattern) -> Case {
    let (n_out, k_in) = scaled(n_out, k_in, class);
    let operation = match pattern {
        Pattern::Dense => Operation::DenseMatmul,
        Pattern::Nm(_) if tokens <= MatvecKernel::MAX_TOKENS => Operation::NmMatvec,
        Pattern::Nm(_) => Operation::NmMatmul,
        Pattern::Bsr { .. } => Operation::BsrMatmul,
    };
    Case::Matmul(MatmulCase {
        operation,
        model,
        tokens,
        n_out,
        k_in,
        dtype: match operation {
            Operation::NmMatvec => DType::F16,
            _ => DType::F32,
        },
        pattern,
    })
}

/// Large layers shrink on slow adapters, both sides alike, so that their shape stays recognisable.
const fn scaled(n_out: usize, k_in: usize, class: SizeClass) -> (usize, usize) {
    let most_weights = match class {
        SizeClass::Software => 4 << 20,
        SizeClass::Integrated => 32 << 20,
        SizeClass::Discrete => usize::MAX,
    };
    let mut divisor = 1;
    while (n_out / divisor) * (k_in / divisor) > most_weights {
        divisor *= 2;
    }
    (n_out / divisor, k_in / divisor)
}

/// Dense, then over given blocks and end to end at several densities.
fn attention(layer: Attention, class: SizeClass) -> Vec<Case> {
    let (most_tokens, most_heads) = match class {
        SizeClass::Software => (2048, 4),
        SizeClass::Integrated => (8192, 16),
        SizeClass::Discrete => (layer.tokens, layer.heads),
    };
    let group = layer.heads / layer.kv_heads;
    let heads = layer.heads.min(most_heads.max(group));
    let tokens = layer.tokens.min(most_tokens);
    let dense = AttentionCase {
        operation: Operation::BlockAttention,
        model: layer.model,
        batch: 1,
        heads,
        kv_heads: heads / group,
        q_len: tokens,
        k_len: tokens,
        head_dim: layer.head_dim,
        dtype: DType::F16,
        causal: layer.causal,
        block: 128,
        stride: 16,
        threshold: 0.9,
        top_k: None,
        mask_heads: MaskHeads::Query,
        dense: true,
    };
    let mut cases = vec![Case::Attention(dense.clone())];
    for threshold in THRESHOLDS {
        let own = [Operation::BlockAttention, Operation::Xattention].map(|o| (o, MaskHeads::Query));
        let shared = (group > 1).then_some((Operation::Xattention, MaskHeads::Key));
        for (operation, mask_heads) in own.into_iter().chain(shared) {
            cases.push(Case::Attention(AttentionCase {
                operation,
                threshold,
                mask_heads,
                dense: false,
                ..dense.clone()
            }));
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_shrink_to_what_the_adapter_can_do_and_keep_their_shape() {
        assert_eq!(scaled(14336, 4096, SizeClass::Software), (3584, 1024));
        assert_eq!(scaled(14336, 4096, SizeClass::Integrated), (7168, 2048));
        assert_eq!(scaled(14336, 4096, SizeClass::Discrete), (14336, 4096));
        assert_eq!(scaled(3072, 768, SizeClass::Software), (3072, 768));
    }

    #[test]
    fn every_layer_has_a_line_of_densities_and_tokens_run_from_one_to_thousands() {
        for class in [
            SizeClass::Software,
            SizeClass::Integrated,
            SizeClass::Discrete,
        ] {
            let all = cases(class);
            for (model, ..) in LAYERS {
                let mut densities: Vec<f64> = all
                    .iter()
                    .filter_map(|case| match case {
                        Case::Matmul(m)
                            if m.model == model && m.operation == Operation::NmMatmul =>
                        {
                            Some(m.pattern.density())
                        }
                        _ => None,
                    })
                    .collect();
                densities.sort_by(f64::total_cmp);
                densities.dedup();
                assert_eq!(densities, [0.125, 0.25, 0.5], "{model}");
            }
            for tokens in [1, 8, 16, 64, 512, 2048] {
                assert!(
                    all.iter()
                        .any(|case| matches!(case, Case::Matmul(m) if m.tokens == tokens))
                );
            }
            for (i, case) in all.iter().enumerate() {
                assert!(!all[..i].contains(case), "{case:?} is measured twice");
            }
        }
    }
}
