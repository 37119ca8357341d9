//! Which problems there are kernels for.

use sparse_core::Nm;
use sparse_shaders::{MatvecKernel, Walk};

use crate::Error;
use crate::counting::check_countable;
use crate::matmul::choose::is_branching;
use crate::matmul::epilogue::Addend;
use crate::matmul::problem::{Batch, MatmulProblem, NmVariant};
use crate::matmul::weights::Format;

pub(super) fn check_problem(problem: &MatmulProblem) -> Result<(), Error> {
    let operation = problem.operation;
    Error::check_tile(operation, problem.tile)?;
    check_sizes(problem)?;
    if let Format::Nm { pattern } = problem.format {
        check_variant(problem, pattern)?;
    }
    check_epilogue(problem)?;
    check_split(problem)?;
    let most = MatvecKernel::MAX_TOKENS;
    if problem.few_tokens_only && problem.tokens > most {
        let reason = format!(
            "{} tokens; it takes at most {most}, use the matmul operation",
            problem.tokens
        );
        return Err(Error::invalid(operation, reason));
    }
    Ok(())
}

fn check_split(problem: &MatmulProblem) -> Result<(), Error> {
    let operation = problem.operation;
    if problem.split_k == Some(0) {
        let reason = "split_k = 0; k is split in 1 part or more, or leave it to the plan with None";
        return Err(Error::invalid(operation, reason));
    }
    // Kernels count parts in u32.
    if let Some(parts) = problem.split_k
        && u32::try_from(parts).is_err()
    {
        let reason = format!(
            "split_k = {parts}; k is split in at most 2^32 - 1 parts, and more than k_in = {} are empty",
            problem.k_in
        );
        return Err(Error::invalid(operation, reason));
    }
    Ok(())
}

fn check_sizes(problem: &MatmulProblem) -> Result<(), Error> {
    let MatmulProblem {
        operation,
        tokens,
        n_out,
        k_in,
        batch,
        ..
    } = *problem;
    let items = batch.items().unwrap_or(1);
    let w_items = match batch {
        Batch::PerItem(items) if problem.format != Format::Dense => {
            let reason = format!(
                "a batch of {items} item(s) with a w each; that is for dense weights, sparse ones are shared (Batch::Shared)"
            );
            return Err(Error::invalid(operation, reason));
        }
        Batch::PerItem(items) => items,
        _ => 1,
    };
    let operand = |name, items, rows, cols| {
        let shape = [items, rows, cols];
        let shape = if items == 1 { &shape[1..] } else { &shape };
        check_countable(operation, &[(name, shape)])
    };
    operand("x", items, tokens, k_in)?;
    operand("w", w_items, n_out, k_in)?;
    operand("y", items, tokens, n_out)?;
    if let Format::Bsr { block: (br, bc) } = problem.format {
        // Kernels find a block by counting its elements, its rows padded to multiples of four.
        let elements = bc
            .checked_next_multiple_of(4)
            .and_then(|bc| bc.checked_mul(br));
        if br == 0 || bc == 0 || elements.is_none_or(|n| u32::try_from(n).is_err()) {
            let reason = format!(
                "blocks of {br} x {bc}; a block has at least one and at most 2^32 - 1 elements, its rows padded to multiples of 4"
            );
            return Err(Error::invalid(operation, reason));
        }
    }
    Ok(())
}

/// Whether the variant that the problem asks for exists.
fn check_variant(problem: &MatmulProblem, pattern: Nm) -> Result<(), Error> {
    let Some(variant) = problem.nm_variant else {
        return Ok(());
    };
    let refuse = |reason: String| Err(Error::invalid(problem.operation, reason));
    if variant != NmVariant::Branch {
        return Ok(());
    }
    if problem.transposed.w {
        let reason = "variant Branch with a transposed w, whose patterns run along the outputs; take Expand or ExpandFirst, or leave it to the plan with None";
        return refuse(reason.to_owned());
    }
    if !is_branching((pattern.n(), pattern.m())) {
        return refuse(format!(
            "variant Branch with pattern {pattern}; it exists for 2:4, 1:4 and 1:2, others take Expand or leave it to the plan with None"
        ));
    }
    let branch = Walk::NmBranch {
        n: pattern.n(),
        m: pattern.m(),
        v: 1,
        index_bits: pattern.index_bits(),
    };
    match problem.tile {
        Some(tile) if tile.rows > branch.most_rows() => refuse(format!(
            "variant Branch with pattern {pattern} and a tile of {} rows; it has at most {}, compilers take minutes for more branches one \
             after the other",
            tile.rows,
            branch.most_rows()
        )),
        _ => Ok(()),
    }
}

fn check_epilogue(problem: &MatmulProblem) -> Result<(), Error> {
    let epilogue = &problem.epilogue;
    for (name, value) in [("alpha", epilogue.alpha), ("beta", epilogue.addend.beta())] {
        if !value.is_finite() {
            let reason = format!("{name} = {value}; it is a finite number");
            return Err(Error::invalid(problem.operation, reason));
        }
    }
    Ok(())
}

/// The same product with what changes nothing taken out.
pub(super) fn normal(mut problem: MatmulProblem) -> MatmulProblem {
    // A single row and a single column lie alike.
    if problem.tokens <= 1 {
        (problem.transposed.x, problem.transposed.y) = (false, false);
    }
    // Items that follow each other and share w are more tokens.
    if let (Batch::Shared(items), false, false) =
        (problem.batch, problem.transposed.x, problem.transposed.y)
    {
        problem.tokens *= items;
        problem.batch = Batch::None;
    }
    if problem.epilogue.addend.beta() == 0.0 {
        problem.epilogue.addend = Addend::None;
    }
    problem
}
