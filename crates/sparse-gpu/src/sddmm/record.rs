//! Recording the product, a run of the result and some tokens at a time.

use std::ops::Range;

use sparse_shaders::MatmulFinishKernel;

use super::sums::Sums;
use super::{Sampled, SampledKernels};
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::kernel::CompiledKernel;
use crate::matmul::params::FinishParams;
use crate::window::{Window, fit_in_window};
use crate::{Error, Gpu, GpuTensor};

/// What one dispatch computes of a run: the products of these tokens.
pub(crate) struct Part<'a> {
    pub(crate) kernel: &'a CompiledKernel,
    pub(crate) tokens: usize,
    pub(crate) dy: Window<'a>,
    /// As it lies, or packed.
    pub(crate) x: Window<'a>,
    /// Where the sums go, in elements of the result.
    pub(crate) y: Window<'a>,
    /// The bits of an f32.
    pub(crate) alpha: u32,
    /// The bits of an f32: what was there before times this is added.
    pub(crate) beta: u32,
}

impl SampledKernels {
    /// Units of the result, of so many bytes each, that are computed in one run: at least one, which the plan knows to fit.
    pub(crate) fn units_of_a_run(&self, gpu: &Gpu, unit_bytes: u64) -> usize {
        let fit = fit_in_window(gpu, unit_bytes).max(1);
        self.sums.as_ref().map_or(fit, |sums| fit.min(sums.units))
    }

    /// Records the product at `elements` of the result, which is stored in `values`; `part` records a dispatch of the format's own.
    pub(crate) fn record_run(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        sampled: &Sampled,
        [dy, x]: [&GpuTensor; 2],
        (values, elements): (&wgpu::Buffer, Range<usize>),
        mut part: impl FnMut(&mut wgpu::ComputePass<'_>, Part<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let units = elements.start as u64..elements.end as u64;
        let values = Window::new(gpu, values, 0, sampled.types.w.bytes() as u64, units);
        let scratch = self.sums.as_ref().map(|sums| {
            let begin = word(elements.start);
            (sums, Window::whole(&sums.buffer).starting_at(begin))
        });
        let mut sum = |kernel, tokens: Range<usize>, y, beta: f32| {
            let of = |tensor, cols| window_of_tokens(gpu, tensor, cols, &tokens);
            let x = match &self.packed {
                None => of(x, sampled.k_in),
                Some(packed) => {
                    // What one run packs of all tokens is there for the next.
                    if elements.start == 0 || self.sums.is_some() {
                        packed.record(gpu, pass, sampled, x, &tokens)?;
                    }
                    Window::whole(&packed.buffer)
                }
            };
            let sum = Part {
                kernel,
                dy: of(dy, sampled.n_out),
                x,
                tokens: tokens.len(),
                y,
                alpha: sampled.alpha.to_bits(),
                beta: beta.to_bits(),
            };
            part(pass, sum)
        };
        let Some((sums, scratch)) = scratch else {
            return sum(&self.first, 0..sampled.tokens, values, sampled.beta);
        };
        for first in (0..sampled.tokens).step_by(self.chunk_tokens) {
            let tokens = first..(first + self.chunk_tokens).min(sampled.tokens);
            let kernel = if first == 0 { &self.first } else { &sums.more };
            // Sums of further tokens are added as they are.
            sum(kernel, tokens, scratch, 1.0)?;
        }
        finish(gpu, pass, sampled, sums, (values, elements))
    }
}

/// From the sums of all tokens to the result.
fn finish(
    gpu: &Gpu,
    pass: &mut wgpu::ComputePass<'_>,
    sampled: &Sampled,
    sums: &Sums,
    (values, elements): (Window<'_>, Range<usize>),
) -> Result<(), Error> {
    let count = elements.len();
    let params = FinishParams {
        line: word(count),
        line_pairs: word(count / 2),
        pairs: word(count / 2),
        y_begin: word(elements.start),
        parts: 1,
        n_out: 1,
        y_stride: 1,
        y_first: values.first,
        alpha: sampled.alpha.to_bits(),
        beta: sampled.beta.to_bits(),
        ..FinishParams::default()
    };
    let buffers = [
        ("sums", sums.buffer.as_entire_binding()),
        ("y", values.binding()),
    ];
    let groups = word((count / 2).div_ceil(MatmulFinishKernel::PAIRS));
    let work = 2 * MatmulFinishKernel::PAIRS as u64;
    dispatch(gpu, pass, &sums.finish, params, &buffers, groups, work)
}

/// Rows of dy or x. Its `first` is what a kernel that counts tokens from the first of these subtracts from the number of an element.
fn window_of_tokens<'a>(
    gpu: &'a Gpu,
    tensor: &'a GpuTensor,
    cols: usize,
    tokens: &Range<usize>,
) -> Window<'a> {
    // In units of what is loaded at once, at most.
    let unit = if cols.is_multiple_of(4) { 4 } else { 1 };
    let [start, end] = [tokens.start, tokens.end].map(|token| (token * cols) as u64);
    let unit_bytes = unit * tensor.dtype().bytes() as u64;
    let units = start / unit..end / unit;
    let window = Window::new(gpu, tensor.buffer(), tensor.offset(), unit_bytes, units);
    window.starting_at(window.first_in_item(unit, start))
}
