//! Recording a planned product: pack x, multiply slice by slice, finish y.

use std::ops::Range;

use super::output::{sums_stride, y_stride};
use super::slices::Slice;
use super::{Engine, Operands};
use crate::Error;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::matmul::params::{FinishParams, MatmulParams, PackParams};
use crate::matmul::problem::{Batch, MatmulProblem};
use crate::matmul::weights::{Extent, Weights};
use crate::window::{Window, window_bytes};

/// One item of a batch, and the tokens of it that are computed at once.
#[derive(Clone, Debug)]
struct Chunk {
    item: usize,
    tokens: Range<usize>,
}

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
        let slices = self.slices(operands.weights, &extent)?;
        // A matrix has as many runs of blocks as its values need, the plan knows only how many they may be.
        let parts = if self.runs_apart() {
            slices.len()
        } else {
            self.parts
        };
        let mut expanded = 0..0;
        for item in 0..problem.batch.items().unwrap_or(1) {
            for begin in (0..problem.tokens).step_by(self.chunk_tokens) {
                let tokens = begin..(begin + self.chunk_tokens).min(problem.tokens);
                let chunk = Chunk { item, tokens };
                self.record_pack(pass, operands, &chunk);
                for slice in &slices {
                    let rows = self.rows_of_w(&extent, slice);
                    if rows != expanded {
                        self.record_expansion(pass, operands, &rows, slice);
                        expanded = rows;
                    }
                    self.record_main(pass, operands, &extent, slice, &chunk);
                }
                self.record_finish(pass, operands, &chunk, parts);
            }
        }
        Ok(())
    }

    /// The rows of w, as it is stored, that `slice` needs.
    fn rows_of_w(&self, extent: &Extent<'_>, slice: &Slice) -> Range<usize> {
        if self.problem.transposed.w {
            self.k_of(&slice.parts)
        } else {
            extent.rows(&slice.strips)
        }
    }

    /// `rows` as dense weights, where the kernel wants those of N:M ones.
    fn record_expansion(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        rows: &Range<usize>,
        slice: &Slice,
    ) {
        if let (Some(expansion), Weights::Nm(nm)) = (&self.expansion, operands.weights) {
            expansion.record(&self.gpu, pass, nm, rows, slice.indices.clone());
        }
    }

    fn record_pack(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        chunk: &Chunk,
    ) {
        let (Some(pack), true) = (&self.pack, self.packed_rows > 0) else {
            return;
        };
        let (x, problem) = (operands.x, &self.problem);
        let (transposed, vectors, (tile_tokens, tile_k)) = (pack.transposed, pack.unit, pack.tile);
        let unit = x.dtype().bytes() as u64 * vectors;
        let stride = if transposed {
            problem.tokens
        } else {
            problem.k_in
        };
        let base = (chunk.item * problem.tokens * problem.k_in) as u64;
        // Rows of tokens are bound together; of a transposed x as many rows of k as fit.
        let rows_of_k = if transposed {
            let row_bytes = (stride * x.dtype().bytes()) as u64;
            let fit = usize::try_from(window_bytes(&self.gpu) / row_bytes).unwrap_or(usize::MAX);
            (fit / tile_k * tile_k).clamp(tile_k, self.packed_rows.next_multiple_of(tile_k))
        } else {
            self.packed_rows
        };
        let slots = chunk.tokens.len().next_multiple_of(self.chosen.panel());
        for k_begin in (0..self.packed_rows).step_by(rows_of_k) {
            let k_end = (k_begin + rows_of_k).min(self.packed_rows);
            let rows = if transposed {
                k_begin.min(problem.k_in)..k_end.min(problem.k_in)
            } else {
                chunk.tokens.clone()
            };
            let elements = [rows.start, rows.end].map(|row| base + (row * stride) as u64);
            let units = elements[0] / vectors..elements[1].div_ceil(vectors);
            let window = Window::new(&self.gpu, x.buffer(), x.offset(), unit, units);
            let k_tiles = (k_end - k_begin).div_ceil(tile_k);
            let params = PackParams {
                k_tiles: word(k_tiles),
                k_begin: word(k_begin),
                token_begin: word(chunk.tokens.start),
                token_end: word(chunk.tokens.end),
                k_in: word(problem.k_in),
                x_stride: word(stride),
                packed_rows: word(self.packed_rows),
                x_first: relative(window.first, vectors, base),
                ..PackParams::default()
            };
            let buffers = [
                ("x", window.binding()),
                ("packed", pack.packed.as_entire_binding()),
            ];
            let groups = word(k_tiles * (slots / tile_tokens));
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
    }

    fn record_main(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        extent: &Extent<'_>,
        slice: &Slice,
        chunk: &Chunk,
    ) {
        let gpu = &self.gpu;
        let strips = &slice.strips;
        let problem = &self.problem;
        let tokens = &chunk.tokens;
        let unit_elements = self.weight_unit() as u64;
        let w_base = match problem.batch {
            Batch::PerItem(_) => (chunk.item * problem.n_out * problem.k_in) as u64 / unit_elements,
            _ => 0,
        };
        let units = w_base + slice.values.start..w_base + slice.values.end;
        let unit = unit_elements * problem.types.w.bytes() as u64;
        let w = match &self.expansion {
            Some(expansion) => {
                let first = self.rows_of_w(extent, slice).start * self.weight_stride();
                Window::whole(&expansion.dense).starting_at(word(first))
            }
            None => {
                let (values, base) = operands.weights.values();
                Window::new(gpu, values, base, unit, units)
            }
        };
        // Each run of blocks has lists of its own; elsewhere parts share them.
        let run = if self.runs_apart() {
            slice.parts.start
        } else {
            0
        };
        let lists = operands.weights.lists(problem.transposed.w, run);
        let index_bytes = extent.index_bytes(problem.transposed.w);
        let indices = match operands.weights {
            Weights::Dense(_) => None,
            Weights::Nm(_) if self.expansion.is_some() => None,
            Weights::Nm(nm) => Some(&nm.indices),
            Weights::Bsr(_) => lists.map(|lists| &lists.entries),
        };
        let indices =
            indices.map(|buffer| Window::new(gpu, buffer, 0, index_bytes, slice.indices.clone()));
        let x = operands.x;
        let packed = match &self.pack {
            Some(pack) => Window::whole(&pack.packed),
            None => Window::new(gpu, x.buffer(), x.offset(), 4, 0..problem.k_in as u64),
        };
        let mut buffers = vec![("packed_x", packed.binding()), ("w", w.binding())];
        buffers.extend(indices.map(|window| ("indices", window.binding())));
        buffers.extend(lists.map(|lists| ("indptr", lists.indptr.as_entire_binding())));
        buffers.extend(lists.map(|lists| ("order", lists.order.as_entire_binding())));

        // A strip may be longer than w: it is the only one then.
        let strip_rows = extent.strip_rows.min(problem.n_out);
        let row_tiles = strips.len() * strip_rows.div_ceil(self.chosen.rows());
        let panels = tokens.len().div_ceil(self.chosen.panel());
        let steps = self.steps();
        let mut params = MatmulParams {
            row_tiles: word(row_tiles),
            strips: word(strips.len()),
            first_strip: word(strips.start),
            // Behind the order of all lists come their own numbers, for slices of them.
            order_first: if slice.whole { 0 } else { word(extent.lists()) },
            panels: word(panels),
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            n_out: word(problem.n_out),
            k_in: word(problem.k_in),
            packed_rows: word(self.packed_rows),
            zero_row: word(self.packed_rows.saturating_sub(1)),
            steps: word(self.steps_of_strip()),
            parts: word(self.parts),
            first_part: word(slice.parts.start),
            weight_stride: word(self.weight_stride()),
            words_per_strip: match operands.weights {
                Weights::Nm(nm) => word(nm.words_per_strip),
                _ => 0,
            },
            w_first: relative(w.first, 1, w_base),
            indices_first: indices.map_or(0, |window| window.first),
            ..MatmulParams::default()
        };
        let mut windows = Vec::new();
        if let Some(finish) = &self.finish {
            params.y_stride = word(sums_stride(problem, self.chunk_tokens));
            params.part_stride = word(self.chunk_tokens * problem.n_out);
            params.y_first = word(if problem.transposed.y {
                tokens.start
            } else {
                tokens.start * problem.n_out
            });
            if self.runs_apart() {
                // The whole of its lists, into the sums of its part.
                (params.parts, params.first_part) = (1, 0);
                let begin = params.part_stride.wrapping_mul(word(run));
                params.y_first = params.y_first.wrapping_sub(begin);
            }
            windows.push(("y", Window::whole(&finish.sums)));
        } else {
            let rows = extent.rows(strips);
            let elements = y_elements(problem, &rows, tokens);
            let ends = self.y_windows(operands, chunk.item, elements, &mut windows);
            (params.y_first, params.residual_first) = ends;
            params.y_stride = word(y_stride(problem));
            params.alpha = problem.epilogue.alpha.to_bits();
            params.beta = problem.epilogue.addend.beta().to_bits();
        }
        buffers.extend(
            windows
                .iter()
                .map(|(name, window)| (*name, window.binding())),
        );
        let weights = self.weights_of_step() * steps.max(1);
        let fmas = weights as u64 * (self.chosen.rows() * self.chosen.panel()) as u64;
        dispatch(
            gpu,
            pass,
            &self.main,
            params,
            &buffers,
            word(row_tiles * panels * slice.parts.len()),
            fmas,
        );
    }

    /// y, residual and bias of `elements` of an item, where the first two start.
    fn y_windows<'a>(
        &'a self,
        operands: &Operands<'a>,
        item: usize,
        elements: Range<usize>,
        windows: &mut Vec<(&'static str, Window<'a>)>,
    ) -> (u32, u32) {
        let base = (item * self.problem.tokens * self.problem.n_out) as u64;
        let units = base + elements.start as u64..base + elements.end as u64;
        let window = |tensor: &'a crate::GpuTensor, units| {
            let (buffer, unit) = (tensor.buffer(), tensor.dtype().bytes() as u64);
            Window::new(&self.gpu, buffer, tensor.offset(), unit, units)
        };
        let y = window(operands.y, units.clone());
        windows.push(("y", y));
        let residual = operands.extras.residual.map(|r| window(r, units));
        windows.extend(residual.map(|r| ("residual", r)));
        let bias = operands.extras.bias;
        windows.extend(bias.map(|b| ("bias", window(b, 0..self.problem.n_out as u64))));
        (
            relative(y.first, 1, base),
            residual.map_or(0, |r| relative(r.first, 1, base)),
        )
    }

    fn record_finish(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
        chunk: &Chunk,
        parts: usize,
    ) {
        let Some(finish) = &self.finish else { return };
        let problem = &self.problem;
        let (n_out, tokens) = (problem.n_out, &chunk.tokens);
        // Runs of neighbours in y: all of the chunk, or its part of each row of a transposed y.
        let part_of_rows = problem.transposed.y && tokens.len() < problem.tokens;
        let rows_at_once = if problem.transposed.y {
            let row_bytes = 4 * problem.tokens as u64;
            let fit = usize::try_from(window_bytes(&self.gpu) / row_bytes).unwrap_or(usize::MAX);
            fit.max(1)
        } else {
            n_out
        };
        for first_row in (0..n_out).step_by(rows_at_once) {
            let rows = first_row..(first_row + rows_at_once).min(n_out);
            let elements = y_elements(problem, &rows, tokens);
            let stride = sums_stride(problem, self.chunk_tokens);
            let (lines, line) = if part_of_rows {
                (rows.len(), tokens.len())
            } else {
                (1, elements.len())
            };
            let mut windows = Vec::new();
            let (y_first, residual_first) =
                self.y_windows(operands, chunk.item, elements.clone(), &mut windows);
            // Pairs are words of y.
            let begin = chunk.item * problem.tokens * n_out + elements.start;
            let halves = operands.y.dtype().bytes() == 2;
            let shift = usize::from(halves && !begin.is_multiple_of(2));
            let line_pairs = (line + shift).div_ceil(2);
            let sums = Window::whole(&finish.sums);
            let params = FinishParams {
                line: word(line),
                line_pairs: word(line_pairs),
                pairs: word(lines * line_pairs),
                line_stride: word(problem.tokens),
                sums_stride: word(stride),
                sums_begin: word(rows.start * stride),
                y_begin: word(elements.start),
                shift: word(shift),
                parts: word(parts),
                part_stride: word(self.chunk_tokens * n_out),
                n_out: word(n_out),
                y_stride: word(y_stride(problem)),
                y_first,
                residual_first,
                alpha: problem.epilogue.alpha.to_bits(),
                beta: problem.epilogue.addend.beta().to_bits(),
                ..FinishParams::default()
            };
            windows.push(("sums", sums));
            let buffers: Vec<_> = windows
                .iter()
                .map(|(name, window)| (*name, window.binding()))
                .collect();
            let groups = word((lines * line_pairs).div_ceil(64));
            let work = 64 * (1 + parts as u64);
            dispatch(
                &self.gpu,
                pass,
                &finish.kernel,
                params,
                &buffers,
                groups,
                work,
            );
        }
    }
}

/// From the first to behind the last element of these rows of w and these tokens in an item of y.
fn y_elements(problem: &MatmulProblem, rows: &Range<usize>, tokens: &Range<usize>) -> Range<usize> {
    if problem.transposed.y {
        rows.start * problem.tokens + tokens.start
            ..rows.end.saturating_sub(1) * problem.tokens + tokens.end
    } else {
        tokens.start * problem.n_out..tokens.end * problem.n_out
    }
}

/// What a kernel subtracts from the number of an element of an item to find it in a window that starts with unit `first` of the whole
/// operand: differences of u32 may wrap around.
#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers of elements are below 2^32, as check_sizes demands"
)]
const fn relative(first: u32, unit_elements: u64, item_base: u64) -> u32 {
    (first as u64 * unit_elements).wrapping_sub(item_base) as u32
}
