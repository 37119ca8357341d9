//! How y is stored: at once, or through f32 sums and a second pass.

use sparse_core::DType;
use sparse_shaders::{Output, Walk};

use crate::error::storage;
use crate::matmul::choose::KernelChoice;
use crate::matmul::problem::{Addend, Batch, MatmulProblem};

/// What the kernels store.
pub(super) struct Outputs {
    /// Of the main kernel.
    pub(super) main: Output,
    /// Of the second pass, where there is one.
    pub(super) finish: Option<Output>,
    /// Why there is.
    pub(super) note: Option<String>,
}

pub(super) fn outputs(
    problem: &MatmulProblem,
    walk: Walk,
    chosen: KernelChoice,
    parts: usize,
    chunk_tokens: usize,
) -> Outputs {
    let y = of_problem(problem);
    let note = if parts > 1 {
        Some(format!(
            "k is split in {parts} parts, whose f32 sums a second kernel adds in their order"
        ))
    } else if stores_whole_words(problem, walk, chosen) {
        None
    } else {
        Some("rows of y do not start at whole words: sums are kept in f32 and rounded by a second kernel".to_owned())
    };
    let vectors = |output: Output, stride: usize| {
        let tiled = !matches!(chosen, KernelChoice::Matvec(_));
        let fours = output.transposed || in_groups_of(4, walk, chosen);
        Output {
            vectors: tiled
                && output.storage == sparse_shaders::Storage::F32
                && fours
                && stride.is_multiple_of(4),
            ..output
        }
    };
    if note.is_none() {
        return Outputs {
            main: vectors(y, y_stride(problem)),
            finish: None,
            note,
        };
    }
    let sums = Output {
        transposed: y.transposed,
        ..Output::F32
    };
    Outputs {
        main: vectors(sums, sums_stride(problem, chunk_tokens)),
        finish: Some(y),
        note,
    }
}

fn of_problem(problem: &MatmulProblem) -> Output {
    let epilogue = &problem.epilogue;
    Output {
        vectors: false,
        transposed: problem.transposed.y,
        scaled: epilogue.alpha != 1.0,
        addend: match epilogue.addend {
            Addend::None => sparse_shaders::Addend::None,
            Addend::Previous { .. } => sparse_shaders::Addend::Previous,
            Addend::Residual { dtype, .. } => sparse_shaders::Addend::Residual(storage(dtype)),
        },
        bias: epilogue.bias.map(storage),
        activation: epilogue.activation,
        ..Output::of(storage(problem.types.y))
    }
}

/// Whether no word of y is shared by two invocations of the main kernel.
fn stores_whole_words(problem: &MatmulProblem, walk: Walk, chosen: KernelChoice) -> bool {
    if problem.types.y == DType::F32 {
        return true;
    }
    let several = !matches!(problem.batch, Batch::None);
    let items = !several || (problem.tokens * problem.n_out).is_multiple_of(2);
    let rows = if problem.transposed.y {
        problem.tokens.is_multiple_of(2) && chosen.panel() > 1
    } else {
        problem.n_out.is_multiple_of(2) && in_groups_of(2, walk, chosen)
    };
    items && rows
}

fn in_groups_of(n: usize, walk: Walk, chosen: KernelChoice) -> bool {
    chosen.rows().is_multiple_of(n) && walk.strip_rows(chosen.rows()).is_multiple_of(n)
}

/// From one row of y, as it is stored, to the next.
pub(super) fn y_stride(problem: &MatmulProblem) -> usize {
    if problem.transposed.y {
        problem.tokens
    } else {
        problem.n_out
    }
}

/// From one row of the f32 sums to the next.
pub(super) fn sums_stride(problem: &MatmulProblem, chunk_tokens: usize) -> usize {
    if problem.transposed.y {
        chunk_tokens
    } else {
        problem.n_out
    }
}
