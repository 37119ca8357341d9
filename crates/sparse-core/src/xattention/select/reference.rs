//! Selection of Reference mode: what the authors' public code does, odd rules included.

use super::by_score;
use crate::xattention::{ReferenceLayout, XAttentionLayout};

/// Per key block of the padded `scores` of block row `[item, head, query block]`, whether it is selected.
pub(super) fn select_row(
    scores: &[f64],
    [item, head, q_block]: [usize; 3],
    layout: &XAttentionLayout,
    reference: &ReferenceLayout,
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
    let wanted = threshold * scores.iter().sum::<f64>();
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
    use crate::xattention::{BlockScores, Mode, ReferenceOptions, XAttentionOptions, select};

    /// The blocks of the only row, of a query that stands at the last of four keys, in blocks of a token.
    fn row(scores: [f64; 4], causal: bool, threshold: f64, keep_recent: bool) -> Vec<usize> {
        let shape = AttentionShape::try_new(1, 1, 1, 1, 4, 1).unwrap();
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            causal,
            threshold: threshold.into(),
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(1),
                keep_recent,
                ..ReferenceOptions::default()
            }),
            ..XAttentionOptions::default()
        };
        let scores = BlockScores::try_new([1, 1, 1, 4], scores.to_vec()).unwrap();
        let mask = select(&scores, &options.layout(shape).unwrap()).unwrap();
        mask.row(0, 0, 0).collect()
    }

    #[test]
    fn the_share_is_enough_where_it_is_reached() {
        let scores = [0.125, 0.25, 0.5, 0.125];
        // Block 0 and the diagonal hold a quarter.
        assert_eq!(row(scores, true, 0.25, false), [0, 3]);
        assert_eq!(row(scores, true, 0.75, false), [0, 2, 3]);
        assert_eq!(row(scores, true, 0.8, false), [0, 1, 2, 3]);
    }

    #[test]
    fn recent_blocks_are_those_where_queries_stand() {
        let scores = [0.25, 0.5, 0.125, 0.125];
        assert_eq!(row(scores, false, 0.5, false), [0, 1]);
        assert_eq!(row(scores, false, 0.5, true), [0, 1, 3]);
    }
}
