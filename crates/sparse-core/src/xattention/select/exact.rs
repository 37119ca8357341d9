//! Selection of Exact mode.

use super::by_score;
use crate::xattention::XAttentionLayout;

/// What is fixed about a block row before its scores are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactRow {
    /// Key blocks `0..reachable` hold a key that some query of the row may see; 0 where there is none.
    pub reachable: usize,
    /// Per reachable block, whether it is selected whatever its score.
    pub forced: Vec<bool>,
}

impl XAttentionLayout {
    /// The reachable and the forced key blocks of Exact mode's block row `q_block`.
    ///
    /// Causal: block 0, and the blocks that hold the diagonal, two where `block` does not divide
    /// `k_len - q_len`. Besides, `n_sink` first blocks, and the `n_recent` blocks ending where the row's last query
    /// stands. All of them as far as they are reachable.
    #[expect(
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "AttentionShape keeps lengths at or below 2^30; negative positions are cut to 0 first"
    )]
    pub fn exact_row(&self, q_block: usize) -> ExactRow {
        let options = self.options();
        let block = options.block as isize;
        let [.., k_blocks] = self.mask_shape();
        let first_query = q_block * options.block;
        let end_query = (first_query + options.block).min(self.shape().q_len());
        let first_position = first_query as isize + self.causal_offset();
        let last_position = end_query as isize - 1 + self.causal_offset();
        // Blocks 0..diagonal_end lie at or before the block of the last query; it may lie before all keys.
        let diagonal_end = (last_position.div_euclid(block) + 1).max(0) as usize;
        let reachable = if options.causal {
            diagonal_end.min(k_blocks)
        } else {
            k_blocks
        };
        let diagonal_start = (first_position.max(0) / block) as usize;
        let is_forced = |j: usize| {
            let on_diagonal = options.causal && (j == 0 || j >= diagonal_start);
            let recent = j < diagonal_end && diagonal_end - j <= options.n_recent;
            on_diagonal || j < options.n_sink || recent
        };
        ExactRow {
            reachable,
            forced: (0..reachable).map(is_forced).collect(),
        }
    }
}

/// Per key block of `scores`, whether it is selected.
pub(super) fn select_row(scores: &[f64], threshold: f64, row: &ExactRow) -> Vec<bool> {
    let mut selected = vec![false; scores.len()];
    let total: f64 = scores[..row.reachable].iter().sum();
    if threshold >= 1.0 || total == 0.0 {
        selected[..row.reachable].fill(true);
        return selected;
    }
    selected[..row.reachable].copy_from_slice(&row.forced);
    let is_free = |&j: &usize| !row.forced[j];
    let mut mass: f64 = (0..row.reachable)
        .filter(|&j| row.forced[j])
        .map(|j| scores[j])
        .sum();
    let mut any = row.forced.contains(&true);
    for j in by_score(scores, (0..row.reachable).filter(is_free)) {
        if any && mass >= threshold * total {
            break;
        }
        selected[j] = true;
        any = true;
        mass += scores[j];
    }
    selected
}
