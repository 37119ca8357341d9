//! Which walk transposed N:M weights get, and why.

use sparse_core::Nm;
use sparse_shaders::Walk;

use super::nm_walk::MANY_TOKENS;
use crate::matmul::layout::{dense_bytes, rows_of_a_pattern};
use crate::matmul::problem::{MatmulProblem, NmVariant};
use crate::window::window_bytes;
use crate::{AdapterClass, Error, Gpu};

/// Scratch memory for expanded weights is kept below this; more rows go some at a time, where the product takes its rows so.
const MOST_EXPANDED_BYTES: u64 = 64 << 20;

/// Scratch memory that expanded weights of several strips may take, at most.
pub(crate) fn expansion_bytes(gpu: &Gpu) -> u64 {
    MOST_EXPANDED_BYTES.min(window_bytes(gpu))
}

/// The walk for weights `[k_in, n_out]` of `pattern`, with the reason.
///
/// # Errors
/// [`Error::Unavailable`] where the problem asks to expand first what does not fit `scratch` bytes.
pub(super) fn nm_transposed_walk(
    problem: &MatmulProblem,
    pattern: Nm,
    class: AdapterClass,
    scratch: u64,
) -> Result<(Walk, Option<String>), Error> {
    let whole_steps = problem.k_in.is_multiple_of(4);
    let no_lists = "the pattern runs along the outputs, whose lists of k have no fixed length: weights are put back in their places";
    let many = class.is_software() && problem.tokens >= MANY_TOKENS;
    let first = match problem.nm_variant {
        Some(variant) => variant == NmVariant::ExpandFirst,
        None => many,
    };
    // Every row of y meets all of them.
    let bytes = dense_bytes(problem.k_in, problem.n_out, problem.types.w);
    if first && bytes <= scratch {
        let walk = Walk::DenseTransposed {
            vector_weights: true,
            whole_steps,
        };
        let note = format!("{no_lists} once and multiplied as dense ones");
        return Ok((walk, Some(note)));
    }
    if problem.nm_variant == Some(NmVariant::ExpandFirst) {
        return Err(too_large_to_expand(problem, bytes, scratch));
    }
    let walk = Walk::NmTransposed {
        n: pattern.n(),
        m: pattern.m(),
        v: rows_of_a_pattern(pattern.v(), problem.k_in),
        index_bits: pattern.index_bits(),
        whole_steps,
    };
    let why = if first {
        format!(
            "; expanded first they would take {bytes} bytes of scratch memory, and {scratch} is what there may be"
        )
    } else {
        String::new()
    };
    let note = format!("{no_lists} on the way, which saves bytes but no multiplications{why}");
    Ok((walk, Some(note)))
}

fn too_large_to_expand(problem: &MatmulProblem, bytes: u64, scratch: u64) -> Error {
    let MatmulProblem {
        operation,
        n_out,
        k_in,
        ..
    } = *problem;
    Error::Unavailable {
        what: format!(
            "{operation}: a transposed w of {k_in} x {n_out} expanded first, all of which every row of y meets"
        ),
        needs: format!("{bytes} bytes of scratch memory"),
        has: format!("{scratch}, at most 64 MiB and what one binding holds"),
        hint: "leave the variant to the plan with None, or take NmVariant::Expand".to_owned(),
    }
}
