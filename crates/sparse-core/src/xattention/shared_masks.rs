//! Masks that the query heads of a group share: what they are selected from, what they hold, and what each head makes of them.

use std::borrow::Cow;
use std::ops::Range;

use super::{BlockScores, XAttentionError, XAttentionLayout};
use crate::attention::{HeadKind, MaskHeads};
use crate::mask::BlockMask;

impl XAttentionLayout {
    /// The query heads that follow head `head` of the mask.
    pub fn group_of_mask_head(&self, head: usize) -> Range<usize> {
        let size = self.options().mask_heads.group_size(&self.shape());
        head * size..(head + 1) * size
    }

    /// What head `head` of the mask holds: a selection where a query head of its group is sparse, else the blocks that any of their kinds means.
    ///
    /// # Panics
    /// Where there is no such head.
    #[track_caller]
    pub fn kind_of_mask_head(&self, head: usize) -> HeadKind {
        let kinds = self.group_of_mask_head(head);
        let kinds = kinds.map(|q_head| self.options().kind_of_head(q_head));
        kinds.reduce(HeadKind::joined).unwrap_or(HeadKind::Sparse)
    }

    /// The mask where nothing is scored, of [`XAttentionLayout::mask_shape`]: all blocks that can be reached where a query head of a group is sparse or dense, else
    /// the blocks that any of their kinds means.
    ///
    /// # Errors
    /// [`XAttentionError::Mask`] where it cannot be built.
    pub fn mask_without_scores(&self) -> Result<BlockMask, XAttentionError> {
        let (shape, attention) = (self.shape(), self.options().attention());
        let [batch, heads, q_blocks, k_blocks] = self.mask_shape();
        let kinds: Vec<_> = (0..heads)
            .map(|head| match self.kind_of_mask_head(head) {
                HeadKind::Sparse => HeadKind::Dense,
                kind => kind,
            })
            .collect();
        let reachable: Vec<usize> = (0..q_blocks)
            .map(|row| self.reachable_blocks(row))
            .collect();
        let attends = |_, head: usize, row: usize, column| {
            column < reachable[row] && kinds[head].attends(&shape, &attention, row, column, false)
        };
        Ok(BlockMask::from_fn(
            batch, heads, q_blocks, k_blocks, attends,
        )?)
    }

