//! How y is stored: at once, or through f32 sums and a second pass.

use sparse_core::DType;
use sparse_shaders::{Output, Storage};

use super::schedule::Schedule;
use crate::error::storage;
use crate::matmul::choose::KernelChoice;
use crate::matmul::epilogue::Addend;
use crate::matmul::problem::{Batch, MatmulProblem};

/// What the kernels store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outputs {
    /// Of the main kernel.
    pub(super) main: Output,
    /// Of the second pass, where there is one.
    pub(super) finish: Option<Output>,
}

impl Outputs {
    pub(super) fn of(schedule: &Schedule) -> Self {
        let y = of_problem(&schedule.problem);
        if why_finish(schedule).is_none() {
            return Self {
                main: in_vectors(y, schedule, schedule.y_stride()),
                finish: None,
            };
        }
        let sums = Output {
            transposed: y.transposed,
            ..Output::F32
        };
        Self {
            main: in_vectors(sums, schedule, schedule.sums_stride()),
            finish: Some(y),
        }
    }
}

/// Why a second pass makes y of f32 sums; none where the main kernel stores y.
pub(super) fn why_finish(schedule: &Schedule) -> Option<String> {
    let parts = schedule.parts.count;
    if schedule.runs_apart() {
        Some(format!(
            "the blocks of w may not fit one binding: up to {parts} runs of them, whose f32 sums a second kernel adds in their order"
        ))
    } else if parts > 1 {
        Some(format!(
            "k is split in {parts} parts, whose f32 sums a second kernel adds in their order"
        ))
    } else if schedule.long_strips_of_y {
        Some("the rows of y that belong together cannot be bound at once: sums are kept in f32 and stored some rows at a time by a second kernel".to_owned())
    } else if !stores_whole_words(schedule) {
        Some("rows of y do not start at whole words: sums are kept in f32 and rounded by a second kernel".to_owned())
    } else {
        None
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

/// `output`, four neighbours at once where the kernel has them together and rows, `stride` elements apart, start at multiples of four.
fn in_vectors(output: Output, schedule: &Schedule, stride: usize) -> Output {
    let tiled = !matches!(schedule.kernel, KernelChoice::Matvec(_));
    let fours = output.transposed || in_groups_of(4, schedule);
    Output {
        vectors: tiled && output.storage == Storage::F32 && fours && stride.is_multiple_of(4),
        ..output
    }
}

/// Whether no word of y is shared by two invocations of the main kernel.
fn stores_whole_words(schedule: &Schedule) -> bool {
    let problem = &schedule.problem;
    if problem.types.y == DType::F32 {
        return true;
    }
    let several = !matches!(problem.batch, Batch::None);
    let items = !several || (problem.tokens * problem.n_out).is_multiple_of(2);
    let rows = if problem.transposed.y {
        problem.tokens.is_multiple_of(2) && schedule.kernel.panel() > 1
    } else {
        problem.n_out.is_multiple_of(2) && in_groups_of(2, schedule)
    };
    items && rows
}

/// Whether an invocation has outputs in groups of `n` neighbours.
fn in_groups_of(n: usize, schedule: &Schedule) -> bool {
    schedule.kernel.rows().is_multiple_of(n) && schedule.strip_rows().is_multiple_of(n)
}
