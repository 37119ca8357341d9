//! The rule by which a plan chooses between sparse and dense attention, before any score is known.

use sparse_core::attention::HeadKind;
use sparse_core::xattention::{Mode, Wanted, XAttentionLayout};
use sparse_shaders::{Tile, XAttentionScoreKernel};

use super::cost::{CostModel, Costs};
use super::rules;

/// Which attention a plan records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Over the selected blocks.
    Sparse,
    /// Over all blocks that can be reached; nothing is scored.
    Dense,
    /// Both; after the selection the device counts its blocks and runs the faster one.
    OnDevice,
}

/// The least and the largest density that the selection of a problem can have, among the reachable blocks of its sparse heads.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds {
    least: f64,
    largest: f64,
}

/// The decision for a problem, and its reason. `indirect`: whether the device can choose between dispatches.
pub(crate) fn decide(
    costs: &Costs,
    layout: &XAttentionLayout,
    indirect: bool,
) -> (Decision, String) {
    if costs.dense == 0.0 {
        let reason = "dense: no sparse head has queries and keys, so nothing is scored".to_owned();
        return (Decision::Dense, reason);
    }
    let model = &costs.model;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let estimate = percent(costs.estimate);
    let bounds = Bounds::of(layout);
    let Bounds { least, largest } = bounds;
    if costs.sparse(least) >= 1.0 {
        let reason = format!(
            "dense: at least {} of the blocks are attended to, and scores and selection cost {estimate} of dense attention",
            percent(least)
        );
        return (Decision::Dense, reason);
    }
    if costs.sparse(largest) < 1.0 {
        let reason = format!(
            "sparse: at most {} of the blocks are attended to, and scores and selection cost {estimate} of dense attention",
            percent(largest)
        );
        return (Decision::Sparse, reason);
    }
    let (expected, source) = bounds.expected(model, layout);
    let gain = 1.0 - costs.sparse(expected);
    if !indirect {
        let rule = format!(
            "{} of the blocks are expected, {source}, and this device has no indirect dispatch to decide when they are known",
            percent(expected)
        );
        return if gain > 0.0 {
            (Decision::Sparse, format!("sparse: {rule}"))
        } else {
            (Decision::Dense, format!("dense: {rule}"))
        };
    }
    let limit = percent(model.efficiency);
    if costs.estimate <= model.most_regret {
        let reason = format!(
            "on the device: sparse below a density of {limit}; scores and selection cost {estimate} of dense attention, not more than the {} that may be lost",
            percent(model.most_regret)
        );
        return (Decision::OnDevice, reason);
    }
    // What is likely to be gained has to outweigh what may be lost.
    if gain >= costs.estimate {
        let reason = format!(
            "on the device: sparse below a density of {limit}; scores and selection cost {estimate} of dense attention, and at a density of {}, {source}, {} is gained",
            percent(expected),
            percent(gain)
        );
        return (Decision::OnDevice, reason);
    }
    let reason = format!(
        "dense: scores and selection cost {estimate} of dense attention, and at a density of {}, {source}, that is not outweighed",
        percent(expected)
    );
    (Decision::Dense, reason)
}

impl Costs {
    /// With scores by the register tile `tile`, and so many dispatches beyond those of dense attention; one more adds up the scores of heads that share a mask.
    pub(crate) fn of(
        model: CostModel,
        layout: &XAttentionLayout,
        tile: Tile,
        dispatches: u32,
    ) -> Self {
        let shape = layout.shape();
        let [_, _, q_blocks, k_blocks] = layout.mask_shape();
        let heads = sparse_heads(layout) as f64;
        let head_dim = shape.head_dim() as f64;
        let dense = heads * 2.0 * head_dim * visible_pairs(layout);
        let scores = model.estimate_factor
            * heads
            * head_dim
            * layout.options().stride as f64
            * scored_pairs(layout, tile);
        let pack = model.pack_per_element * heads * (shape.q_len() * shape.head_dim()) as f64;
        let selected = sparse_mask_heads(layout) as f64;
        let select = model.select_per_block * selected * q_blocks as f64 * k_blocks as f64;
        let sums = u32::from(layout.group_of_mask_head(0).len() > 1);
        let dispatches = model.dispatch * f64::from(dispatches + sums);
        let estimate = if dense > 0.0 {
            (scores + pack + select + dispatches) / dense
        } else {
            0.0
        };
        Self {
            model,
            dense,
            estimate,
        }
    }
}

