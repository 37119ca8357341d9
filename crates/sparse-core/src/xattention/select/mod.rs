//! Which blocks to keep.

mod check;
mod choice;
mod exact;
mod reference;

use super::{BlockScores, XAttentionError, XAttentionLayout};
use crate::attention::HeadKind;
use crate::mask::BlockMask;

pub use choice::ChoiceError;
pub use exact::{ExactRow, Wanted};

/// Selects the blocks of every block row from their scores, `[batch, q_heads, q_blocks, k_blocks]`.
///
/// Exact mode: with `R = threshold * (sum over the reachable blocks of the row)`, the forced blocks (causal: block 0 and
/// those on the diagonal; `sink_blocks`, `recent_blocks`, the mask `forced`) and then, highest score first and lower index first among equals,
/// as few more as bring the selected mass to `R`; a row that can reach any block selects at least one. `threshold = 1` selects all. With
/// `top_k` instead, as many more as make that count. Rows depend on nothing but their own scores.
///
/// Reference mode: the rule of the public code, with block 0 always added, and one block more in the rows of the
/// chunk that starts at key block 0. The mask `forced` is added to what comes out.
///
/// Heads that are not [sparse](crate::attention::HeadKind::Sparse) get the blocks that their kind means, as far as they are reachable.
///
/// Where query heads share a mask, its rows are selected from the sums of [`XAttentionLayout::shared_scores`].
///
/// The mask covers the real lengths ([`XAttentionLayout::mask_shape`]), the scores may cover padded ones.
///
/// # Errors
/// [`XAttentionError::ScoreShape`] where the scores are not those of `layout`, [`XAttentionError::Mask`] where the mask cannot be built,
/// [`XAttentionError::NotAMass`] where a sum of scores is no number.
///
/// ```
/// use sparse_core::attention::AttentionShape;
/// use sparse_core::xattention::{BlockScores, XAttentionOptions, xattention_select};
/// let shape = AttentionShape::try_new(1, 1, 1, 8, 8, 1)?;
/// let options = XAttentionOptions { block: 2, stride: 2, threshold: 0.8.into(), ..Default::default() };
/// let mut scores = vec![0.0; 16];
/// scores[12..].copy_from_slice(&[0.1, 0.2, 0.5, 0.2]);
/// let scores = BlockScores::try_new([1, 1, 4, 4], scores)?;
/// let mask = xattention_select(&scores, &options.layout(shape)?)?;
/// // Block 0 and the diagonal are forced and hold 0.3; block 2 brings that to 0.8.
/// assert_eq!(mask.row(0, 0, 3).collect::<Vec<_>>(), [0, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn xattention_select(
    scores: &BlockScores,
    layout: &XAttentionLayout,
) -> Result<BlockMask, XAttentionError> {
    let scores = layout.shared_scores(scores)?;
    let [batch, heads, q_blocks, k_blocks] = layout.mask_shape();
    let select = |item, head, q_block| {
        let row = scores.row(item, head, q_block);
        match layout.reference() {
            _ if layout.kind_of_mask_head(head) != HeadKind::Sparse => {
                layout.kind_row(head, q_block)
            }
            None => layout.exact_row(item, head, q_block).select(row),
            Some(reference) => {
                reference::select_row(row, [item, head, q_block], layout, reference, 0.0)
            }
        }
    };
    // Blocks are asked for row by row. A problem without keys has none, however many rows it has.
    let mut selected = Vec::new();
    Ok(BlockMask::from_fn(
        batch,
        heads,
        q_blocks,
        k_blocks,
        |b, h, i, j| {
            if j == 0 {
                selected = select(b, h, i);
            }
            selected[j]
        },
    )?)
}

