//! How weights and packed activations lie in memory, as the walk wants them.

use sparse_shaders::Walk;

use super::Engine;
use crate::matmul::choose::Shape;

impl Engine {
    pub(super) fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.shape.rows())
    }

    pub(super) fn vector_weights(&self) -> bool {
        !matches!(
            self.walk,
            Walk::Dense {
                vector_weights: false
            } | Walk::NmExpand { .. }
        )
    }

    /// Elements from one row of values to the next.
    pub(super) fn weight_row(&self) -> usize {
        match self.walk {
            Walk::Dense { .. } => self.problem.k_in,
            Walk::Nm { n, m, .. } | Walk::NmExpand { n, m, .. } | Walk::NmGather { n, m, .. } => {
                (self.problem.k_in.div_ceil(m) * n).next_multiple_of(4)
            }
            Walk::Bsr { bc, .. } => bc.next_multiple_of(4),
        }
    }

    pub(super) fn weight_stride(&self) -> usize {
        match self.walk {
            Walk::Dense {
                vector_weights: false,
            } => self.problem.k_in,
            _ => self.weight_row() / 4,
        }
    }

    /// Steps of a strip.
    pub(super) fn steps_of_strip(&self) -> usize {
        steps(self.walk, self.problem.k_in)
    }

    /// Steps of a workgroup.
    pub(super) fn steps(&self) -> usize {
        self.steps_of_strip().div_ceil(self.parts)
    }

    /// Rounds of the loops of one invocation.
    pub(super) fn loop_rounds(&self) -> usize {
        let steps = self.steps();
        match self.shape {
            Shape::Tiled(_) => steps,
            // Each lane takes its share of the steps, then adds up its share of the sums, one partial sum a round.
            Shape::Matvec { rows, panel, lanes } => {
                steps.div_ceil(lanes) + (rows * panel).div_ceil(lanes) * (lanes + 1)
            }
        }
    }
}

/// Rows of a panel of packed activations: every k that the walk can visit, those past the last column zero.
pub(super) fn packed_rows(walk: Walk, k_in: usize) -> usize {
    match walk {
        Walk::Dense { .. } | Walk::NmExpand { .. } => k_in.next_multiple_of(4),
        Walk::Nm { n, m, .. } | Walk::NmGather { n, m, .. } => {
            let kept = (k_in.div_ceil(m) * n).next_multiple_of(4);
            kept.div_ceil(n) * m
        }
        Walk::Bsr { bc, .. } => k_in.next_multiple_of(bc) + usize::from(bc % 4 != 0),
    }
}

/// Steps of a strip; of block-sparse matrices an upper bound that only the cutting of long dispatches uses.
pub(super) fn steps(walk: Walk, k_in: usize) -> usize {
    match walk {
        Walk::Dense { .. } | Walk::NmExpand { .. } => k_in.div_ceil(4),
        Walk::Nm { n, m, .. } | Walk::NmGather { n, m, .. } => (k_in.div_ceil(m) * n).div_ceil(4),
        Walk::Bsr { bc, .. } => k_in.div_ceil(bc) * bc.div_ceil(4),
    }
}
