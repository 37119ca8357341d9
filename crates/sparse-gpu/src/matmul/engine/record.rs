//! Recording a planned product: pack x, multiply slice by slice, convert.

use std::ops::Range;

use super::{Engine, Operands};
use crate::dispatch::dispatch;
use crate::matmul::params::{ConvertParams, MatmulParams, PackParams};
use crate::matmul::weights::{Extent, Weights, unit_bytes};
use crate::window::Window;
use crate::{Error, GpuTensor};

impl Engine {
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
    ) -> Result<(), Error> {
        self.check_operands(operands)?;
        let problem = &self.problem;
        if problem.tokens == 0 || problem.n_out == 0 {
            return Ok(());
        }
        let extent = self.extent(operands.weights);
        let slices = self.slices(&extent)?;
        for begin in (0..problem.tokens).step_by(self.chunk_tokens) {
            let tokens = begin..(begin + self.chunk_tokens).min(problem.tokens);
            self.record_pack(pass, operands.x, &tokens);
            for strips in &slices {
                self.record_main(pass, operands, &extent, strips, &tokens);
            }
            self.record_convert(pass, operands.y, &tokens);
        }
        Ok(())
    }

    fn record_pack(&self, pass: &mut wgpu::ComputePass<'_>, x: &GpuTensor, tokens: &Range<usize>) {
        let (Some(pack), true) = (&self.pack, self.packed_rows > 0) else {
            return;
        };
        let vectors = if pack.packing.vector_input { 4 } else { 1 };
        let unit = x.dtype().bytes() as u64 * vectors;
        let row_units = self.problem.k_in as u64 / vectors;
        let window = Window::new(
            &self.gpu,
            x.buffer(),
            x.offset(),
            unit,
            tokens.start as u64 * row_units..tokens.end as u64 * row_units,
        );
        let k_tiles = self.packed_rows.div_ceil(pack.packing.tile_k());
        let slots = tokens.len().next_multiple_of(self.shape.panel());
        let params = PackParams {
            k_tiles: word(k_tiles),
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            k_in: word(self.problem.k_in),
            packed_rows: word(self.packed_rows),
            x_first: window.first,
            ..PackParams::default()
        };
        let buffers = [
            ("x", window.binding()),
            ("packed", pack.packed.as_entire_binding()),
        ];
        let groups = word(k_tiles * (slots / pack.packing.tile_tokens()));
        dispatch(
            &self.gpu,
            pass,
            &pack.kernel,
            params,
            &buffers,
            groups,
            1024,
        );
    }

    fn record_main(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        extent: &Extent<'_>,
        strips: &Range<usize>,
        tokens: &Range<usize>,
    ) {
        let gpu = &self.gpu;
        let problem = &self.problem;
        let (values, base) = operands.weights.values();
        let unit = unit_bytes(problem.types.w, self.vector_weights());
        let w = Window::new(gpu, values, base, unit, extent.values(strips));
        let index_words = extent.indices(strips).unwrap_or(0..0);
        let indices = operands
            .weights
            .indices()
            .map(|buffer| Window::new(gpu, buffer, 0, 4, index_words));
        let y = self.output_window(operands.y, tokens);
        let x = operands.x;
        let packed = match &self.pack {
            Some(pack) => Window::whole(&pack.packed),
            None => Window::new(gpu, x.buffer(), x.offset(), 4, 0..problem.k_in as u64),
        };
        let mut buffers = vec![
            ("packed_x", packed.binding()),
            ("w", w.binding()),
            ("y", y.binding()),
        ];
        buffers.extend(indices.map(|window| ("indices", window.binding())));
        buffers.extend(
            operands
                .weights
                .indptr()
                .map(|b| ("indptr", b.as_entire_binding())),
        );
        let bias = operands.extras.bias.map(|bias| {
            let units = 0..problem.n_out as u64;
            Window::new(
                gpu,
                bias.buffer(),
                bias.offset(),
                bias.dtype().bytes() as u64,
                units,
            )
        });
        buffers.extend(bias.map(|window| ("bias", window.binding())));

        // A strip may be longer than w: it is the only one then.
        let strip_rows = extent.strip_rows.min(problem.n_out);
        let row_tiles = strips.len() * strip_rows.div_ceil(self.shape.rows());
        let panels = tokens.len().div_ceil(self.shape.panel());
        let steps = self.steps();
        let params = MatmulParams {
            row_tiles: word(row_tiles),
            first_strip: word(strips.start),
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            packed_rows: word(self.packed_rows),
            zero_row: word(self.packed_rows.saturating_sub(1)),
            steps: word(steps),
            weight_stride: word(self.weight_stride()),
            words_per_strip: match operands.weights {
                Weights::Nm(nm) => word(nm.words_per_strip),
                _ => 0,
            },
            w_first: w.first,
            indices_first: indices.map_or(0, |window| window.first),
            y_first: y.first,
            ..MatmulParams::default()
        };
        let fmas = 4 * steps.max(1) as u64 * (self.shape.rows() * self.shape.panel()) as u64;
        dispatch(
            gpu,
            pass,
            &self.main,
            params,
            &buffers,
            word(row_tiles * panels),
            fmas,
        );
    }

    /// Where the main kernel writes: y, or the f32 sums of this chunk.
    fn output_window<'a>(&'a self, y: &'a GpuTensor, tokens: &Range<usize>) -> Window<'a> {
        let n_out = self.problem.n_out as u64;
        match &self.convert {
            Some(convert) => {
                Window::whole(&convert.sums).starting_at(word(tokens.start * self.problem.n_out))
            }
            None => self.y_window(y, tokens.start as u64 * n_out..tokens.end as u64 * n_out),
        }
    }

    fn y_window<'a>(&'a self, y: &'a GpuTensor, elements: Range<u64>) -> Window<'a> {
        Window::new(
            &self.gpu,
            y.buffer(),
            y.offset(),
            y.dtype().bytes() as u64,
            elements,
        )
    }

    fn record_convert(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        y: &GpuTensor,
        tokens: &Range<usize>,
    ) {
        let Some(convert) = &self.convert else { return };
        let n_out = self.problem.n_out;
        let (begin, end) = (tokens.start * n_out, tokens.end * n_out);
        let window = self.y_window(y, begin as u64..end as u64);
        let params = ConvertParams {
            len: word(end - begin),
            // Chunks have an even number of tokens, so every chunk starts at a whole word.
            y_first: word(begin) - window.first,
            ..ConvertParams::default()
        };
        let buffers = [
            ("x", convert.sums.as_entire_binding()),
            ("y", window.binding()),
        ];
        dispatch(
            &self.gpu,
            pass,
            &convert.kernel,
            params,
            &buffers,
            word((end - begin).div_ceil(128)),
            128,
        );
    }
}

/// Sizes that `check_sizes` has bounded, as the kernels count them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "check_sizes refuses operands of 2^32 elements or more"
)]
const fn word(n: usize) -> u32 {
    n as u32
}
