//! What the operations of XAttention share: uniform structs, the division of a problem into parts whose scratch memory is bounded, and the
//! choice between sparse and dense attention.

pub(crate) mod choose;
mod cost;
mod decision;
mod outcome;
mod packed;
pub(crate) mod params;
pub(crate) mod parts;
mod plan;
pub(crate) mod score;
pub(crate) mod select;
pub(crate) mod source;
mod steps;
pub(crate) mod sum_heads;
mod switch;

pub use cost::{CostModel, Policy};
pub use decision::Decision;
pub use outcome::{Attended, HeadBlocks, Outcome};
pub use packed::VarlenXAttentionPlan;
pub use plan::XAttentionPlan;

use sparse_core::attention::HeadKind;
use sparse_core::xattention::{Mode, XAttentionOptions};
use sparse_shaders::XAttentionRules;

const OPERATION: &str = "xattention";

/// The rules that the kernels are expanded with.
pub(crate) fn rules(options: &XAttentionOptions) -> XAttentionRules {
    XAttentionRules {
        exact: options.mode == Mode::Exact,
        causal: options.causal,
    }
}

/// The kinds of heads where nothing is scored: sparse ones are dense. None where all are, which is what the plain kernel computes.
pub(crate) fn kinds_without_scores(options: &XAttentionOptions) -> Option<Vec<HeadKind>> {
    let kinds = options.head_kinds.as_ref()?.iter();
    let kinds: Vec<_> = kinds
        .map(|kind| match kind {
            HeadKind::Sparse => HeadKind::Dense,
            kind => *kind,
        })
        .collect();
    let all_dense = kinds.iter().all(|kind| *kind == HeadKind::Dense);
    (!all_dense).then_some(kinds)
}
