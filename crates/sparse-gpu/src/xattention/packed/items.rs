//! What is done with each item of packed sequences, before any score is known.

use sparse_core::xattention::XAttentionLayout;

use crate::ops::VarlenXAttention;
use crate::xattention::cost::{CostModel, Costs, Policy};
use crate::xattention::decision::{Decision, expected_density};
use crate::{Error, Gpu};

/// Dispatches of an item that is scored: packing of q and k, scores, reduction, selection. One more adds up the scores of heads that share a mask.
const DISPATCHES: u32 = 5;

/// An item, and what was decided for it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) layout: XAttentionLayout,
    pub(super) costs: Costs,
    /// Sparse or dense: nothing is left to the device.
    pub(super) decision: Decision,
    pub(super) reason: String,
}

impl Item {
    /// All items, and notes of what was decided.
    pub(super) fn all(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        model: CostModel,
    ) -> Result<(Vec<Self>, Vec<String>), Error> {
        let layouts = problem.options.packed_layouts(&problem.shape)?;
        let item = |layout: XAttentionLayout| {
            let tile = gpu
                .score_tile(problem.score_tile, &layout, problem.types.k)
                .tile;
            let costs = Costs::of(model, &layout, tile, DISPATCHES);
            let (decision, reason) = decide(&costs, &layout, problem.policy);
            Self {
                layout,
                costs,
                decision,
                reason,
            }
        };
        let mut items: Vec<_> = layouts.into_iter().map(item).collect();
        let together = match problem.policy {
            Policy::Sparse => None,
            Policy::Auto(_) => go_dense_together(&mut items),
        };
        let notes = notes(&items).into_iter().chain(together).collect();
        Ok((items, notes))
    }

    pub(super) fn is_scored(&self) -> bool {
        self.decision == Decision::Sparse
    }

    /// Time of attention over all of its blocks by the kernel of the mask, in the unit of the costs.
    fn masked_cost(&self) -> f64 {
        cost(self.costs.dense, self.costs.model.efficiency.recip())
    }

    /// Time of scores, selection, and attention over as many blocks as are expected.
    fn scored_cost(&self) -> f64 {
        let (expected, _) = expected_density(&self.costs.model, &self.layout);
        cost(self.costs.dense, self.costs.sparse(expected))
    }
}

/// Of nothing to do nothing, whatever the rate.
fn cost(dense: f64, factor: f64) -> f64 {
    if dense > 0.0 { dense * factor } else { 0.0 }
}

/// For an item among others that are scored: where it is not, the kernel of the mask visits all of its blocks.
fn decide(costs: &Costs, layout: &XAttentionLayout, policy: Policy) -> (Decision, String) {
    if costs.dense == 0.0 {
        let reason = "no sparse head has queries and keys";
        return (Decision::Dense, reason.to_owned());
    }
    if policy == Policy::Sparse {
        return (Decision::Sparse, "as the policy says".to_owned());
    }
    let (expected, source) = expected_density(&costs.model, layout);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let reason = format!(
        "{} of the blocks are expected, {source}, and scores and selection cost {} of dense attention",
        percent(expected),
        percent(costs.estimate)
    );
    let pays = costs.sparse(expected) < costs.model.efficiency.recip();
    let decision = if pays {
        Decision::Sparse
    } else {
        Decision::Dense
    };
    (decision, reason)
}

/// Scores nothing where the kernel without a mask is expected to take all items faster than that of the mask takes those that are not scored; a note says so.
fn go_dense_together(items: &mut [Item]) -> Option<String> {
    let scored = items.iter().filter(|item| item.is_scored()).count();
    let dense: f64 = items.iter().map(|item| item.costs.dense).sum();
    let decided = items.iter().map(|item| match item.is_scored() {
        true => item.scored_cost(),
        false => item.masked_cost(),
    });
    let decided: f64 = decided.sum();
    if scored == 0 || decided < dense {
        return None;
    }
    let dense_items = items.iter_mut().filter(|item| item.is_scored());
    dense_items.for_each(|item| item.decision = Decision::Dense);
    Some(format!(
        "nothing is scored: in the kernel of a mask, with scores for {scored} of the items, all together are expected to take {:.2} of dense attention",
        decided / dense
    ))
}

/// How many items were decided which way, and why the first of each was.
fn notes(items: &[Item]) -> Vec<String> {
    let note = |is_scored: bool, done: &str| {
        let decided_so = |&(_, item): &(usize, &Item)| item.is_scored() == is_scored;
        let count = items.iter().enumerate().filter(decided_so).count();
        let (first, item) = items.iter().enumerate().find(decided_so)?;
        let shape = item.layout.shape();
        Some(format!(
            "{count} of {} items: {done}; item {first} of q_len = {} and k_len = {}: {}",
            items.len(),
            shape.q_len(),
            shape.k_len(),
            item.reason
        ))
    };
    let notes = [
        note(true, "scored and selected for, one after the other"),
        note(false, "all blocks, no scores"),
    ];
    notes.into_iter().flatten().collect()
}
