//! Into how many parts k is split, each with sums of its own.

use sparse_shaders::Walk;

use super::MatmulProblem;
use super::chunks::too_long_rows;
use crate::bsr::{block_bytes, blocks_of_a_binding};
use crate::matmul::choose::{KernelChoice, split_k};
use crate::matmul::layout::{steps, weight_row_len};
use crate::window::{fit_in, fit_in_window, too_large_to_bind};
use crate::{Error, Gpu};

/// Parts into which k is split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// Of runs of blocks as many as there may be: how many there are, the matrix tells.
    pub(super) count: usize,
    /// As many as it takes to bind the weights of each.
    pub(super) least: usize,
}

impl Parts {
    /// As many as the problem asks for, or as fill the device; and no fewer than bindings want.
    pub(super) fn plan(
        gpu: &Gpu,
        problem: &MatmulProblem,
        walk: Walk,
        kernel: KernelChoice,
    ) -> Result<Self, Error> {
        let wanted = problem
            .split_k
            .unwrap_or_else(|| split_k(problem, walk, kernel, gpu.class()));
        let least = match walk {
            Walk::DenseTransposed { .. } | Walk::NmTransposed { .. } => {
                least_of_rows(gpu, problem, walk)?
            }
            Walk::BsrTransposed { br, bc } => most_runs(gpu, problem, (br, bc))?,
            // Of other walks some strips are bound at a time.
            _ => 1,
        };
        Ok(Self {
            count: wanted.max(least),
            least,
        })
    }

    /// Whether the weights of all parts cannot be bound at once.
    pub(super) fn apart(self) -> bool {
        self.least > 1
    }
}

/// Parts of k, each of whose rows of a transposed w can be bound: its rows are the k.
fn least_of_rows(gpu: &Gpu, problem: &MatmulProblem, walk: Walk) -> Result<usize, Error> {
    // Values outweigh indices: 8 bits for each of at least 16.
    let row = weight_row_len(walk, problem.n_out, problem.k_in) * problem.types.w.bytes();
    let fitting_steps = fit_in_window(gpu, row as u64) / 4;
    if fitting_steps == 0 {
        return Err(too_long_rows(gpu, problem, 4 * row as u64));
    }
    Ok(steps(walk, problem.k_in).div_ceil(fitting_steps).max(1))
}

/// Runs of blocks, each of which can be bound, into which the blocks of a w may have to be split; their places in it are known when recording.
fn most_runs(gpu: &Gpu, problem: &MatmulProblem, block: (usize, usize)) -> Result<usize, Error> {
    let ((br, bc), bytes) = (block, block_bytes(block, problem.types.w));
    let fit = blocks_of_a_binding(gpu, block, problem.types.w);
    if fit == 0 {
        let what = format!("{}: one block of {br} x {bc}", problem.operation);
        return Err(too_large_to_bind(gpu, what, bytes, "use smaller blocks"));
    }
    let all = problem.k_in.div_ceil(br) * problem.n_out.div_ceil(bc);
    // No more than a buffer holds.
    let most = all.min(fit_in(gpu.limits().max_buffer_size, bytes));
    Ok(most.div_ceil(fit).max(1))
}
