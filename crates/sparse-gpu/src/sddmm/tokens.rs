//! How many tokens can be summed at once.

use sparse_shaders::SampledReads;

use super::Sampled;
use crate::window::{fit_in, fit_in_window, window_bytes};
use crate::{Error, Gpu};

impl Sampled {
    /// Whether x is packed for the kernels: on processors, where one panel of it can be bound.
    pub(crate) fn packs(&self, gpu: &Gpu) -> bool {
        gpu.class().is_software() && self.packed_bytes(SampledReads::PANEL) <= window_bytes(gpu)
    }

    /// Tokens of which dy and x can each be bound at once and whose products one loop can sum, all of them or as many as that is.
    pub(crate) fn chunk_tokens(&self, gpu: &Gpu) -> Result<usize, Error> {
        // Nothing is recorded for a result without elements.
        if !self.has_elements() {
            return Ok(self.tokens);
        }
        // Four tokens a round, and up to three after them.
        let mut fit = gpu.longest_loop().saturating_sub(3).saturating_mul(4);
        for (cols, dtype) in [(self.n_out, self.types.y), (self.k_in, self.types.x)] {
            fit = fit.min(fit_in_window(gpu, cols as u64 * dtype.bytes() as u64));
        }
        if self.packs(gpu) {
            let panels = fit_in(window_bytes(gpu), self.packed_bytes(SampledReads::PANEL));
            fit = fit.min(panels.saturating_mul(SampledReads::PANEL));
        }
        if self.tokens <= fit {
            return Ok(self.tokens);
        }
        if fit > 0 {
            return Ok(fit);
        }
        Err(Error::Unavailable {
            what: format!(
                "{}: {} tokens with n_out = {} and k_in = {}",
                self.operation, self.tokens, self.n_out, self.k_in
            ),
            needs: "bindings that hold a row of dy and of x".to_owned(),
            has: format!("bindings of {} bytes", window_bytes(gpu)),
            hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or split n_out or k_in".to_owned(),
        })
    }
}
