//! `--preset full`: linear layers and attention of published models, scaled by adapter class.

use sparse_core::DType;

use super::case::{AdapterClass, AttentionCase, Case, MatmulCase};
use super::quick::{bsr, nm};
use crate::cli::{Operation, Pattern};

/// A linear layer of a published model: name, output features, input features.
const LAYERS: [(&str, usize, usize); 6] = [
    ("MiniLM-L6 up", 1536, 384),
    ("BERT-base up", 3072, 768),
    ("BERT-base down", 768, 3072),
    ("ViT-L/16 up", 4096, 1024),
    ("Llama-3 8B qkv", 6144, 4096),
    ("Llama-3 8B gate", 14336, 4096),
];

/// An attention layer of a published model: name, query heads, heads of k and v, head dim, causal, tokens.
const ATTENTION: [(&str, usize, usize, usize, bool, usize); 4] = [
    ("ViT-L/16 at 1024 px", 16, 16, 64, false, 4096),
    ("Llama-3 8B", 32, 8, 128, true, 8192),
    ("Llama-3 8B", 32, 8, 128, true, 32768),
    ("Gemma-3 270M", 4, 1, 256, true, 4096),
];

fn nm_patterns() -> [Pattern; 7] {
    [
        nm(1, 2, 4),
        nm(8, 2, 4),
        nm(8, 2, 8),
        nm(8, 2, 16),
        nm(16, 2, 8),
        nm(32, 2, 8),
        nm(32, 2, 16),
    ]
}

const BSR_PATTERNS: [Pattern; 6] = [
    bsr(16, 16, 0.25),
    bsr(32, 32, 0.5),
    bsr(32, 32, 0.25),
    bsr(32, 32, 0.1),
    bsr(64, 64, 0.25),
    bsr(64, 64, 0.1),
];

pub(super) fn cases(class: AdapterClass) -> Vec<Case> {
    let mut cases = Vec::new();
    for (model, n_out, k_in) in LAYERS {
        let (n_out, k_in) = scaled_layer(n_out, k_in, class);
        let row = |operation, tokens, dtype, pattern| {
            Case::Matmul(MatmulCase {
                operation,
                model,
                tokens,
                n_out,
                k_in,
                dtype,
                pattern,
            })
        };
        for &tokens in token_counts(class) {
            cases.push(row(
                Operation::DenseMatmul,
                tokens,
                DType::F32,
                Pattern::Dense,
            ));
            cases.extend(
                nm_patterns().map(|pattern| row(Operation::NmMatmul, tokens, DType::F32, pattern)),
            );
            cases.extend(
                BSR_PATTERNS.map(|pattern| row(Operation::BsrMatmul, tokens, DType::F32, pattern)),
            );
        }
        for tokens in [1, 8] {
            for pattern in [nm(1, 2, 4), nm(8, 2, 8)] {
                cases.push(row(Operation::NmMatvec, tokens, DType::F16, pattern));
            }
        }
    }
    for layer in ATTENTION {
        cases.push(attention(Operation::BlockAttention, layer, class));
        cases.push(attention(Operation::Xattention, layer, class));
    }
    cases.dedup();
    cases
}

/// Rows of x: one sequence, or a batch of them where the adapter is fast.
fn token_counts(class: AdapterClass) -> &'static [usize] {
    match class {
        AdapterClass::Software => &[128, 512],
        AdapterClass::Integrated => &[128, 512, 2048],
        AdapterClass::Discrete => &[16, 128, 512, 2048],
    }
}

/// Large layers shrink on slow adapters, both sides alike, so that their shape stays recognisable.
fn scaled_layer(n_out: usize, k_in: usize, class: AdapterClass) -> (usize, usize) {
    let divisor = match class {
        AdapterClass::Software if n_out * k_in > 8 << 20 => 4,
        AdapterClass::Integrated if n_out * k_in > 32 << 20 => 2,
        _ => 1,
    };
    (n_out / divisor, k_in / divisor)
}

fn attention(
    operation: Operation,
    (model, heads, kv_heads, head_dim, causal, tokens): (
        &'static str,
        usize,
        usize,
        usize,
        bool,
        usize,
    ),
    class: AdapterClass,
) -> Case {
    let (most_tokens, most_heads) = match class {
        AdapterClass::Software => (4096, 4),
        AdapterClass::Integrated => (8192, 16),
        AdapterClass::Discrete => (tokens, heads),
    };
    let group = heads / kv_heads;
    let heads = heads.min(most_heads.max(group));
    let tokens = tokens.min(most_tokens);
    Case::Attention(AttentionCase {
        operation,
        model,
        batch: 1,
        heads,
        kv_heads: heads / group,
        q_len: tokens,
        k_len: tokens,
        head_dim,
        dtype: DType::F16,
        causal,
        block: 128,
        stride: 16,
        threshold: 0.9,
    })
}
