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
    /// Whether the rows of a transposed y that one strip makes cannot be bound at once: its sums can, and a second pass stores some rows at a time.
    pub(super) long_strips_of_y: bool,
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
        let mut schedule = Self {
            problem,
            walk,
            kernel,
            parts,
            packed_rows,
            packed,
            chunk_tokens,
            long_strips_of_y: false,
        };
        let rows = schedule.strip_rows().min(schedule.problem.n_out);
        schedule.long_strips_of_y = schedule.y_bytes(rows) > window_bytes(gpu);
        schedule.check_strip(gpu)?;
        schedule.check_loops(gpu)?;
        Ok(schedule)
    }

    /// Refuses weights of which not even one strip can be bound. Of walks over rows of k the parts have seen to that, and how long a strip of blocks
    /// is, the matrix tells.
    fn check_strip(&self, gpu: &Gpu) -> Result<(), Error> {
        let problem = &self.problem;
        let instead = match self.walk {
            Walk::DenseTransposed { .. }
            | Walk::NmTransposed { .. }
            | Walk::Bsr { .. }
            | Walk::BsrTransposed { .. } => return Ok(()),
            Walk::Nm { .. } => "split k, or let fewer rows share a pattern",
            _ => "split k",
        };
        let rows = self.strip_rows().min(problem.n_out);
        let row_bytes = (self.weight_row_len() * problem.types.w.bytes()) as u64;
        let bytes = row_bytes.saturating_mul(rows as u64);
        if bytes <= window_bytes(gpu) {
            return Ok(());
        }
        Err(too_long_strip(gpu, problem, rows, bytes, instead))
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

    /// Bytes, at most, that have to be bound of so many rows of w in y, and of its residual, where it is transposed. Else the chunks see to it that
    /// their tokens fit.
    pub(super) fn y_bytes(&self, rows: usize) -> u64 {
        if self.problem.transposed.y {
            (4 * self.problem.tokens as u64).saturating_mul(rows as u64)
        } else {
            0
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

/// `bytes` of weights, or of what becomes of them, that belong to one strip of `rows` rows cannot be bound.
pub(super) fn too_long_strip(
    gpu: &Gpu,
    problem: &MatmulProblem,
    rows: usize,
    bytes: u64,
    instead: &str,
) -> Error {
    let what = format!("{}: one strip of {rows} rows of w", problem.operation);
    too_large_to_bind(gpu, what, bytes, instead)
}
