//! `--preset peers`: the rows that other libraries can do too, to be run with `--peers`.

use sparse_core::DType;
use sparse_core::attention::MaskHeads;

use super::case::{AttentionCase, Case, MatmulCase, SizeClass};
use super::quick::{bsr, nm};
use crate::cli::{Operation, Pattern};

pub(super) fn cases(class: SizeClass) -> Vec<Case> {
    let (sides, tokens): (&[usize], usize) = match class {
        SizeClass::Software => (&[1024, 2048], 2048),
        SizeClass::Integrated => (&[1024, 2048], 4096),
        SizeClass::Discrete => (&[1024, 2048, 4096], 8192),
    };
    let cube = |operation, side, pattern| {
        Case::Matmul(MatmulCase {
            operation,
            model: "square layer",
            tokens: side,
            n_out: side,
            k_in: side,
            dtype: DType::F32,
            pattern,
        })
    };
    let mut cases = Vec::new();
    for &side in sides {
        cases.push(cube(Operation::DenseMatmul, side, Pattern::Dense));
    }
    let side = 1024;
    for pattern in [nm(1, 2, 4), nm(8, 2, 4), nm(8, 2, 8)] {
        cases.push(cube(Operation::NmMatmul, side, pattern));
    }
    for pattern in [bsr(32, 32, 0.25), bsr(64, 64, 0.125)] {
        cases.push(cube(Operation::BsrMatmul, side, pattern));
    }
    cases.push(Case::Matmul(MatmulCase {
        operation: Operation::NmMatvec,
        model: "square layer, one token",
        tokens: 1,
        n_out: 2 * side,
        k_in: 2 * side,
        dtype: DType::F32,
        pattern: nm(1, 2, 4),
    }));
    for head_dim in [64, 128] {
        let attention = AttentionCase {
            operation: Operation::BlockAttention,
            model: "causal self-attention",
            batch: 1,
            heads: 2,
            kv_heads: 2,
            q_len: tokens,
            k_len: tokens,
            head_dim,
            dtype: DType::F32,
            causal: true,
            block: 128,
            stride: 16,
            threshold: 0.9,
            top_k: None,
            mask_heads: MaskHeads::Query,
            dense: true,
        };
        cases.push(Case::Attention(attention.clone()));
        cases.push(Case::Attention(AttentionCase {
            operation: Operation::Xattention,
            dense: false,
            ..attention
        }));
    }
    cases
}
