//! How weights and packed activations lie in memory, as the walk wants them.

use std::ops::Range;

use sparse_shaders::Walk;

use super::Engine;
use crate::matmul::choose::Shape;

impl Engine {
    pub(super) fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.shape.rows())
    }

    /// Elements of what the walk loads weights in.
    pub(super) fn weight_unit(&self) -> usize {
        weight_unit(self.walk)
    }

    /// Elements from one row of values to the next, of w as it is stored.
    pub(super) fn weight_row(&self) -> usize {
        weight_row(self.walk, self.problem.n_out, self.problem.k_in)
    }

    /// The same as the kernels want it.
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

    /// The k of some parts, of walks over every k.
    pub(super) fn k_of(&self, parts: &Range<usize>) -> Range<usize> {
        let k = |part: usize| (4 * part * self.steps()).min(self.problem.k_in);
        k(parts.start)..k(parts.end)
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

/// Elements of what the walk loads weights in.
pub(super) fn weight_unit(walk: Walk) -> usize {
    match walk {
        Walk::Dense {
            vector_weights: false,
        }
        | Walk::DenseTransposed {
            vector_weights: false,
            ..
        } => 1,
        Walk::NmExpand { n, m, .. } | Walk::NmTransposed { n, m, .. } => {
            if (n, m) == (2, 4) {
                2
            } else {
                1
            }
        }
        _ => 4,
    }
}

/// Elements from one row of values to the next, of w as it is stored.
pub(super) fn weight_row(walk: Walk, n_out: usize, k_in: usize) -> usize {
    let kept = |width: usize, n: usize, m: usize| (width.div_ceil(m) * n).next_multiple_of(4);
    match walk {
        Walk::Dense { .. } => k_in,
        Walk::DenseTransposed { .. } => n_out,
        Walk::Nm { n, m, .. }
        | Walk::NmExpand { n, m, .. }
        | Walk::NmBranch { n, m, .. }
        | Walk::NmGather { n, m, .. } => kept(k_in, n, m),
        Walk::NmTransposed { n, m, .. } => kept(n_out, n, m),
        Walk::Bsr { bc, .. } | Walk::BsrTransposed { bc, .. } => bc.next_multiple_of(4),
    }
}

/// Rows of a panel of packed activations: every k that the walk can visit, those past the last column zero.
pub(super) fn packed_rows(walk: Walk, k_in: usize) -> usize {
    match walk {
        Walk::Dense { .. }
        | Walk::NmExpand { .. }
        | Walk::DenseTransposed { .. }
        | Walk::NmTransposed { .. } => k_in.next_multiple_of(4),
        Walk::Nm { n, m, .. } | Walk::NmBranch { n, m, .. } | Walk::NmGather { n, m, .. } => {
            let kept = (k_in.div_ceil(m) * n).next_multiple_of(4);
            kept.div_ceil(n) * m
        }
        Walk::Bsr { bc: block, .. } | Walk::BsrTransposed { br: block, .. } => {
            k_in.next_multiple_of(block) + usize::from(block % 4 != 0)
        }
    }
}

/// Steps of a strip; of block-sparse matrices an upper bound that only the cutting of long dispatches uses.
pub(super) fn steps(walk: Walk, k_in: usize) -> usize {
    match walk {
        Walk::Dense { .. }
        | Walk::NmExpand { .. }
        | Walk::DenseTransposed { .. }
        | Walk::NmTransposed { .. } => k_in.div_ceil(4),
        Walk::Nm { n, m, .. } | Walk::NmBranch { n, m, .. } | Walk::NmGather { n, m, .. } => {
            (k_in.div_ceil(m) * n).div_ceil(4)
        }
        Walk::Bsr { bc: block, .. } | Walk::BsrTransposed { br: block, .. } => {
            k_in.div_ceil(block) * block.div_ceil(4)
        }
    }
}
