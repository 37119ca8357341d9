//! How a product is cut, and how its operands lie: all that is settled before anything is compiled or allocated.

use std::ops::Range;

use sparse_core::DType;
use sparse_shaders::{MatmulFinishKernel, MatvecKernel, Walk};

use super::chunks::Chunking;
use super::output::why_finish;
use super::parts::Parts;
use crate::bsr::order_bytes;
use crate::matmul::MatmulProblem;
use crate::matmul::choose::{Choice, KernelChoice};
use crate::matmul::layout::{packed_rows, steps, weight_row_len, weight_unit};
use crate::window::{too_large_to_bind, window_bytes};
use crate::{Error, Gpu};

/// Which kernel computes a product, and in which pieces.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// As it is computed, which need not be as it was asked for: [`super::check::normal`].
    pub(super) problem: MatmulProblem,
    pub(super) walk: Walk,
    pub(super) kernel: KernelChoice,
    pub(super) parts: Parts,
    /// Rows of a panel of packed activations.
    pub(super) packed_rows: usize,
    /// Their storage.
    pub(super) packed: DType,
    /// Tokens that are computed at once.
    pub(super) chunk_tokens: usize,
}

impl Schedule {
    /// The schedule for the kernel that was chosen, or for a smaller one of its kind where that fits bindings and the chosen one does not.
    pub(super) fn plan(gpu: &Gpu, problem: MatmulProblem, choice: Choice) -> Result<Self, Error> {
        let Choice { walk, kernel, .. } = choice;
        check_lists(gpu, &problem, walk)?;
        let packed_rows = packed_rows(walk, problem.k_in, kernel.step());
        let packed = kernel.packed(problem.types.x, gpu.is_software());
        let parts = Parts::plan(gpu, &problem, walk, kernel)?;
        let chunking = Chunking {
            gpu,
            problem: &problem,
            parts,
            packed_rows,
            packed,
        };
        let (kernel, chunk_tokens) = chunking.fit(kernel)?;
        let schedule = Self {
            problem,
            walk,
            kernel,
            parts,
            packed_rows,
            packed,
            chunk_tokens,
        };
        schedule.check_loops(gpu)?;
        Ok(schedule)
    }

    /// Refuses sums that a driver would cut short: those of a part, and those of the parts.
    fn check_loops(&self, gpu: &Gpu) -> Result<(), Error> {
        let MatmulProblem {
            operation, k_in, ..
        } = self.problem;
        let rounds = self.kernel.loop_rounds(self.walk, self.steps_of_part());
        gpu.check_loops(format!("{operation} with k_in = {k_in}"), rounds)?;
        let parts = self.parts.count;
        let what = format!("{operation} with the sums of {parts} parts of k");
        gpu.check_loops(what, MatmulFinishKernel::loop_rounds(parts))
    }

    /// What there is to say of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let chunk = self.chunk_tokens;
        if chunk < self.problem.tokens {
            let why = if chunk == MatvecKernel::MAX_TOKENS {
                "which is what the kernel for few takes"
            } else {
                "so that operands and scratch memory can be bound"
            };
            notes.push(format!("{chunk} tokens at a time, {why}"));
        }
        notes.extend(why_finish(self));
        if self.reads_x_in_place() {
            notes.push("x is read where it is".to_owned());
        }
        notes
    }

    /// Whether x lies in memory as the kernel wants it packed.
    pub(super) fn reads_x_in_place(&self) -> bool {
        self.kernel.panel() == 1
            && self.problem.types.x == DType::F32
            && self.packed_rows == self.problem.k_in
            && self.problem.batch.items().is_none()
    }

    /// Outputs that share one list of k.
    pub(super) fn strip_rows(&self) -> usize {
        self.walk.strip_rows(self.kernel.rows())
    }

    /// Whether the parts are runs of blocks with lists of their own, rather than equal shares of each list.
    pub(super) fn runs_apart(&self) -> bool {
        self.parts.apart() && matches!(self.walk, Walk::BsrTransposed { .. })
    }

    /// Elements of what the walk loads weights in.
    pub(super) fn weight_unit(&self) -> usize {
        weight_unit(self.walk)
    }

    /// Elements from one row of values to the next, of w as it is stored.
    pub(super) fn weight_row_len(&self) -> usize {
        weight_row_len(self.walk, self.problem.n_out, self.problem.k_in)
    }

    /// The same as the kernels want it: in fours, where they load weights as vectors.
    pub(super) fn weight_stride(&self) -> usize {
        match self.walk {
            Walk::Dense {
                vector_weights: false,
            } => self.problem.k_in,
            _ => self.weight_row_len() / 4,
        }
    }

    /// Steps of a strip.
    pub(super) fn steps_of_strip(&self) -> usize {
        steps(self.walk, self.problem.k_in)
    }

    /// Steps of a part of a strip, which are those of a workgroup.
    pub(super) fn steps_of_part(&self) -> usize {
        let parts = if self.runs_apart() {
            1
        } else {
            self.parts.count
        };
        self.steps_of_strip().div_ceil(parts)
    }

    /// The k of some parts, of walks over every k.
    pub(super) fn k_of(&self, parts: &Range<usize>) -> Range<usize> {
        let k = |part: usize| (4 * part * self.steps_of_part()).min(self.problem.k_in);
        k(parts.start)..k(parts.end)
    }

    /// Elements from one row of y, as it is stored, to the next.
    pub(super) fn y_stride(&self) -> usize {
        if self.problem.transposed.y {
            self.problem.tokens
        } else {
            self.problem.n_out
        }
    }

    /// Elements from one row of the f32 sums to the next.
    pub(super) fn sums_stride(&self) -> usize {
        if self.problem.transposed.y {
            self.chunk_tokens
        } else {
            self.problem.n_out
        }
    }

    /// Elements of the f32 sums of one part.
    pub(super) fn sums_of_part(&self) -> usize {
        self.chunk_tokens * self.problem.n_out
    }
}

/// Refuses block-sparse weights with more lists than can be bound: whichever slice a dispatch works on, it reads where lists start and their order.
fn check_lists(gpu: &Gpu, problem: &MatmulProblem, walk: Walk) -> Result<(), Error> {
    let of_a_list = match walk {
        Walk::Bsr { br, .. } => br,
        Walk::BsrTransposed { bc, .. } => bc,
        _ => return Ok(()),
    };
    let lists = problem.n_out.div_ceil(of_a_list);
    let bytes = order_bytes(lists);
    if bytes <= window_bytes(gpu) {
        return Ok(());
    }
    let what = format!(
        "{}: the order of {lists} lists of blocks",
        problem.operation
    );
    Err(too_large_to_bind(gpu, what, bytes, "use larger blocks"))
}
