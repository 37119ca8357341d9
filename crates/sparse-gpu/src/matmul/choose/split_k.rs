//! Into how many parts a plan splits k of its own accord.

use sparse_shaders::Walk;

use super::kernel::KernelChoice;
use crate::AdapterClass;
use crate::matmul::layout::steps;
use crate::matmul::problem::MatmulProblem;

/// Workgroups that fill a GPU of any size tolerably.
const FILLING_GROUPS: usize = 512;
/// Workgroups that fill a processor.
const FILLING_A_PROCESSOR: usize = 16;
/// Steps of four k that a part has at least, so that adding up parts does not count.
const SHORTEST_PART: usize = 64;
/// Parts into which a plan splits k of its own accord, at most: a bound on the additions of a sum beyond its terms.
pub const MOST_PARTS: usize = 16;

/// Parts into which k is split where a device would otherwise have too few workgroups to fill it: few rows, few tokens, long sums; on a processor,
/// a wide piece of a transposed w.
pub(crate) fn split_k(
    problem: &MatmulProblem,
    walk: Walk,
    kernel: KernelChoice,
    class: AdapterClass,
) -> usize {
    let filling = match kernel {
        _ if !class.is_software() => FILLING_GROUPS,
        KernelChoice::Matvec(_) if walk.columns() => FILLING_A_PROCESSOR,
        _ => return 1,
    };
    let groups = problem.n_out.div_ceil(kernel.rows()) * problem.tokens.div_ceil(kernel.panel());
    let steps = steps(walk, problem.k_in);
    let steps_of_lane = match kernel {
        KernelChoice::Tiled(_) | KernelChoice::Cooperative { .. } => steps,
        KernelChoice::Matvec(tile) => steps / tile.kernel(walk).slices(),
    };
    (filling / groups.max(1)).clamp(1, (steps_of_lane / SHORTEST_PART).clamp(1, MOST_PARTS))
}
