//! Selection of Reference mode: what the authors' public code does, odd rules included.

use super::by_score;
use crate::xattention::{ReferenceLayout, XAttentionLayout};

/// Per key block of the padded `scores` of block row `[item, head, query block]`, whether it is selected, where `more` is added to
/// the threshold: an error of so much of the row's mass in every comparison. Above 1 every block is wanted.
pub(super) fn select_row(
    scores: &[f64],
    [item, head, q_block]: [usize; 3],
    layout: &XAttentionLayout,
    reference: &ReferenceLayout,
    more: f64,
) -> Vec<bool> {
    let options = layout.options();
    let [_, _, q_blocks, _] = layout.score_shape();
    let threshold = options.threshold.of_head(head);
    let diagonal = reference.block_offset + q_block;
    let blocks_per_chunk = reference.chunk / options.block;
    let chunk_start = reference.block_offset + q_block / blocks_per_chunk * blocks_per_chunk;
    // In the chunk that starts at key block 0 the public code does not force block 0, and reads the running mass
    // one rank late: such a row takes one block more.
    let in_first_chunk = options.causal && chunk_start == 0;

    let mut selected = vec![false; scores.len()];
    if options.causal {
        selected[diagonal] = true;
        selected[0] |= !in_first_chunk;
    }
    let candidates = if options.causal {
        diagonal + 1
    } else {
        scores.len()
    };
    let total: f64 = scores.iter().sum();
    // Without mass nothing is wanted, whatever the error: an infinite share of nothing would be NaN.
    let wanted = if total > 0.0 {
        (threshold + more) * total
    } else {
        0.0
    };
    let mut mass: f64 = (0..scores.len())
        .filter(|&j| selected[j])
        .map(|j| scores[j])
        .sum();
    let order = by_score(scores, (0..candidates).filter(|&j| !selected[j]));
    let mut late_mass = 0.0;
    for j in order {
        if (if in_first_chunk { late_mass } else { mass }) >= wanted {
            break;
        }
        selected[j] = true;
        late_mass = mass;
        mass += scores[j];
    }
    // Rejected ranks write to index 0.
    if options.causal || selected.contains(&false) {
        selected[0] = true;
    }
    if reference.options.keep_sink && q_block == 0 {
        selected.fill(true);
    }
    if reference.options.keep_recent {
        selected[scores.len() - q_blocks + q_block] = true;
    }
    if let Some(forced) = &options.forced {
        for block in forced.row(item, head, q_block) {
            selected[block] = true;
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use crate::attention::AttentionShape;
    use crate::xattention::{
        BlockScores, Mode, ReferenceOptions, XAttentionOptions, xattention_select,
    };

    /// The blocks of each row of `q_len` queries that stand at the last of four keys, in blocks of a token; every row has these scores.
    fn rows(
        q_len: usize,
        scores: [f64; 4],
        change: impl FnOnce(&mut XAttentionOptions, &mut ReferenceOptions),
    ) -> Vec<Vec<usize>> {
        let shape = AttentionShape::try_new(1, 1, 1, q_len, 4, 1).unwrap();
        let mut options = XAttentionOptions {
            block: 1,
            stride: 1,
            ..XAttentionOptions::default()
        };
        let mut reference = ReferenceOptions {
            chunk: Some(1),
            ..ReferenceOptions::default()
        };
        change(&mut options, &mut reference);
        options.mode = Mode::Reference(reference);
        let scores = BlockScores::try_new([1, 1, q_len, 4], scores.repeat(q_len)).unwrap();
        let mask = xattention_select(&scores, &options.layout(shape).unwrap()).unwrap();
        (0..q_len).map(|i| mask.row(0, 0, i).collect()).collect()
    }

    #[test]
    fn the_share_is_enough_where_it_is_reached() {
        let row = |threshold: f64| {
            let scores = [0.125, 0.25, 0.5, 0.125];
            rows(1, scores, |o, _| o.threshold = threshold.into())
        };
        // Block 0 and the diagonal hold a quarter.
        assert_eq!(row(0.25), [[0, 3]]);
        assert_eq!(row(0.75), [[0, 2, 3]]);
        assert_eq!(row(0.8), [[0, 1, 2, 3]]);
    }

    #[test]
    fn recent_blocks_are_those_where_queries_stand() {
        let row = |keep_recent| {
            rows(1, [0.25, 0.5, 0.125, 0.125], |o, r| {
                (o.causal, o.threshold) = (false, 0.5.into());
                r.keep_recent = keep_recent;
            })
        };
        assert_eq!(row(false), [[0, 1]]);
        assert_eq!(row(true), [[0, 1, 3]]);
    }

    const SCORES: [f64; 4] = [0.125, 0.5, 0.25, 0.125];

    #[test]
    fn every_row_of_the_first_chunk_takes_a_block_more() {
        let last_row = |chunk, causal| {
            let rows = rows(4, SCORES, |o, r| {
                (o.causal, o.threshold) = (causal, 0.5.into());
                r.chunk = Some(chunk);
            });
            rows[3].clone()
        };
        assert_eq!(last_row(4, true), [0, 1, 2, 3]);
        assert_eq!(last_row(1, true), [0, 1, 3]);
        // Without causality no chunk is special.
        assert_eq!(last_row(4, false), [0, 1]);
    }

    #[test]
    fn the_share_is_one_of_all_scores() {
        // Block 0 and the diagonal hold 0.375, which is enough of the 0.875 that the third row may look at, but not of 1.
        let rows = rows(4, SCORES, |o, _| o.threshold = 0.4.into());
        assert_eq!(rows[2], [0, 1, 2]);
    }

    #[test]
    fn a_kept_sink_fills_the_first_row_only() {
        let rows = rows(4, SCORES, |o, r| {
            o.threshold = 0.5.into();
            r.keep_sink = true;
        });
        assert_eq!(rows[..2], [vec![0, 1, 2, 3], vec![0, 1]]);
    }
}