/// Positions `candidates` of `row`, highest score first, lower index first among equals.
fn by_score(row: &[f64], candidates: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut order: Vec<usize> = candidates.collect();
    // The sort is stable and the candidates ascend, so equal scores keep the lower index first.
    // Adding +0.0 leaves no -0.0, which the total order would put below 0.0.
    order.sort_by(|&a, &b| (row[b] + 0.0).total_cmp(&(row[a] + 0.0)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::AttentionShape;
    use crate::xattention::{Threshold, XAttentionOptions};

    /// Non-causal problem of one block row per head, four key blocks of one token.
    fn layout(heads: usize, threshold: Threshold) -> XAttentionLayout {
        let shape = AttentionShape::try_new(1, heads, 1, 1, 4, 1).unwrap();
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            causal: false,
            threshold,
            ..XAttentionOptions::default()
        };
        options.layout(shape).unwrap()
    }

    fn selected(mask: &BlockMask, head: usize) -> Vec<usize> {
        mask.row(0, head, 0).collect()
    }

    #[test]
    fn equal_scores_go_to_the_lower_block() {
        let scores = BlockScores::try_new([1, 1, 1, 4], vec![0.125, 0.375, 0.375, 0.125]).unwrap();
        for (threshold, expected) in [(0.375, vec![1]), (0.75, vec![1, 2]), (0.8, vec![0, 1, 2])] {
            let mask = xattention_select(&scores, &layout(1, threshold.into())).unwrap();
            assert_eq!(selected(&mask, 0), expected, "threshold {threshold}");
        }
    }

    #[test]
    fn zeros_of_both_signs_are_equal() {
        let scores = BlockScores::try_new([1, 1, 1, 4], vec![0.0, -0.0, 1.0, 0.0]).unwrap();
        let layout = with(|o| o.top_k = Some(3));
        let mask = xattention_select(&scores, &layout).unwrap();
        assert_eq!(selected(&mask, 0), [0, 1, 2]);
    }

    #[test]
    fn each_head_has_its_own_threshold() {
        let scores = BlockScores::try_new([1, 2, 1, 4], [0.5, 0.25, 0.125, 0.125].repeat(2));
        let thresholds = Threshold::PerHead(vec![0.5, 0.75]);
        let mask = xattention_select(&scores.unwrap(), &layout(2, thresholds)).unwrap();
        assert_eq!(selected(&mask, 0), [0]);
        assert_eq!(selected(&mask, 1), [0, 1]);
    }

    fn with(change: impl FnOnce(&mut XAttentionOptions)) -> XAttentionLayout {
        let plain = layout(1, 0.75.into());
        let mut options = plain.options().clone();
        change(&mut options);
        options.layout(plain.shape()).unwrap()
    }

    #[test]
    fn a_fixed_count_goes_by_score_and_then_by_index() {
        let scores = BlockScores::try_new([1, 1, 1, 4], vec![0.125, 0.375, 0.125, 0.375]).unwrap();
        let choose = |top_k, sink_blocks| {
            let layout = with(|o| (o.top_k, o.sink_blocks) = (Some(top_k), sink_blocks));
            selected(&xattention_select(&scores, &layout).unwrap(), 0)
        };
        assert_eq!(choose(1, 0), [1]);
        assert_eq!(choose(3, 0), [0, 1, 3]);
        assert_eq!(choose(9, 0), [0, 1, 2, 3]);
        // Forced blocks count, and stay where they are more.
        assert_eq!(choose(2, 1), [0, 1]);
        assert_eq!(choose(1, 3), [0, 1, 2]);
    }

    #[test]
    fn the_mass_of_forced_blocks_counts() {
        let scores = BlockScores::try_new([1, 1, 1, 4], vec![0.5, 0.25, 0.125, 0.125]).unwrap();
        let mask = |blocks: &[usize]| {
            BlockMask::from_fn(1, 1, 1, 4, |_, _, _, j| blocks.contains(&j)).unwrap()
        };
        let choose = |blocks: &[usize]| {
            let layout = with(|o| o.forced = Some(mask(blocks)));
            selected(&xattention_select(&scores, &layout).unwrap(), 0)
        };
        assert_eq!(choose(&[]), [0, 1]);
        assert_eq!(choose(&[2, 3]), [0, 2, 3]);
        assert_eq!(choose(&[0, 1, 3]), [0, 1, 3]);
        let shape = [1, 1, 1, 3];
        let wrong = BlockMask::dense(1, 1, 1, 3).unwrap();
        let options = XAttentionOptions {
            forced: Some(wrong),
            ..with(|_| ()).options().clone()
        };
        assert_eq!(
            options.layout(layout(1, 0.5.into()).shape()),
            Err(XAttentionError::ForcedShape {
                given: shape,
                expected: [1, 1, 1, 4]
            })
        );
    }

    #[test]
    fn a_row_without_mass_takes_every_block() {
        let scores = BlockScores::try_new([1, 1, 1, 4], vec![0.0; 4]).unwrap();
        let mask = xattention_select(&scores, &layout(1, 0.5.into())).unwrap();
        assert_eq!(selected(&mask, 0), [0, 1, 2, 3]);
    }

    /// Rows without a block take no memory, in the scores and in the mask.
    #[test]
    fn without_keys_any_number_of_rows_is_selected_from() {
        let (batch, heads, q_len) = (1 << 12, 1 << 12, 1 << 28);
        let shape = AttentionShape::try_new(batch, heads, heads, q_len, 0, 1).unwrap();
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            ..XAttentionOptions::default()
        };
        let scores = BlockScores::try_new([batch, heads, q_len, 0], vec![]).unwrap();
        let mask = xattention_select(&scores, &options.layout(shape).unwrap()).unwrap();
        assert_eq!((mask.shape()[2], mask.count()), (q_len, 0));
    }

    #[test]
    fn scores_of_another_problem_are_refused() {
        let scores = BlockScores::try_new([1, 1, 1, 3], vec![0.0; 3]).unwrap();
        assert_eq!(
            xattention_select(&scores, &layout(1, 0.5.into()))
                .unwrap_err()
                .to_string(),
            "the scores have shape [1, 1, 1, 3], this problem and mode have [1, 1, 1, 4]"
        );
    }

    #[test]
    fn as_many_scores_of_another_shape_are_refused() {
        let scores = BlockScores::try_new([1, 1, 4, 1], vec![0.0; 4]).unwrap();
        assert_eq!(
            xattention_select(&scores, &layout(1, 0.5.into())),
            Err(XAttentionError::ScoreShape {
                scores: [1, 1, 4, 1],
                expected: [1, 1, 1, 4],
            })
        );
    }

    #[test]
    fn scores_that_are_no_masses_are_refused() {
        assert_eq!(
            BlockScores::try_new([1, 1, 1, 4], vec![0.0; 3]),
            Err(XAttentionError::ScoreCount {
                shape: [1, 1, 1, 4],
                expected: 4,
                actual: 3
            })
        );
        assert_eq!(
            BlockScores::try_new([1, 2, 1, 2], vec![0.0, 0.0, 0.0, -1.0]),
            Err(XAttentionError::NotAMass {
                position: [0, 1, 0, 1],
                value: -1.0
            })
        );
    }
}
