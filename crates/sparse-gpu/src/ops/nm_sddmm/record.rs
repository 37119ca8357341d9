//! Recording a planned `nm_sddmm`.

use std::ops::Range;

use super::{NmSddmmPlan, OPERATION};
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::matmul::params::NmSddmmParams;
use crate::nm::GpuNm;
use crate::operand::{refuse_aliases, refuse_other_device};
use crate::sddmm::Part;
use crate::window::Window;
use crate::{Error, GpuTensor};

/// A word of packed indices.
const WORD_BYTES: u64 = 4;

impl NmSddmmPlan {
    /// Records the product into the caller's pass. Only the values of `out` change, its slots stand for the columns that they did.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::PatternMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        dy: &GpuTensor,
        x: &GpuTensor,
        out: &mut GpuNm,
    ) -> Result<(), Error> {
        self.check_operands(dy, x, out)?;
        let sampled = self.problem.sampled();
        if !sampled.has_elements() {
            return Ok(());
        }
        let stride = out.row_stride();
        let tile_bytes = self.description.rows as u64 * self.problem.row_bytes(out.dtype());
        // The indices of a row are never more bytes than its values. Planning has seen to it that one tile fits.
        let fit = self.kernels.units_of_a_run(&self.gpu, tile_bytes);
        let tiles = self.description.tiles(self.problem.n_out);
        for first in (0..tiles).step_by(fit) {
            let tiles = first..first.saturating_add(fit).min(tiles);
            let rows = self.rows(&tiles);
            self.kernels.record_run(
                &self.gpu,
                pass,
                &sampled,
                [dy, x],
                (&out.values, rows.start * stride..rows.end * stride),
                |pass, part| self.record_part(pass, out, &tiles, part),
            )?;
        }
        Ok(())
    }

    /// Rows of the result that `tiles` are.
    fn rows(&self, tiles: &Range<usize>) -> Range<usize> {
        let row = |tile| self.description.first_row(tile, self.problem.n_out);
        row(tiles.start)..row(tiles.end)
    }

    fn record_part(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        out: &GpuNm,
        tiles: &Range<usize>,
        part: Part<'_>,
    ) -> Result<(), Error> {
        let (problem, description) = (&self.problem, &self.description);
        let (rows, words) = (self.rows(tiles), out.words_per_strip);
        let strips = rows.start / description.v..rows.end.div_ceil(description.v);
        let units = (strips.start * words) as u64..(strips.end * words) as u64;
        let indices = Window::new(&self.gpu, &out.indices, 0, WORD_BYTES, units);
        let across = out.row_stride().div_ceil(description.slots());
        let params = NmSddmmParams {
            first_tile: word(tiles.start),
            tiles: word(tiles.len()),
            kept: word(out.kept_per_row()),
            words_per_strip: word(words),
            indices_first: indices.first,
            y_stride: word(out.row_stride()),
            y_first: part.y.first,
            tokens: word(part.tokens),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            dy_first: part.dy.first,
            x_first: part.x.first,
            packed_rows: word(problem.k_in),
            alpha: part.alpha,
            beta: part.beta,
            ..NmSddmmParams::default()
        };
        let buffers = [
            ("dy", part.dy.binding()),
            ("x", part.x.binding()),
            ("y", part.y.binding()),
            ("indices", indices.binding()),
        ];
        let work = (description.sums_per_lane() * description.lanes) as u64 * part.tokens as u64;
        let groups = word(tiles.len() * across);
        dispatch(&self.gpu, pass, part.kernel, params, &buffers, groups, work)
    }

    fn check_operands(&self, dy: &GpuTensor, x: &GpuTensor, out: &GpuNm) -> Result<(), Error> {
        let sampled = self.problem.sampled();
        sampled.check_read(&self.gpu, dy, x)?;
        refuse_other_device(&self.gpu, OPERATION, "out", &out.device)?;
        let pattern = self.problem.pattern;
        if out.pattern() != pattern {
            return Err(Error::PatternMismatch {
                operation: OPERATION,
                tensor: "out",
                expected: pattern.to_string(),
                actual: out.pattern().to_string(),
            });
        }
        sampled.check_written(out.shape(), out.dtype())?;
        let read = [("dy", dy.buffer()), ("x", x.buffer())];
        refuse_aliases(OPERATION, ("out", &out.values), &read)
    }
}
