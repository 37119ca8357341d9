//! Recording a planned `bsr_sddmm`.

use std::ops::Range;

use super::{BsrSddmmPlan, OPERATION};
use crate::bsr::GpuBsr;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::matmul::params::SddmmParams;
use crate::operand::{refuse_aliases, refuse_other_device};
use crate::sddmm::Part;
use crate::window::Window;
use crate::{Error, GpuTensor};

/// Block row and block column of a block.
const PLACE_BYTES: u64 = 8;

impl BsrSddmmPlan {
    /// Records the product into the caller's pass. Only the values of `out` change, its blocks stay where they are.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::PatternMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        dy: &GpuTensor,
        x: &GpuTensor,
        out: &mut GpuBsr,
    ) -> Result<(), Error> {
        self.check_operands(dy, x, out)?;
        let stride = out.block_stride();
        let block_bytes = (stride * out.dtype().bytes()) as u64;
        // The list of places is bound in the same runs as the values. Planning has refused larger blocks where there are any.
        let block_bytes = block_bytes.max(PLACE_BYTES);
        let fit = self.kernels.units_of_a_run(&self.gpu, block_bytes);
        for first in (0..out.nnz_blocks()).step_by(fit) {
            let blocks = first..first.saturating_add(fit).min(out.nnz_blocks());
            let elements = blocks.start * stride..blocks.end * stride;
            self.kernels.record_run(
                &self.gpu,
                pass,
                &self.problem.sampled(),
                [dy, x],
                (&out.values, elements),
                |pass, part| self.record_part(pass, out, &blocks, part),
            )?;
        }
        Ok(())
    }

    fn record_part(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        out: &GpuBsr,
        blocks: &Range<usize>,
        part: Part<'_>,
    ) -> Result<(), Error> {
        let problem = &self.problem;
        let units = blocks.start as u64..blocks.end as u64;
        let places = Window::new(&self.gpu, &out.places, 0, PLACE_BYTES, units);
        // The kernel counts blocks from the first that is bound.
        let first_place = places.first as usize;
        let params = SddmmParams {
            first_block: word(blocks.start - first_place),
            blocks_end: word(blocks.end - first_place),
            y_stride: word(problem.block.1.next_multiple_of(4)),
            y_first: part
                .y
                .first
                .wrapping_sub(word(first_place * out.block_stride())),
            tokens: word(part.tokens),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            dy_first: part.dy.first,
            x_first: part.x.first,
            packed_rows: word(problem.k_in),
            alpha: part.alpha,
            beta: part.beta,
            ..SddmmParams::default()
        };
        let buffers = [
            ("dy", part.dy.binding()),
            ("x", part.x.binding()),
            ("y", part.y.binding()),
            ("places", places.binding()),
        ];
        let description = &self.description;
        let items = blocks.len() * description.items_per_block();
        let work = (description.sums_per_lane() * description.lanes) as u64 * part.tokens as u64;
        let groups = word(items.div_ceil(description.lanes));
        dispatch(&self.gpu, pass, part.kernel, params, &buffers, groups, work)
    }

    fn check_operands(&self, dy: &GpuTensor, x: &GpuTensor, out: &GpuBsr) -> Result<(), Error> {
        let sampled = self.problem.sampled();
        sampled.check_read(&self.gpu, dy, x)?;
        refuse_other_device(&self.gpu, OPERATION, "out", &out.device)?;
        let block = self.problem.block;
        if out.block() != block {
            let blocks = |(br, bc): (usize, usize)| format!("blocks of {br} x {bc}");
            return Err(Error::PatternMismatch {
                operation: OPERATION,
                tensor: "out",
                expected: blocks(block),
                actual: blocks(out.block()),
            });
        }
        sampled.check_written(out.shape(), out.dtype())?;
        let read = [("dy", dy.buffer()), ("x", x.buffer())];
        refuse_aliases(OPERATION, ("out", &out.values), &read)
    }
}
