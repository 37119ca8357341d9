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
mod steps;
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

/// Refuses operands that the kernels cannot count in u32; after that [`word`] loses nothing.
pub(crate) fn check_counts(
    operation: &'static str,
    tensors: &[(&str, &[usize])],
) -> Result<(), crate::Error> {
    for (name, shape) in tensors {
        let elements = shape
            .iter()
            .try_fold(1_usize, |product, &n| product.checked_mul(n.max(1)));
        if elements.is_none_or(|n| u32::try_from(n).is_err()) {
            let reason = format!(
                "{name} has shape {shape:?}; an operand has at most 2^32 - 1 elements, split the batch or the heads"
            );
            return Err(crate::Error::invalid(operation, reason));
        }
    }
    Ok(())
}

/// Sizes as the kernels count them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "check_counts refuses operands of 2^32 elements or more"
)]
pub(crate) const fn word(n: usize) -> u32 {
    n as u32
}
