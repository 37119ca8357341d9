//! What attention over packed sequences has to do at least, and what it can gain at best: sums over the items.

use sparse_core::xattention::XAttentionLayout;
use sparse_core::{Element, MaskError};
use sparse_measure::{Attended, Ideal, Work};

use super::super::work::{ideal, looked_at, work};
use super::measure::PackedItem;

/// The sums of all items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sums {
    /// Share of the blocks that can be reached which are attended to.
    pub(super) density: f64,
    /// Best speed-up by the kept share of the pairs of a query and a key, and the scores of the items that have some.
    pub(super) ideal_speedup: f64,
    pub(super) work: Work,
}

impl Sums {
    pub(super) fn of<T: Element>(
        items: &[PackedItem],
        layouts: &[XAttentionLayout],
    ) -> Result<Self, MaskError> {
        let seen: Vec<SeenItem> = items
            .iter()
            .zip(layouts)
            .map(|(item, layout)| SeenItem::of::<T>(item, layout))
            .collect();
        let kept: Attended = seen.iter().map(|item| item.kept).sum();
        let all: Attended = seen.iter().map(|item| item.all).sum();
        let stride = layouts.first().map_or(1, |layout| layout.options().stride);
        let scored = seen.iter().map(|item| (item.all, item.ideal.scored()));
        let ideal = Ideal::of_items(stride, scored);
        Ok(Self {
            density: density(items)?,
            ideal_speedup: ideal.speedup(kept.share_of(all)),
            work: seen.iter().map(|item| item.work).sum(),
        })
    }
}

/// What one item looks at, what dense attention does, and what follows from it.
struct SeenItem {
    kept: Attended,
    all: Attended,
    ideal: Ideal,
    work: Work,
}

impl SeenItem {
    fn of<T: Element>(item: &PackedItem, layout: &XAttentionLayout) -> Self {
        let (shape, options) = (layout.shape(), layout.options());
        let [kept, all] = looked_at(shape, options, [&item.mask, &item.reachable]);
        let ideal = ideal(shape, options, item.is_scored);
        Self {
            kept,
            all,
            ideal,
            work: work::<T>(shape, ideal, kept, all),
        }
    }
}

/// Kept blocks of all items over those that they can reach; all of none is everything.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of blocks, far below 2^52"
)]
fn density(items: &[PackedItem]) -> Result<f64, MaskError> {
    let (mut kept, mut all) = (0, 0);
    for item in items {
        kept += item.mask.intersection(&item.reachable)?.count();
        all += item.reachable.count();
    }
    Ok(match all {
        0 => 1.0,
        all => kept as f64 / all as f64,
    })
}