/// Sparse heads of all items.
fn sparse_heads(layout: &XAttentionLayout) -> usize {
    let shape = layout.shape();
    let sparse = (0..shape.q_heads()).filter(|&head| layout.options().is_sparse(head));
    shape.batch() * sparse.count()
}

/// Heads of all items' masks that are selected.
fn sparse_mask_heads(layout: &XAttentionLayout) -> usize {
    let [batch, heads, ..] = layout.mask_shape();
    let sparse = (0..heads).filter(|&head| layout.kind_of_mask_head(head) == HeadKind::Sparse);
    batch * sparse.count()
}

/// Pairs of a query and a key that it sees, of one head.
fn visible_pairs(layout: &XAttentionLayout) -> f64 {
    let shape = layout.shape();
    if !layout.options().causal {
        return shape.q_len() as f64 * shape.k_len() as f64;
    }
    (0..shape.q_len())
        .map(|token| shape.causal_keys(token) as f64)
        .sum()
}

/// Pairs of a query group and a key group that the score kernel works on for one head: whole panels by whole units of key blocks.
fn scored_pairs(layout: &XAttentionLayout, tile: Tile) -> f64 {
    let kernel = XAttentionScoreKernel {
        groups_per_block: layout.groups_per_block(),
        tile,
        rules: rules(layout.options()),
    };
    let panel = kernel.tile.panel();
    let unit = kernel.unit_blocks() * kernel.groups_per_block;
    let real_key_groups = layout.shape().k_len().div_ceil(layout.options().stride);
    (0..layout.q_groups())
        .step_by(panel)
        .map(|first| {
            let last = (first + panel).min(layout.q_groups()) - 1;
            let keys = layout.allowed_k_groups(last).min(real_key_groups);
            (panel * keys.next_multiple_of(unit)) as f64
        })
        .sum()
}

/// The density to expect of a problem, within what its selection can have, and who says so.
pub(crate) fn expected_density(
    model: &CostModel,
    layout: &XAttentionLayout,
) -> (f64, &'static str) {
    Bounds::of(layout).expected(model, layout)
}

impl Bounds {
    fn expected(self, model: &CostModel, layout: &XAttentionLayout) -> (f64, &'static str) {
        let (expected, source) = match model.expected_density {
            Some(density) => (density, "as the cost model was told"),
            None => (
                CostModel::usual_density(layout.shape().k_len()),
                "as is usual for this length",
            ),
        };
        (expected.clamp(self.least, self.largest), source)
    }

    fn of(layout: &XAttentionLayout) -> Self {
        let (shape, options) = (layout.shape(), layout.options());
        let group = options.mask_heads.group_size(&shape);
        // The heads of the mask that the sparse query heads follow.
        let sparse: Vec<usize> = (0..shape.q_heads())
            .filter(|&head| options.is_sparse(head))
            .map(|head| head / group)
            .collect();
        let mut all = Counts::default();
        if options.forced.is_some() {
            for item in 0..shape.batch() {
                for &head in &sparse {
                    all.add(Counts::of_head(layout, item, head));
                }
            }
        } else {
            // All items have the same forced blocks, and all heads that want alike: long inputs have millions of blocks a head.
            let mut known: Vec<(Want, Counts)> = Vec::new();
            for &head in &sparse {
                let want = Want::of(layout, head);
                let counts = match known.iter().find(|(of, _)| *of == want) {
                    Some((_, counts)) => *counts,
                    None => {
                        let counts = Counts::of_head(layout, 0, head);
                        known.push((want, counts));
                        counts
                    }
                };
                all.add(counts);
            }
        }
        let share = |blocks: u64| blocks as f64 / all.reachable.max(1) as f64;
        Self {
            least: share(all.least),
            largest: share(all.largest),
        }
    }
}

