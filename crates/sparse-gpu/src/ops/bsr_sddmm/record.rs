//! Recording a planned `bsr_sddmm`.

use std::ops::Range;

use sparse_core::DType;
use sparse_shaders::{MatmulFinishKernel, SddmmKernel};

use super::{BsrSddmm, BsrSddmmPlan, OPERATION};
use crate::bsr::GpuBsr;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::kernel::CompiledKernel;
use crate::matmul::params::{FinishParams, SddmmParams};
use crate::operand::{refuse_aliases, refuse_other_device};
use crate::window::{Window, fit_in_window};
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
        let block_bytes = (out.block_stride() * out.dtype().bytes()) as u64;
        // The list of places is bound in the same runs as the values. Planning has refused larger blocks where there are any.
        let mut fit = fit_in_window(&self.gpu, block_bytes.max(PLACE_BYTES)).max(1);
        if let Some(sums) = &self.sums {
            fit = fit.min(sums.blocks);
        }
        for first in (0..out.nnz_blocks()).step_by(fit) {
            let blocks = first..first.saturating_add(fit).min(out.nnz_blocks());
            self.record_blocks(pass, [dy, x], out, blocks)?;
        }
        Ok(())
    }

    fn record_blocks(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: [&GpuTensor; 2],
        out: &GpuBsr,
        blocks: Range<usize>,
    ) -> Result<(), Error> {
        let problem = &self.problem;
        let stride = out.block_stride();
        let units = (blocks.start * stride) as u64..(blocks.end * stride) as u64;
        let values = Window::new(&self.gpu, &out.values, 0, out.dtype().bytes() as u64, units);
        let Some(sums) = &self.sums else {
            let all = 0..problem.tokens;
            return self.record_tokens(pass, &self.kernel, operands, all, out, &blocks, values);
        };
        let begin = word(blocks.start * stride);
        let scratch = Window::whole(&sums.buffer).starting_at(begin);
        for first in (0..problem.tokens).step_by(self.chunk_tokens) {
            let tokens = first..(first + self.chunk_tokens).min(problem.tokens);
            let kernel = if first == 0 { &self.kernel } else { &sums.more };
            self.record_tokens(pass, kernel, operands, tokens, out, &blocks, scratch)?;
        }
        let elements = blocks.len() * stride;
        let params = FinishParams {
            line: word(elements),
            line_pairs: word(elements / 2),
            pairs: word(elements / 2),
            y_begin: begin,
            parts: 1,
            n_out: 1,
            y_stride: 1,
            y_first: values.first,
            alpha: problem.alpha.to_bits(),
            beta: problem.beta.to_bits(),
            ..FinishParams::default()
        };
        let buffers = [
            ("sums", sums.buffer.as_entire_binding()),
            ("y", values.binding()),
        ];
        let groups = word((elements / 2).div_ceil(MatmulFinishKernel::PAIRS));
        let work = 2 * MatmulFinishKernel::PAIRS as u64;
        dispatch(
            &self.gpu,
            pass,
            &sums.finish,
            params,
            &buffers,
            groups,
            work,
        )
    }

    /// The sums of `tokens`, which are all or have to start where a binding may.
    fn record_tokens(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        kernel: &CompiledKernel,
        [dy, x]: [&GpuTensor; 2],
        tokens: Range<usize>,
        out: &GpuBsr,
        blocks: &Range<usize>,
        values: Window<'_>,
    ) -> Result<(), Error> {
        let problem = &self.problem;
        let units = blocks.start as u64..blocks.end as u64;
        let places = Window::new(&self.gpu, &out.places, 0, PLACE_BYTES, units);
        // The kernel counts blocks from the first that is bound.
        let first_place = places.first as usize;
        let params = SddmmParams {
            first_block: word(blocks.start - first_place),
            blocks_end: word(blocks.end - first_place),
            tokens: word(tokens.len()),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            y_stride: word(problem.block.1.next_multiple_of(4)),
            y_first: values
                .first
                .wrapping_sub(word(first_place * out.block_stride())),
            alpha: problem.alpha.to_bits(),
            // Sums of further tokens are added as they are.
            beta: if self.sums.is_some() {
                1.0
            } else {
                problem.beta
            }
            .to_bits(),
            ..SddmmParams::default()
        };
        let buffers = [
            ("dy", self.bind(dy, problem.n_out, &tokens)),
            ("x", self.bind(x, problem.k_in, &tokens)),
            ("y", values.binding()),
            ("places", places.binding()),
        ];
        let SddmmKernel { rows, lanes, .. } = self.description;
        let items = blocks.len() * self.description.items_per_block();
        let work = (4 * rows * lanes * tokens.len()) as u64;
        let groups = word(items.div_ceil(lanes));
        dispatch(&self.gpu, pass, kernel, params, &buffers, groups, work)
    }

    fn check_operands(&self, dy: &GpuTensor, x: &GpuTensor, out: &GpuBsr) -> Result<(), Error> {
        let BsrSddmm {
            tokens,
            n_out,
            k_in,
            block,
            types,
            ..
        } = self.problem;
        dy.expect(&self.gpu, OPERATION, "dy", &[tokens, n_out], types.y)?;
        x.expect(&self.gpu, OPERATION, "x", &[tokens, k_in], types.x)?;
        refuse_other_device(&self.gpu, OPERATION, "out", &out.device)?;
        if out.block() != block {
            let blocks = |(br, bc): (usize, usize)| format!("blocks of {br} x {bc}");
            return Err(Error::PatternMismatch {
                operation: OPERATION,
                tensor: "out",
                expected: blocks(block),
                actual: blocks(out.block()),
            });
        }
        if out.shape() != [n_out, k_in] {
            return Err(Error::ShapeMismatch {
                operation: OPERATION,
                tensor: "out",
                expected: vec![n_out, k_in],
                actual: out.shape().to_vec(),
            });
        }
        expect_dtype(out.dtype(), types.w)?;
        let read = [("dy", dy.buffer()), ("x", x.buffer())];
        refuse_aliases(OPERATION, ("out", &out.values), &read)
    }

    fn bind<'a>(
        &'a self,
        tensor: &'a GpuTensor,
        cols: usize,
        tokens: &Range<usize>,
    ) -> wgpu::BindingResource<'a> {
        let unit = tensor.dtype().bytes() as u64;
        let units = (tokens.start * cols) as u64..(tokens.end * cols) as u64;
        Window::new(&self.gpu, tensor.buffer(), tensor.offset(), unit, units).binding()
    }
}

fn expect_dtype(actual: DType, expected: DType) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::DTypeMismatch {
        operation: OPERATION,
        tensor: "out",
        expected,
        actual,
    })
}
