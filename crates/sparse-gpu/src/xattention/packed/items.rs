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
            Self::of_policy(layout, costs)
        };
        let mut items: Vec<_> = layouts.into_iter().map(item).collect();
        let together = match problem.policy {
            Policy::Sparse => None,
            Policy::Auto(_) => decide(&mut items),
        };
        let notes = notes(&items).into_iter().chain(together).collect();
        Ok((items, notes))
    }

    /// As [`Policy::Sparse`] says.
    fn of_policy(layout: XAttentionLayout, costs: Costs) -> Self {
        let (decision, reason) = if costs.dense > 0.0 {
            (Decision::Sparse, "as the policy says")
        } else {
            (Decision::Dense, "no sparse head has queries and keys")
        };
        Self {
            layout,
            costs,
            decision,
            reason: reason.to_owned(),
        }
    }

    pub(super) fn is_scored(&self) -> bool {
        self.decision == Decision::Sparse
    }
}

/// Decides the items that have anything to score. Where one is scored, the kernel of the mask visits all blocks of those that are not, so that an item is
/// scored where that is faster; and none is where the kernel without a mask is expected to take all of them faster, which a note says then.
fn decide(items: &mut [Item]) -> Option<String> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let (mut dense, mut decided, mut scored) = (0.0, 0.0, 0);
    for item in items.iter_mut().filter(|item| item.is_scored()) {
        let costs = &item.costs;
        let (expected, source) = expected_density(&costs.model, &item.layout);
        let [by_scores, by_mask] = [costs.sparse(expected), costs.model.efficiency.recip()];
        dense += costs.dense;
        decided += costs.dense * by_scores.min(by_mask);
        item.reason = format!(
            "{} of the blocks are expected, {source}, and scores and selection cost {} of dense attention",
            percent(expected),
            percent(costs.estimate)
        );
        if by_scores < by_mask {
            scored += 1;
        } else {
            item.decision = Decision::Dense;
        }
    }
    if scored == 0 || decided < dense {
        return None;
    }
    items
        .iter_mut()
        .for_each(|item| item.decision = Decision::Dense);
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
