//! The main kernel: one dispatch for each slice of w and chunk of tokens.

use std::sync::Arc;

use sparse_shaders::{CooperativeKernel, MatmulKernel, MatvecKernel, Output, Walk};

use super::finish::Finish;
use super::record::{Chunk, Recording};
use super::schedule::Schedule;
use super::slices::Slice;
use super::y::BoundY;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::choose::{KernelChoice, MatvecTile};
use crate::matmul::layout::WORD_WEIGHTS;
use crate::matmul::params::MatmulParams;
use crate::matmul::problem::Batch;
use crate::matmul::weights::Weights;
use crate::window::Window;
use crate::{Error, Gpu};

/// Compiles the kernel of `schedule`, which stores `output`.
pub(super) async fn compile(
    gpu: &Gpu,
    schedule: &Schedule,
    output: Output,
) -> Result<Arc<CompiledKernel>, Error> {
    let (walk, weight) = (schedule.walk, storage(schedule.problem.types.w));
    let split = schedule.parts.count > 1;
    match schedule.kernel {
        KernelChoice::Tiled(tile) => {
            let kernel = MatmulKernel {
                walk,
                tile,
                packed: storage(schedule.packed),
                weight,
                output,
                split,
            };
            gpu.compile(&kernel).await
        }
        KernelChoice::Matvec(MatvecTile { rows, panel, lanes }) => {
            let kernel = MatvecKernel {
                walk,
                rows,
                panel,
                lanes,
                weight,
                output,
                split,
            };
            gpu.compile(&kernel).await
        }
        KernelChoice::Cooperative { tile, padded } => {
            let kernel = CooperativeKernel {
                walk,
                tile,
                padded,
                output,
                split,
            };
            gpu.compile(&kernel).await
        }
    }
}

/// A dispatch of the main kernel, as far as it is put together.
struct Dispatch<'a> {
    params: MatmulParams,
    buffers: Vec<(&'static str, wgpu::BindingResource<'a>)>,
}

impl<'a> Dispatch<'a> {
    fn bind(&mut self, name: &'static str, window: Window<'a>) {
        self.buffers.push((name, window.binding()));
    }
}

impl<'a> Recording<'a> {
    /// Multiplies the weights of `slice` with the tokens of `chunk`.
    pub(super) fn multiply(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        slice: &Slice,
        chunk: &Chunk,
    ) -> Result<(), Error> {
        let mut dispatched = Dispatch {
            params: self.sizes(slice, chunk),
            buffers: Vec::new(),
        };
        self.bind_x(&mut dispatched);
        self.bind_weights(&mut dispatched, slice, chunk.item);
        match &self.passes.finish {
            Some(finish) => self.bind_sums(&mut dispatched, finish, slice, chunk),
            None => self.bind_result(&mut dispatched, slice, chunk),
        }
        let Dispatch { params, buffers } = dispatched;
        let kernel = self.schedule.kernel;
        let weights = self.weights_of_step() * self.schedule.steps_of_part().max(1);
        let fmas = weights as u64 * (kernel.rows() * kernel.panel()) as u64;
        dispatch(
            self.gpu,
            pass,
            &self.passes.multiply,
            params,
            &buffers,
            word(params.row_tiles as usize * params.panels as usize * slice.parts.len()),
            fmas,
        )
    }

    /// The numbers of the problem, of the slice and of the chunk.
    fn sizes(&self, slice: &Slice, chunk: &Chunk) -> MatmulParams {
        let (schedule, strips, tokens) = (self.schedule, &slice.strips, &chunk.tokens);
        let problem = &schedule.problem;
        // A strip may be longer than w: it is the only one then.
        let strip_rows = self.extent.strip_rows.min(problem.n_out);
        MatmulParams {
            row_tiles: word(strips.len() * strip_rows.div_ceil(schedule.kernel.rows())),
            strips: word(strips.len()),
            first_strip: word(strips.start),
            // Behind the order of all lists come their own numbers, for slices of them.
            order_first: if slice.whole {
                0
            } else {
                word(self.extent.lists())
            },
            panels: word(tokens.len().div_ceil(schedule.kernel.panel())),
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            packed_rows: word(schedule.packed_rows),
            zero_row: word(schedule.packed_rows.saturating_sub(1)),
            steps: word(schedule.steps_of_strip()),
            parts: word(schedule.parts.count),
            first_part: word(slice.parts.start),
            weight_stride: word(schedule.weight_stride()),
            words_per_strip: match self.operands.weights {
                Weights::Nm(nm) => word(nm.words_per_strip),
                _ => 0,
            },
            ..MatmulParams::default()
        }
    }