    /// What the blocks of each head of the mask are selected from, `[batch, mask heads, q_blocks, k_blocks]`: the scores themselves where each query head
    /// has its own mask, else their sums over the sparse heads of each group, in head order. Heads that are not sparse are not read.
    ///
    /// # Errors
    /// [`XAttentionError::ScoreShape`] where the scores are not those of this layout, [`XAttentionError::NotAMass`] where a sum is no number.
    pub fn shared_scores<'a>(
        &self,
        scores: &'a BlockScores,
    ) -> Result<Cow<'a, BlockScores>, XAttentionError> {
        let expected = self.score_shape();
        if scores.shape() != expected {
            return Err(XAttentionError::ScoreShape {
                scores: scores.shape(),
                expected,
            });
        }
        match self.options().mask_heads {
            MaskHeads::Query => Ok(Cow::Borrowed(scores)),
            MaskHeads::Key => {
                let group = MaskHeads::Key.group_size(&self.shape());
                let is_sparse = |head| self.options().is_sparse(head);
                scores.summed_over(group, is_sparse).map(Cow::Owned)
            }
        }
    }

    /// The blocks that each query head attends to, `[batch, q_heads, q_blocks, k_blocks]`, by a `mask` of [`XAttentionLayout::mask_shape`]: itself where
    /// each query head has its own; else sparse heads follow it, and the others have the blocks that their kind means, as far as they are reachable.
    ///
    /// # Errors
    /// [`XAttentionError::Attention`] where the mask is not one of this layout, [`XAttentionError::Mask`] where that of all heads cannot be built.
    pub fn mask_of_query_heads<'a>(
        &self,
        mask: &'a BlockMask,
    ) -> Result<Cow<'a, BlockMask>, XAttentionError> {
        let (shape, options) = (self.shape(), self.options());
        let attention = options.attention();
        attention.check(&shape, Some(mask))?;
        if options.mask_heads == MaskHeads::Query {
            return Ok(Cow::Borrowed(mask));
        }
        let [batch, q_heads, q_blocks, k_blocks] = shape.mask_shape(options.block);
        let reachable: Vec<usize> = (0..q_blocks)
            .map(|row| self.reachable_blocks(row))
            .collect();
        let attends = |item, head, row: usize, column| match options.kind_of_head(head) {
            HeadKind::Sparse => mask.get(item, options.mask_heads.head(&shape, head), row, column),
            kind => column < reachable[row] && kind.attends(&shape, &attention, row, column, false),
        };
        let of_heads = BlockMask::from_fn(batch, q_heads, q_blocks, k_blocks, attends)?;
        Ok(Cow::Owned(of_heads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::AttentionShape;
    use crate::xattention::{Threshold, XAttentionOptions, xattention_select};

    fn blocks(mask: &BlockMask, head: usize) -> Vec<usize> {
        mask.row(0, head, 0).collect()
    }

    /// Two key heads of three query heads each, of which the middle one is streaming.
    fn shared(kinds: bool) -> XAttentionLayout {
        let shape = AttentionShape::try_new(1, 6, 2, 1, 4, 1).unwrap();
        let window = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: 1,
        };
        let kinds = kinds.then(|| [HeadKind::Sparse, window, HeadKind::Sparse].repeat(2));
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            causal: false,
            threshold: Threshold::PerHead(vec![0.5, 0.75]),
            head_kinds: kinds,
            mask_heads: MaskHeads::Key,
            ..XAttentionOptions::default()
        };
        options.layout(shape).unwrap()
    }

    #[test]
    fn heads_that_share_a_mask_select_from_their_sum() {
        let of_group = [
            [0.5, 0.25, 0.125, 0.125],
            [0.0, 0.0, 0.0, 1.0],
            [0.25, 0.5, 0.125, 0.125],
        ];
        let scores = BlockScores::try_new([1, 6, 1, 4], of_group.concat().repeat(2)).unwrap();
        // 0.75, 0.75, 0.25, 1.25 of 3.
        let mask = xattention_select(&scores, &shared(false)).unwrap();
        assert_eq!(mask.shape(), [1, 2, 1, 4]);
        assert_eq!(blocks(&mask, 0), [0, 3]);
        assert_eq!(blocks(&mask, 1), [0, 1, 3]);
        // 0.75, 0.75, 0.25, 0.25 of 2.
        let layout = shared(true);
        let mask = xattention_select(&scores, &layout).unwrap();
        assert_eq!(blocks(&mask, 0), [0, 1]);
        assert_eq!(blocks(&mask, 1), [0, 1]);
        let sums = layout.shared_scores(&scores).unwrap();
        assert_eq!(sums.row(0, 1, 0), [0.75, 0.75, 0.25, 0.25]);
        let of_heads = layout.mask_of_query_heads(&mask).unwrap();
        assert_eq!(of_heads.shape(), [1, 6, 1, 4]);
        assert_eq!(blocks(&of_heads, 3), [0, 1]);
        assert_eq!(blocks(&of_heads, 4), [0, 3]);
        let other = BlockMask::dense(1, 6, 1, 4).unwrap();
        assert!(layout.mask_of_query_heads(&other).is_err());
        let other = BlockScores::try_new([1, 2, 1, 4], vec![0.0; 8]).unwrap();
        assert!(layout.shared_scores(&other).is_err());
    }

    #[test]
    fn a_shared_mask_holds_a_selection_or_all_that_its_heads_attend_to() {
        let streaming = |sink_blocks, recent_blocks| HeadKind::Streaming {
            sink_blocks,
            recent_blocks,
        };
        let (dense, sparse) = (HeadKind::Dense, HeadKind::Sparse);
        let shape = AttentionShape::try_new(1, 8, 4, 64, 64, 16).unwrap();
        let kinds = [
            [dense, sparse],
            [streaming(1, 3), dense],
            [streaming(1, 3), streaming(2, 1)],
            [sparse, sparse],
        ];
        let options = XAttentionOptions {
            head_kinds: Some(kinds.concat()),
            mask_heads: MaskHeads::Key,
            ..XAttentionOptions::default()
        };
        let layout = options.layout(shape).unwrap();
        let held = [0, 1, 2, 3].map(|head| layout.kind_of_mask_head(head));
        assert_eq!(held, [sparse, dense, streaming(2, 3), sparse]);
        assert_eq!(layout.group_of_mask_head(2), 4..6);
        assert_eq!(layout.mask_shape()[1], 4);
        assert_eq!(layout.score_shape()[1], 8);
        // What is held without scores: everything for a sparse head, as if all were dense, else the joined window of 2 sinks and 3 recent of one block row.
        let short = XAttentionOptions {
            block: 4,
            stride: 4,
            ..options.clone()
        };
        let unscored = short.layout(shape).unwrap().mask_without_scores().unwrap();
        assert_eq!(unscored.shape(), [1, 4, 16, 16]);
        let row = |head| unscored.row(0, head, 9).collect::<Vec<_>>();
        let all: Vec<_> = (0..10).collect();
        assert_eq!([row(0), row(1), row(3)], [all.clone(), all.clone(), all]);
        assert_eq!(row(2), [0, 1, 7, 8, 9]);

        let own = XAttentionOptions {
            mask_heads: MaskHeads::Query,
            ..options
        };
        let layout = own.layout(shape).unwrap();
        assert_eq!(layout.kind_of_mask_head(2), streaming(1, 3));
        assert_eq!(layout.group_of_mask_head(2), 2..3);
    }
}