/// What a head of the mask wants, as far as it bounds how many blocks that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    Share,
    Everything,
    /// As many as every other head.
    Count,
}

impl Want {
    fn of(layout: &XAttentionLayout, head: usize) -> Self {
        match layout.exact_row(0, head, 0).wanted {
            Wanted::Count(_) => Self::Count,
            Wanted::Share(share) if share >= 1.0 => Self::Everything,
            Wanted::Share(share) if share <= 0.0 => Self::Nothing,
            Wanted::Share(_) => Self::Share,
        }
    }
}

/// Blocks of a head of the mask: those that are selected at least and at most, and those that can be.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    least: u64,
    largest: u64,
    reachable: u64,
}

impl Counts {
    const fn add(&mut self, other: Self) {
        self.least += other.least;
        self.largest += other.largest;
        self.reachable += other.reachable;
    }

    fn of_head(layout: &XAttentionLayout, item: usize, head: usize) -> Self {
        let [_, _, q_blocks, _] = layout.mask_shape();
        let mut counts = Self::default();
        for q_block in 0..q_blocks {
            let blocks = layout.reachable_blocks(q_block);
            let (least, largest) = selected(layout, (item, head, q_block), blocks);
            counts.add(Self {
                least: least as u64,
                largest: largest as u64,
                reachable: blocks as u64,
            });
        }
        counts
    }
}

