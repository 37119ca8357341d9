//! Which walk goes through the weights, and why.

use sparse_shaders::Walk;

use super::nm_transposed_walk::nm_transposed_walk;
use super::nm_walk::nm_walk;
use crate::matmul::problem::MatmulProblem;
use crate::matmul::weights::Format;
use crate::{AdapterClass, Error};

/// The walk over k, with the reason where there was a choice. Weights that are expanded first may take `scratch` bytes.
///
/// # Errors
/// [`Error::Unavailable`] where the problem asks to expand first what does not fit those.
pub(super) fn walk(
    problem: &MatmulProblem,
    few: bool,
    class: AdapterClass,
    scratch: u64,
) -> Result<(Walk, Option<String>), Error> {
    let k_in = problem.k_in;
    if problem.transposed.w {
        return transposed_walk(problem, class, scratch);
    }
    Ok(match problem.format {
        Format::Dense => {
            let vector_weights = k_in.is_multiple_of(4);
            (Walk::Dense { vector_weights }, unaligned(k_in))
        }
        Format::Nm { pattern } => nm_walk(problem, pattern, few, class),
        Format::Bsr { block: (br, bc) } => (Walk::Bsr { br, bc }, None),
    })
}

fn transposed_walk(
    problem: &MatmulProblem,
    class: AdapterClass,
    scratch: u64,
) -> Result<(Walk, Option<String>), Error> {
    let (n_out, k_in) = (problem.n_out, problem.k_in);
    match problem.format {
        Format::Dense => {
            let walk = Walk::DenseTransposed {
                vector_weights: n_out.is_multiple_of(4),
                whole_steps: k_in.is_multiple_of(4),
            };
            Ok((walk, unaligned(n_out)))
        }
        Format::Nm { pattern } => nm_transposed_walk(problem, pattern, class, scratch),
        Format::Bsr { block: (br, bc) } => Ok((Walk::BsrTransposed { br, bc }, None)),
    }
}

/// What there is to say of dense rows of `row` weights, unless vectors load them.
fn unaligned(row: usize) -> Option<String> {
    (!row.is_multiple_of(4)).then(|| {
        format!(
            "rows of {row} weights do not start at multiples of 4: weights are loaded one by one"
        )
    })
}
