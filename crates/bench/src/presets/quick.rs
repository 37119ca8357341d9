//! `--preset quick`: one row per claim, a few minutes on any adapter.

use sparse_core::attention::MaskHeads;
use sparse_core::{DType, Nm};

use super::case::{AttentionCase, Case, MatmulCase, SizeClass};
use super::decoding::decoding;
use crate::cli::{Operation, Pattern};

pub(super) fn cases(class: SizeClass) -> Vec<Case> {
    let (side, vector, dtype) = match class {
        SizeClass::Software => (1024, 4096, DType::F32),
        SizeClass::Integrated => (2048, 4096, DType::F32),
        SizeClass::Discrete => (4096, 8192, DType::F32),
    };
    let cube = |operation, dtype, pattern| {
        Case::Matmul(MatmulCase {
            operation,
            model: "square layer",
            tokens: side,
            n_out: side,
            k_in: side,
            dtype,
            pattern,
        })
    };
    let one_token = |pattern| {
        Case::Matmul(MatmulCase {
            operation: Operation::NmMatvec,
            model: "square layer, one token",
            tokens: 1,
            n_out: vector,
            k_in: vector,
            dtype: DType::F16,
            pattern,
        })
    };
    vec![
        cube(Operation::DenseMatmul, dtype, Pattern::Dense),
        cube(Operation::NmMatmul, dtype, nm(1, 2, 4)),
        cube(Operation::NmMatmul, dtype, nm(8, 2, 4)),
        cube(Operation::NmMatmul, dtype, nm(8, 2, 8)),
        cube(Operation::NmMatmul, DType::F16, nm(8, 2, 8)),
        one_token(nm(1, 2, 4)),
        one_token(nm(8, 2, 8)),
        cube(Operation::BsrMatmul, dtype, bsr(32, 32, 0.25)),
        cube(Operation::BsrMatmul, dtype, bsr(64, 64, 0.125)),
        attention(Operation::BlockAttention, class),
        attention(Operation::Xattention, class),
        decoding(class, 1, Some(0.25), MaskHeads::Query),
        decoding(class, 1, Some(0.25), MaskHeads::Key),
    ]
}

fn attention(operation: Operation, class: SizeClass) -> Case {
    let (tokens, heads, kv_heads) = match class {
        SizeClass::Software => (4096, 2, 1),
        SizeClass::Integrated => (8192, 8, 2),
        SizeClass::Discrete => (16384, 16, 4),
    };
    Case::Attention(AttentionCase {
        operation,
        model: "causal self-attention, planted",
        batch: 1,
        heads,
        kv_heads,
        q_len: tokens,
        k_len: tokens,
        head_dim: 64,
        dtype: DType::F32,
        causal: true,
        block: 128,
        stride: 16,
        threshold: 0.9,
        top_k: None,
        mask_heads: MaskHeads::Query,
        dense: false,
    })
}

/// N of every M weights kept, V rows share one choice.
///
/// # Panics
/// For numbers that make no pattern: they stand in the presets, and a test builds every preset.
pub(super) fn nm(v: usize, n: usize, m: usize) -> Pattern {
    Pattern::Nm(Nm::new(n, m, v))
}

/// Blocks of `block_rows x block_cols`, a share of them kept.
pub(super) const fn bsr(block_rows: usize, block_cols: usize, density: f64) -> Pattern {
    Pattern::Bsr {
        block_rows,
        block_cols,
        density,
    }
}
