//! Selection of Exact mode.

use super::by_score;
use crate::attention::BlockRow;
use crate::xattention::XAttentionLayout;

/// How many blocks a row takes besides the forced ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// As few as bring the selected mass to this share of the row's; 1 takes every block. At least one in all.
    Share(f64),
    /// As many as make this count, as far as there are blocks.
    Count(usize),
}

/// What is fixed about a block row before its scores are known.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactRow {
    /// Key blocks `0..reachable` hold a key that some query of the row may see; 0 where there is none.
    pub reachable: usize,
    /// Per reachable block, whether it is selected whatever its score.
    pub forced: Vec<bool>,
    /// What is selected besides.
    pub wanted: Wanted,
}

impl XAttentionLayout {
    /// The reachable and the forced key blocks of Exact mode's block row `q_block` of a head of the mask, and how many more are wanted.
    ///
    /// Forced are, causal: block 0, and the blocks that hold the diagonal, two where `block` does not divide `k_len - q_len`. Besides,
    /// `sink_blocks` first blocks, the `recent_blocks` blocks ending where the row's last query stands, and those of `forced`. All of them as far
    /// as they are reachable.
    ///
    /// # Panics
    /// Where there is no such row.
    #[track_caller]
    pub fn exact_row(&self, item: usize, head: usize, q_block: usize) -> ExactRow {
        let [batch, heads, q_blocks, _] = self.mask_shape();
        assert!(
            item < batch && head < heads && q_block < q_blocks,
            "row ({item}, {head}, {q_block}) is outside of {batch} items with {heads} heads of {q_blocks} block rows"
        );
        let options = self.options();
        let row = self.block_row(q_block);
        let is_forced = |j: usize| {
            let on_diagonal = options.causal && (j == 0 || j >= row.start);
            let given = options.forced.as_ref();
            on_diagonal
                || row.is_sink_or_recent(j, options.sink_blocks, options.recent_blocks)
                || given.is_some_and(|mask| mask.get(item, head, q_block, j))
        };
        ExactRow {
            reachable: row.reachable,
            forced: (0..row.reachable).map(is_forced).collect(),
            wanted: match options.top_k {
                Some(count) => Wanted::Count(count),
                None => Wanted::Share(options.threshold.of_head(head)),
            },
        }
    }
}

impl XAttentionLayout {
    /// Key blocks `0..reachable` hold a key that some query of block row `q_block` may see. Past the last row as many as that one reaches.
    pub fn reachable_blocks(&self, q_block: usize) -> usize {
        self.block_row(q_block).reachable
    }

    fn block_row(&self, q_block: usize) -> BlockRow {
        let (block, causal) = (self.options().block, self.options().causal);
        self.shape().alignment().block_row(q_block, block, causal)
    }

    /// Per key block, whether it is in block row `q_block` of a head of the mask that is not sparse.
    pub(super) fn kind_row(&self, head: usize, q_block: usize) -> Vec<bool> {
        let kind = self.kind_of_mask_head(head);
        let attention = self.options().attention();
        let [.., k_blocks] = self.mask_shape();
        let reachable = self.reachable_blocks(q_block);
        (0..k_blocks)
            .map(|j| j < reachable && kind.attends(&self.shape(), &attention, q_block, j, false))
            .collect()
    }
}

impl ExactRow {
    /// Per key block of `scores`, whether it is selected.
    pub(super) fn select(&self, scores: &[f64]) -> Vec<bool> {
        let reachable = self.reachable;
        let mut selected = vec![false; scores.len()];
        let total: f64 = scores[..reachable].iter().sum();
        if matches!(self.wanted, Wanted::Share(share) if share >= 1.0 || total == 0.0) {
            selected[..reachable].fill(true);
            return selected;
        }
        selected[..reachable].copy_from_slice(&self.forced);
        let forced_count = self.forced.iter().filter(|&&forced| forced).count();
        let mut mass: f64 = (0..reachable)
            .filter(|&j| self.forced[j])
            .map(|j| scores[j])
            .sum();
        let free = by_score(scores, (0..reachable).filter(|&j| !self.forced[j]));
        for (count, j) in (forced_count..).zip(free) {
            let enough = match self.wanted {
                Wanted::Share(share) => count > 0 && mass >= share * total,
                Wanted::Count(wanted) => count >= wanted,
            };
            if enough {
                break;
            }
            selected[j] = true;
            mass += scores[j];
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{AttentionShape, HeadKind};
    use crate::mask::BlockMask;
    use crate::xattention::XAttentionOptions;

    fn layout() -> XAttentionLayout {
        let shape = AttentionShape::try_new(2, 3, 1, 8, 8, 1).unwrap();
        let options = XAttentionOptions {
            block: 2,
            stride: 2,
            ..XAttentionOptions::default()
        };
        options.layout(shape).unwrap()
    }

    #[test]
    fn the_last_row_is_one() {
        assert_eq!(layout().exact_row(1, 2, 3).reachable, 4);
    }

    #[test]
    fn a_row_before_all_keys_reaches_none() {
        let shape = AttentionShape::try_new(1, 1, 1, 4, 2, 1).unwrap();
        let layout = layout().options().layout(shape).unwrap();
        // The last query of the first row stands right before the first key.
        assert_eq!([0, 1].map(|row| layout.reachable_blocks(row)), [0, 1]);
        assert!(layout.exact_row(0, 0, 0).forced.is_empty());
    }

    #[test]
    fn forced_blocks_are_those_of_the_rows_own_item_and_head() {
        let given = BlockMask::from_fn(2, 3, 4, 4, |b, h, i, j| j == (b + h) % 3 && i == 3);
        let options = XAttentionOptions {
            forced: Some(given.unwrap()),
            causal: false,
            ..layout().options().clone()
        };
        let layout = options.layout(layout().shape()).unwrap();
        for (item, head) in (0..6).map(|n| (n / 3, n % 3)) {
            let forced = layout.exact_row(item, head, 3).forced;
            let expected: Vec<bool> = (0..4).map(|j| j == (item + head) % 3).collect();
            assert_eq!(forced, expected, "item {item}, head {head}");
        }
    }

    #[test]
    fn a_dense_head_takes_what_its_rows_reach() {
        let options = XAttentionOptions {
            head_kinds: Some(vec![HeadKind::Dense; 3]),
            ..layout().options().clone()
        };
        let layout = options.layout(layout().shape()).unwrap();
        assert_eq!(layout.kind_row(0, 1), [true, true, false, false]);
    }

    #[test]
    #[should_panic(expected = "row (2, 0, 0) is outside of 2 items with 3 heads of 4 block rows")]
    fn an_item_too_many_is_no_row() {
        layout().exact_row(2, 0, 0);
    }

    #[test]
    #[should_panic(expected = "row (0, 3, 0) is outside")]
    fn a_head_too_many_is_no_row() {
        layout().exact_row(0, 3, 0);
    }

    #[test]
    #[should_panic(expected = "row (0, 0, 4) is outside")]
    fn a_block_row_too_many_is_no_row() {
        layout().exact_row(0, 0, 4);
    }
}
