//! What the operations of XAttention share: uniform structs, the division of a problem into parts whose scratch memory is bounded, and the
//! choice between sparse and dense attention.

pub(crate) mod choose;
mod cost;
mod decision;
mod outcome;
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
pub use plan::XAttentionPlan;

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
