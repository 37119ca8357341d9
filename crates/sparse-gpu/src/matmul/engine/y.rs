//! Binding y, and what the epilogue reads.

use std::ops::Range;

use super::record::{Chunk, Recording};
use crate::GpuTensor;
use crate::window::Window;

/// Some elements of an item of y, and what is added to them.
pub(super) struct BoundY<'a> {
    /// y, residual and bias, as far as there are such.
    pub(super) windows: Vec<(&'static str, Window<'a>)>,
    /// What a kernel subtracts from the number of an element of the item to find it in the window of y, and in that of the residual.
    pub(super) y_first: u32,
    pub(super) residual_first: u32,
}

impl<'a> Recording<'a> {
    /// Binds the elements of `rows` of w and the tokens of `chunk`.
    pub(super) fn bind_y(&self, rows: &Range<usize>, chunk: &Chunk) -> BoundY<'a> {
        let problem = &self.schedule.problem;
        let (elements, extras) = (self.y_elements(rows, chunk), self.operands.extras);
        let base = (chunk.item * problem.tokens * problem.n_out) as u64;
        let units = base + elements.start as u64..base + elements.end as u64;
        let y = self.window(self.operands.y, units.clone());
        let residual = extras.residual.map(|tensor| self.window(tensor, units));
        let bias = extras
            .bias
            .map(|tensor| self.window(tensor, 0..problem.n_out as u64));
        let mut windows = vec![("y", y)];
        windows.extend(residual.map(|window| ("residual", window)));
        windows.extend(bias.map(|window| ("bias", window)));
        BoundY {
            windows,
            y_first: y.first_in_item(1, base),
            residual_first: residual.map_or(0, |window| window.first_in_item(1, base)),
        }
    }

    /// From the first to behind the last element of `rows` of w and the tokens of `chunk` in an item of y.
    pub(super) fn y_elements(&self, rows: &Range<usize>, chunk: &Chunk) -> Range<usize> {
        let (problem, tokens) = (&self.schedule.problem, &chunk.tokens);
        if problem.transposed.y {
            rows.start * problem.tokens + tokens.start
                ..rows.end.saturating_sub(1) * problem.tokens + tokens.end
        } else {
            tokens.start * problem.n_out..tokens.end * problem.n_out
        }
    }

    fn window(&self, tensor: &'a GpuTensor, elements: Range<u64>) -> Window<'a> {
        let (buffer, bytes) = (tensor.buffer(), tensor.dtype().bytes() as u64);
        Window::new(self.gpu, buffer, tensor.offset(), bytes, elements)
    }
}