    fn bind_x(&self, dispatched: &mut Dispatch<'a>) {
        let (x, k_in) = (self.operands.x, self.schedule.problem.k_in);
        let packed = match &self.passes.pack {
            Some(pack) => Window::whole(&pack.packed),
            None => Window::new(self.gpu, x.buffer(), x.offset(), 4, 0..k_in as u64),
        };
        dispatched.bind("packed_x", packed);
    }

    /// Binds the values of `slice` in `item`, and its indices and lists, where the kernel has such.
    fn bind_weights(&self, dispatched: &mut Dispatch<'a>, slice: &Slice, item: usize) {
        let weights = self.operands.weights;
        let transposed = self.schedule.problem.transposed.w;
        self.bind_values(dispatched, slice, item);
        // Each run of blocks has lists of its own; elsewhere parts share them.
        let run = if self.schedule.runs_apart() {
            slice.parts.start
        } else {
            0
        };
        let lists = weights.lists(transposed, run);
        let indices = match weights {
            Weights::Dense(_) => None,
            Weights::Nm(_) if self.passes.expansion.is_some() => None,
            Weights::Nm(nm) => Some(&nm.indices),
            Weights::Bsr(_) => lists.map(|lists| &lists.entries),
        };
        if let Some(buffer) = indices {
            let (bytes, units) = (self.extent.index_bytes, slice.indices.clone());
            let window = Window::new(self.gpu, buffer, 0, bytes, units);
            dispatched.params.indices_first = window.first;
            dispatched.bind("indices", window);
        }
        if let Some(lists) = lists {
            dispatched.bind("indptr", Window::whole(&lists.indptr));
            dispatched.bind("order", Window::whole(&lists.order));
        }
    }

    fn bind_values(&self, dispatched: &mut Dispatch<'a>, slice: &Slice, item: usize) {
        let schedule = self.schedule;
        let problem = &schedule.problem;
        let unit = schedule.weight_unit() as u64;
        let item_units = match problem.batch {
            Batch::PerItem(_) => (item * problem.n_out * problem.k_in) as u64 / unit,
            _ => 0,
        };
        let window = match &self.passes.expansion {
            Some(expansion) => {
                let first = self.stored_rows(slice).start * schedule.weight_stride();
                Window::whole(&expansion.dense).starting_at(word(first))
            }
            None => {
                let (buffer, base) = self.operands.weights.values();
                let units = item_units + slice.values.start..item_units + slice.values.end;
                let bytes = unit * problem.types.w.bytes() as u64;
                Window::new(self.gpu, buffer, base, bytes, units)
            }
        };
        dispatched.params.w_first = window.first_in_item(1, item_units);
        dispatched.bind("w", window);
    }

    /// The sums go into scratch memory, those of each part behind those of the one before.
    fn bind_sums(
        &self,
        dispatched: &mut Dispatch<'a>,
        finish: &'a Finish,
        slice: &Slice,
        chunk: &Chunk,
    ) {
        let (schedule, first_token) = (self.schedule, chunk.tokens.start);
        let params = &mut dispatched.params;
        params.y_stride = word(schedule.sums_stride());
        params.part_stride = word(schedule.sums_of_part());
        params.y_first = word(if schedule.problem.transposed.y {
            first_token
        } else {
            first_token * schedule.problem.n_out
        });
        if schedule.runs_apart() {
            // The whole of the run's lists, into the sums of its part.
            (params.parts, params.first_part) = (1, 0);
            let begin = params.part_stride.wrapping_mul(word(slice.parts.start));
            params.y_first = params.y_first.wrapping_sub(begin);
        }
        dispatched.bind("y", Window::whole(&finish.sums));
    }

    /// The sums are finished and stored at once.
    fn bind_result(&self, dispatched: &mut Dispatch<'a>, slice: &Slice, chunk: &Chunk) {
        let BoundY {
            windows,
            y_first,
            residual_first,
        } = self.bind_y(&self.extent.rows(&slice.strips), chunk);
        let (params, epilogue) = (&mut dispatched.params, &self.schedule.problem.epilogue);
        (params.y_first, params.residual_first) = (y_first, residual_first);
        params.y_stride = word(self.schedule.y_stride());
        params.alpha = epilogue.alpha.to_bits();
        params.beta = epilogue.addend.beta().to_bits();
        for (name, window) in windows {
            dispatched.bind(name, window);
        }
    }

    /// Stored weights of a row that a step multiplies.
    fn weights_of_step(&self) -> usize {
        match self.schedule.walk {
            Walk::NmSelect { .. } => WORD_WEIGHTS,
            _ => 4,
        }
    }
}
