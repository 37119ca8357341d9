//! What is done with each item of packed sequences, before any score is known.

use sparse_core::attention::HeadKind;
use sparse_core::xattention::{XAttentionLayout, XAttentionOptions};

use crate::ops::VarlenXAttention;
use crate::xattention::cost::{CostModel, Costs, Policy};
use crate::xattention::decision::{Decision, Moment, decide};
use crate::xattention::kinds_without_scores;
use crate::{Error, Gpu};

/// An item, and what was decided for it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) layout: XAttentionLayout,
    pub(super) costs: Costs,
    /// Sparse or dense: nothing is left to the device.
    pub(super) decision: Decision,
    pub(super) reason: String,
}

/// Why the device does not decide.
const EARLY: Moment =
    Moment::Early("items of packed sequences are decided before their scores are known");

impl Item {
    pub(super) fn all(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        model: CostModel,
    ) -> Result<Vec<Self>, Error> {
        let layouts = problem.options.packed_layouts(&problem.shape)?;
        let item = |layout: XAttentionLayout| {
            let tile = gpu
                .score_tile(problem.score_tile, &layout, problem.types.k)
                .tile;
            let costs = Costs::of(model, &layout, tile);
            let (decision, reason) = match problem.policy {
                _ if !problem.options.any_sparse() => {
                    let reason = "dense: no head is sparse, so nothing is scored";
                    (Decision::Dense, reason.to_owned())
                }
                Policy::Sparse => (Decision::Sparse, "sparse, as the policy says".to_owned()),
                Policy::Auto(_) => decide(&costs, &layout, EARLY),
            };
            Self {
                layout,
                costs,
                decision,
                reason,
            }
        };
        Ok(layouts.into_iter().map(item).collect())
    }

    /// The options to select by: where nothing is scored, all blocks that a head's kind means.
    pub(super) fn options(&self) -> XAttentionOptions {
        let options = self.layout.options();
        match self.decision {
            Decision::Dense => XAttentionOptions {
                head_kinds: Some(kinds_without_scores(options).unwrap_or_else(|| {
                    let heads = self.layout.shape().q_heads();
                    vec![HeadKind::Dense; heads]
                })),
                forced: None,
                ..options.clone()
            },
            _ => options.clone(),
        }
    }
}

/// How many items were decided which way, and why the first of each was.
pub(super) fn notes(items: &[Item]) -> Vec<String> {
    let of = |decision| {
        items
            .iter()
            .enumerate()
            .filter(move |(_, item)| item.decision == decision)
    };
    let note = |decision, done: &str| {
        let (first, item) = of(decision).next()?;
        let shape = item.layout.shape();
        Some(format!(
            "{} of {} items: {done}; item {first} of q_len = {} and k_len = {}: {}",
            of(decision).count(),
            items.len(),
            shape.q_len(),
            shape.k_len(),
            item.reason
        ))
    };
    let notes = [
        note(
            Decision::Sparse,
            "scored and selected for, one after the other",
        ),
        note(Decision::Dense, "all blocks, no scores"),
    ];
    notes.into_iter().flatten().collect()
}
