//! How weights and packed activations lie in memory, as the walk wants them.

use std::ops::Range;

use sparse_shaders::Walk;

use super::Engine;
use crate::matmul::choose::{KernelChoice, MatvecTile};

impl Engine {
    pub(super) fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.chosen.rows())
    }

    /// Whether the parts are runs of blocks with lists of their own, rather than equal shares of each list.
    pub(super) fn runs_apart(&self) -> bool {
        self.parts_apart && matches!(self.walk, Walk::BsrTransposed { .. })
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

    /// Stored weights of a row that a step multiplies.
    pub(super) fn weights_of_step(&self) -> usize {
        match self.walk {
            Walk::NmSelect { .. } => WORD_WEIGHTS,
            _ => 4,
        }
    }

    /// Steps of a workgroup.
    pub(super) fn steps(&self) -> usize {
        let parts = if self.runs_apart() { 1 } else { self.parts };
        self.steps_of_strip().div_ceil(parts)
    }

    /// The k of some parts, of walks over every k.
    pub(super) fn k_of(&self, parts: &Range<usize>) -> Range<usize> {
        let k = |part: usize| (4 * part * self.steps()).min(self.problem.k_in);
        k(parts.start)..k(parts.end)
    }

    /// Rounds of the loops of one invocation.
    pub(super) fn loop_rounds(&self) -> usize {
        let steps = self.steps();
        match self.chosen {
            // The steps of each share of tokens that a subgroup takes; in each it moves both operands, and stores the sums after them.
            KernelChoice::Cooperative { tile, .. } => {
                let quads = tile.size.side() / 4;
                let squares = quads * tile.panel() / tile.shares / 4;
                let moved =
                    squares.div_ceil(tile.lanes) + (quads * tile.rows()).div_ceil(tile.lanes);
                // Subgroups are never larger than workgroups: one subgroup takes all shares, at worst.
                let stored = tile.row_matrices * tile.token_matrices * 4 * quads * quads;
                tile.shares * (1 + steps.div_ceil(quads) * (1 + moved)) + stored
            }
            KernelChoice::Tiled(_) => steps,
            KernelChoice::Matvec(tile) => matvec_rounds(self.walk, steps, tile),
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
        Walk::Dense {
            vector_weights: true,
        } => k_in.next_multiple_of(4),
        Walk::Dense { .. } => k_in,
        Walk::DenseTransposed {
            vector_weights: true,
            ..
        } => n_out.next_multiple_of(4),
        Walk::DenseTransposed { .. } => n_out,
        Walk::Nm { n, m, .. }
        | Walk::NmExpand { n, m, .. }
        | Walk::NmBranch { n, m, .. }
        | Walk::NmGather { n, m, .. } => kept(k_in, n, m),
        Walk::NmSelect { n, .. } => kept(k_in, n, 4),
        Walk::NmTransposed { n, m, .. } => kept(n_out, n, m),
        Walk::Bsr { bc, .. } | Walk::BsrTransposed { bc, .. } => bc.next_multiple_of(4),
    }
}

/// Rounds of the loops of one invocation of a mat-vec: each slice takes its share of the steps, then each lane adds up its share of the sums, one
/// partial sum a round.
pub(crate) fn matvec_rounds(walk: Walk, steps: usize, tile: MatvecTile) -> usize {
    let rounds_of_step = match walk {
        // Itself, and four stored weights a round.
        Walk::NmSelect { .. } => 1 + WORD_WEIGHTS / 4,
        _ => 1,
    };
    let slices = tile.kernel(walk).slices();
    steps.div_ceil(slices) * rounds_of_step
        + (tile.rows * tile.panel).div_ceil(tile.lanes) * (slices + 1)
}

/// Stored weights of a row whose indices, of two bits each, fill a word: a step of [`Walk::NmSelect`].
pub(crate) const WORD_WEIGHTS: usize = 16;

/// Rows of a panel of packed activations: every k that the walk can visit, those past the last column zero.
/// `step` stored weights of a row are read at once.
pub(super) fn packed_rows(walk: Walk, k_in: usize, step: usize) -> usize {
    match walk {
        Walk::Dense { .. } => k_in.next_multiple_of(step),
        // A last step that reaches behind the list reads the zeros of a row of its own.
        Walk::Nm { n, m, .. }
            if !(k_in.div_ceil(m) * n)
                .next_multiple_of(4)
                .is_multiple_of(step) =>
        {
            packed_rows(walk, k_in, 4) + 1
        }
        Walk::NmExpand { .. } | Walk::DenseTransposed { .. } | Walk::NmTransposed { .. } => {
            k_in.next_multiple_of(4)
        }
        Walk::Nm { n, m, .. } | Walk::NmBranch { n, m, .. } | Walk::NmGather { n, m, .. } => {
            let kept = (k_in.div_ceil(m) * n).next_multiple_of(4);
            kept.div_ceil(n) * m
        }
        Walk::NmSelect { n, .. } => k_in.next_multiple_of(WORD_WEIGHTS / n * 4),
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
        Walk::NmSelect { n, .. } => k_in.div_ceil(WORD_WEIGHTS / n * 4),
        Walk::Bsr { bc: block, .. } | Walk::BsrTransposed { br: block, .. } => {
            k_in.div_ceil(block) * block.div_ceil(4)
        }
    }
}