/// Blocks that a row selects at least and at most, of `blocks`.
fn selected(
    layout: &XAttentionLayout,
    (item, head, q_block): (usize, usize, usize),
    blocks: usize,
) -> (usize, usize) {
    if layout.options().mode != Mode::Exact {
        // At least block 0 or the diagonal.
        return (blocks.min(1), blocks);
    }
    let row = layout.exact_row(item, head, q_block);
    let forced = row.forced.iter().filter(|&&forced| forced).count();
    let forced = forced.max(blocks.min(1));
    match row.wanted {
        Wanted::Count(count) => {
            let count = forced.max(count.min(blocks));
            (count, count)
        }
        Wanted::Share(share) => (
            if share >= 1.0 { blocks } else { forced },
            if share <= 0.0 { forced } else { blocks },
        ),
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::{AttentionShape, MaskHeads};
    use sparse_core::xattention::{Threshold, XAttentionOptions};

    use super::*;
    use crate::AdapterClass;

    fn layout(len: usize, change: impl FnOnce(&mut XAttentionOptions)) -> XAttentionLayout {
        let mut options = XAttentionOptions {
            stride: 16,
            ..XAttentionOptions::default()
        };
        change(&mut options);
        let shape = AttentionShape::try_new(1, 4, 2, len, len, 64).unwrap();
        options.layout(shape).unwrap()
    }

    fn costs(layout: &XAttentionLayout, expected_density: Option<f64>) -> Costs {
        let model = CostModel {
            expected_density,
            ..CostModel::of_class(AdapterClass::Software)
        };
        let tile = Tile {
            rows: 16,
            cols: 4,
            lanes: 8,
        };
        Costs::of(model, layout, tile, CostModel::DISPATCHES)
    }

    #[test]
    fn long_inputs_are_decided_by_the_device_and_short_ones_are_dense() {
        let decision = |len| {
            let layout = layout(len, |_| ());
            decide(&costs(&layout, None), &layout, true).0
        };
        for len in [1, 64, 128] {
            assert_eq!(decision(len), Decision::Dense, "{len}");
        }
        for len in [4096, 16384, 65536] {
            assert_eq!(decision(len), Decision::OnDevice, "{len}");
        }
    }

    #[test]
    fn without_indirect_dispatch_the_expected_density_decides() {
        let layout = layout(4096, |_| ());
        let without = |expected| decide(&costs(&layout, expected), &layout, false);
        let (decision, reason) = without(Some(0.5));
        assert_eq!(decision, Decision::Sparse);
        assert!(
            reason.contains("50.0 % of the blocks are expected")
                && reason.contains("no indirect dispatch"),
            "{reason}"
        );
        assert_eq!(without(Some(0.95)).0, Decision::Dense);
        // 66 % at this length.
        let (decision, reason) = without(None);
        assert_eq!(decision, Decision::Sparse);
        assert!(reason.contains("66.0 %"), "{reason}");
    }

    #[test]
    fn only_sparse_heads_cost_and_decide() {
        use sparse_core::attention::HeadKind::{Dense, Sparse};
        let all = layout(4096, |_| ());
        let half = layout(4096, |o| {
            o.head_kinds = Some(vec![Dense, Sparse, Sparse, Dense]);
        });
        let none = layout(4096, |o| o.head_kinds = Some(vec![Dense; 4]));
        assert_eq!(costs(&half, None).dense, costs(&all, None).dense / 2.0);
        let (decision, reason) = decide(&costs(&none, None), &none, true);
        assert_eq!(decision, Decision::Dense);
        assert!(reason.contains("nothing is scored"), "{reason}");
        assert_eq!(Bounds::of(&half), Bounds::of(&all));
    }

    /// Of the query heads of one mask two are sparse, of those of the other one is.
    #[test]
    fn a_shared_mask_counts_for_each_sparse_head_and_is_selected_once() {
        use sparse_core::attention::HeadKind::{Dense, Sparse};
        let with = |mask_heads, values: &[f64]| {
            layout(1024, |o| {
                o.mask_heads = mask_heads;
                o.head_kinds = Some(vec![Sparse, Sparse, Sparse, Dense]);
                o.threshold = Threshold::PerHead(values.to_vec());
            })
        };
        let shared = with(MaskHeads::Key, &[0.0, 1.0]);
        let forced = f64::from(1 + 7 * 2);
        let bounds = Bounds::of(&shared);
        let expected = (2.0 * forced + 36.0) / (3.0 * 36.0);
        assert_eq!((bounds.least, bounds.largest), (expected, expected));

        let own = with(MaskHeads::Query, &[0.5; 4]);
        assert_eq!([&own, &shared].map(sparse_mask_heads), [3, 2]);
        let [own, shared] = [own, shared].map(|layout| costs(&layout, None));
        assert_eq!(own.dense, shared.dense);
        // Blocks of a mask less, a dispatch more.
        let model = CostModel::of_class(AdapterClass::Software);
        let less = model.select_per_block * 64.0 - model.dispatch;
        let saved = (own.estimate - shared.estimate) * own.dense;
        assert!(
            (saved - less).abs() < 1e-6 * model.dispatch,
            "{saved} {less}"
        );
    }

    #[test]
    fn bounds_hold_the_forced_blocks_of_a_mask() {
        let window =
            sparse_core::BlockMask::from_fn(1, 4, 8, 8, |_, _, i, j| i - j.min(i) < 3).unwrap();
        let bounds = Bounds::of(&layout(1024, |o| o.forced = Some(window)));
        // Rows of 1, 2, 3, 3 + 1 .. blocks, block 0 besides the window; of 36.
        assert_eq!(bounds.least, f64::from(1 + 2 + 3 + 4 * 5) / 36.0);
        assert_eq!(bounds.largest, 1.0);
        let counted = Bounds::of(&layout(1024, |o| o.top_k = Some(4)));
        assert_eq!(counted.least, f64::from(1 + 2 + 3 + 4 * 5) / 36.0);
        assert_eq!(counted.least, counted.largest);
        // Heads that want different shares: two select one block to all of 36, one exactly what is forced, one everything.
        let shares = Bounds::of(&layout(1024, |o| {
            o.threshold = Threshold::PerHead(vec![0.5, 0.0, 1.0, 0.9]);
        }));
        let forced = f64::from(1 + 7 * 2);
        assert_eq!(shares.least, (3.0 * forced + 36.0) / (4.0 * 36.0));
        assert_eq!(shares.largest, (forced + 3.0 * 36.0) / (4.0 * 36.0));
    }
}
