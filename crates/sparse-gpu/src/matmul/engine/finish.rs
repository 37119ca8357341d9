//! From f32 sums to y: parts added up, epilogue, storage type.

use std::ops::Range;
use std::sync::Arc;

use sparse_shaders::{MatmulFinishKernel, Output};

use super::record::{Chunk, Recording};
use super::schedule::Schedule;
use super::y::BoundY;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::kernel::CompiledKernel;
use crate::matmul::params::FinishParams;
use crate::window::{Window, fit_in_window};
use crate::{Error, Gpu};

/// The sums go into this f32 scratch buffer, and a second pass makes y of them.
#[derive(Debug)]
pub(super) struct Finish {
    kernel: Arc<CompiledKernel>,
    pub(super) sums: wgpu::Buffer,
}

/// Runs of neighbours in y, and how they lie in pairs, which are words of a half-width y.
struct Lines {
    count: usize,
    /// Elements of each.
    len: usize,
    /// Elements of the first pair that lie before the line.
    shift: usize,
    /// Pairs of each.
    pairs: usize,
}

impl Finish {
    pub(super) async fn plan(
        gpu: &Gpu,
        schedule: &Schedule,
        output: Output,
    ) -> Result<Self, Error> {
        let kernel = gpu.compile(&MatmulFinishKernel { output }).await?;
        let bytes = 4_u64
            .saturating_mul(schedule.chunk_tokens as u64)
            .saturating_mul(schedule.problem.n_out as u64)
            .saturating_mul(schedule.parts.count as u64);
        Ok(Self {
            kernel,
            sums: gpu.allocate("f32 sums", bytes, wgpu::BufferUsages::STORAGE)?,
        })
    }
}

impl Recording<'_> {
    /// Makes y of the sums of `parts` parts, where the main kernel has not stored it.
    pub(super) fn finish(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        chunk: &Chunk,
        parts: usize,
    ) -> Result<(), Error> {
        let Some(finish) = &self.passes.finish else {
            return Ok(());
        };
        let problem = &self.schedule.problem;
        let rows_at_once = if problem.transposed.y {
            fit_in_window(self.gpu, 4 * problem.tokens as u64).max(1)
        } else {
            problem.n_out
        };
        for begin in (0..problem.n_out).step_by(rows_at_once) {
            let rows = begin..(begin + rows_at_once).min(problem.n_out);
            self.finish_rows(pass, finish, chunk, parts, &rows)?;
        }
        Ok(())
    }

    fn finish_rows(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        finish: &Finish,
        chunk: &Chunk,
        parts: usize,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let (schedule, problem) = (self.schedule, &self.schedule.problem);
        let lines = self.lines(rows, chunk);
        let BoundY {
            mut windows,
            y_first,
            residual_first,
        } = self.bind_y(rows, chunk);
        windows.push(("sums", Window::whole(&finish.sums)));
        let params = FinishParams {
            line: word(lines.len),
            line_pairs: word(lines.pairs),
            pairs: word(lines.count * lines.pairs),
            line_stride: word(problem.tokens),
            sums_stride: word(schedule.sums_stride()),
            sums_begin: word(rows.start * schedule.sums_stride()),
            y_begin: word(self.y_elements(rows, chunk).start),
            shift: word(lines.shift),
            parts: word(parts),
            part_stride: word(schedule.sums_of_part()),
            n_out: word(problem.n_out),
            y_stride: word(schedule.y_stride()),
            y_first,
            residual_first,
            alpha: problem.epilogue.alpha.to_bits(),
            beta: problem.epilogue.addend.beta().to_bits(),
            ..FinishParams::default()
        };
        let buffers: Vec<_> = windows
            .iter()
            .map(|(name, window)| (*name, window.binding()))
            .collect();
        let groups = word((lines.count * lines.pairs).div_ceil(MatmulFinishKernel::PAIRS));
        let work = MatmulFinishKernel::PAIRS as u64 * (1 + parts as u64);
        dispatch(
            self.gpu,
            pass,
            &finish.kernel,
            params,
            &buffers,
            groups,
            work,
        )
    }

    /// The lines of `rows` of w and the tokens of `chunk`: all of the chunk, or its part of each row of a transposed y.
    fn lines(&self, rows: &Range<usize>, chunk: &Chunk) -> Lines {
        let problem = &self.schedule.problem;
        let elements = self.y_elements(rows, chunk);
        let (count, len) = if problem.transposed.y && chunk.tokens.len() < problem.tokens {
            (rows.len(), chunk.tokens.len())
        } else {
            (1, elements.len())
        };
        let begin = chunk.item * problem.tokens * problem.n_out + elements.start;
        let halves = self.operands.y.dtype().bytes() == 2;
        let shift = usize::from(halves && !begin.is_multiple_of(2));
        Lines {
            count,
            len,
            shift,
            pairs: (len + shift).div_ceil(2),
        }
    }
}
