//! How many tokens can be summed at once.

use super::Sampled;
use crate::window::{alignment, fit_in_window, rows_between_offsets, window_bytes};
use crate::{Error, Gpu};

impl Sampled {
    /// Tokens of which dy and x can each be bound at once and whose products one loop can sum. All of them, or as many as let every chunk
    /// start where a binding may.
    pub(crate) fn chunk_tokens(&self, gpu: &Gpu) -> Result<usize, Error> {
        // Nothing is recorded for a result without elements.
        if !self.has_elements() {
            return Ok(self.tokens);
        }
        // Four tokens a round, and up to three after them.
        let loops = gpu.longest_loop().saturating_sub(3).saturating_mul(4);
        let (mut fit, mut step) = (loops, 1);
        for (cols, dtype) in [(self.n_out, self.types.y), (self.k_in, self.types.x)] {
            let row_bytes = cols as u64 * dtype.bytes() as u64;
            fit = fit.min(fit_in_window(gpu, row_bytes));
            step = step.max(rows_between_offsets(alignment(gpu), row_bytes));
        }
        if self.tokens <= fit {
            return Ok(self.tokens);
        }
        let chunk = fit / step * step;
        if chunk > 0 {
            return Ok(chunk);
        }
        Err(Error::Unavailable {
            what: format!(
                "{}: {} tokens with n_out = {} and k_in = {}",
                self.operation, self.tokens, self.n_out, self.k_in
            ),
            needs: format!("bindings that hold {step} rows of dy and of x"),
            has: format!("bindings of {} bytes", window_bytes(gpu)),
            hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or split n_out or k_in".to_owned(),
        })
    }
}
