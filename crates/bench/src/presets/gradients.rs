//! Gradients of the weights of a layer, at several densities and numbers of rows that share a choice.

use sparse_core::DType;

use super::case::{Case, GradientCase};
use super::quick::{bsr, nm};
use crate::cli::{Operation, Pattern};

/// A row of each pattern for a layer of these tokens, outputs and inputs.
pub(super) fn cases(model: &'static str, [tokens, n_out, k_in]: [usize; 3]) -> Vec<Case> {
    let patterns = [
        nm(1, 2, 4),
        nm(8, 2, 4),
        nm(8, 2, 8),
        nm(8, 2, 16),
        nm(32, 2, 8),
        bsr(16, 16, 0.25),
        bsr(32, 32, 0.5),
        bsr(32, 32, 0.25),
        bsr(32, 32, 0.125),
        bsr(64, 64, 0.125),
    ];
    let row = |pattern: Pattern| {
        Case::Gradient(GradientCase {
            operation: match pattern {
                Pattern::Bsr { .. } => Operation::BsrSddmm,
                Pattern::Nm(_) | Pattern::Dense => Operation::NmSddmm,
            },
            model,
            tokens,
            n_out,
            k_in,
            dtype: DType::F32,
            pattern,
        })
    };
    patterns.map(row).into()
}
