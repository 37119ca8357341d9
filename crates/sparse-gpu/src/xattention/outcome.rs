//! What a recording of XAttention turned out to be, read back.

use sparse_core::BlockMask;
use sparse_core::xattention::{XAttentionError, XAttentionLayout};

use super::cost::Costs;

/// Which attention kernel ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attended {
    /// That over the selected blocks.
    Sparse,
    /// That over all blocks.
    Dense,
}

/// Blocks of one query head of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeadBlocks {
    /// Selected, of the reachable ones.
    pub selected: usize,
    /// Key blocks with a key that a query of their row may see, over all rows.
    pub reachable: usize,
}

impl HeadBlocks {
    /// Share of the reachable blocks that is selected; 0 where none is reachable.
    pub fn density(&self) -> f64 {
        share(self.selected, self.reachable)
    }
}

/// What the last recording that has run selected, and which kernel attended. `Display` says it in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which kernel ran.
    pub attended: Attended,
    /// Per item and query head `[batch * q_heads]`; empty where nothing was scored, because the plan is dense.
    pub heads: Vec<HeadBlocks>,
    /// Time of dense attention over the time of what ran, by the cost model: below 1 where scores were computed for dense attention.
    pub predicted_speed_up: f64,
}

impl Outcome {
    pub(crate) fn new(
        attended: Attended,
        heads: Vec<HeadBlocks>,
        layout: &XAttentionLayout,
        costs: &Costs,
    ) -> Self {
        // Heads of other kinds cost the same either way.
        let q_heads = layout.shape().q_heads();
        let sparse = heads.iter().zip((0..q_heads).cycle());
        let sparse = sparse.filter(|&(_, head)| layout.options().is_sparse(head));
        let (selected, reachable) = sparse.fold((0, 0), |(selected, reachable), (head, _)| {
            (selected + head.selected, reachable + head.reachable)
        });
        let predicted_speed_up = match attended {
            _ if reachable == 0 => 1.0,
            Attended::Sparse => costs.speed_up(share(selected, reachable)),
            Attended::Dense => 1.0 / (1.0 + costs.estimate),
        };
        Self {
            attended,
            heads,
            predicted_speed_up,
        }
    }

    /// Share of the reachable blocks that was selected, over all heads; `None` where nothing was scored.
    pub fn density(&self) -> Option<f64> {
        let sum = |blocks: fn(&HeadBlocks) -> usize| self.heads.iter().map(blocks).sum();
        let selected = sum(|head| head.selected);
        (!self.heads.is_empty()).then(|| share(selected, sum(|head| head.reachable)))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kernel = match self.attended {
            Attended::Sparse => "sparse",
            Attended::Dense => "dense",
        };
        match self.density() {
            Some(density) => write!(
                f,
                "{:.1} % of the reachable blocks were selected; ",
                100.0 * density
            )?,
            None => write!(f, "nothing was scored; ")?,
        }
        write!(
            f,
            "{kernel} attention ran, predicted {:.2}x of dense attention's speed",
            self.predicted_speed_up
        )
    }
}

/// Selected and reachable blocks of each query head.
pub(crate) fn count(
    mask: &BlockMask,
    layout: &XAttentionLayout,
) -> Result<Vec<HeadBlocks>, XAttentionError> {
    let mask = layout.mask_of_query_heads(mask)?;
    let [batch, heads, q_blocks, _] = mask.shape();
    let reachable: Vec<usize> = (0..q_blocks)
        .map(|row| layout.reachable_blocks(row))
        .collect();
    let heads = (0..batch * heads)
        .map(|head| HeadBlocks {
            selected: (0..q_blocks)
                .map(|row| {
                    let blocks = mask.row(head / heads, head % heads, row);
                    blocks.take_while(|&block| block < reachable[row]).count()
                })
                .sum(),
            reachable: reachable.iter().sum(),
        })
        .collect();
    Ok(heads)
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
