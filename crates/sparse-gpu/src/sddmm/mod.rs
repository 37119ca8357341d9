//! `dy^T x` at some elements only: what the gradients of sparse weights have in common.

mod operands;
mod packed;
mod record;
mod sums;
mod tile;
mod tokens;

pub(crate) use record::Part;
pub(crate) use sums::{SampledKernel, SampledKernels};
pub(crate) use tile::SampledTile;

use sparse_shaders::SampledResult;

use crate::Error;
use crate::error::storage;
use crate::matmul::MatmulTypes;

/// `out = alpha * dy^T x + beta * out` at the stored elements of a matrix `[n_out, k_in]`, whatever its format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    pub(crate) operation: &'static str,
    pub(crate) tokens: usize,
    pub(crate) n_out: usize,
    pub(crate) k_in: usize,
    /// `y` is of dy, `w` of the result.
    pub(crate) types: MatmulTypes,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
}

impl Sampled {
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !value.is_finite() {
                let reason = format!("{name} = {value}; it is a finite number");
                return Err(Error::invalid(self.operation, reason));
            }
        }
        // Kernels count tokens and columns in u32.
        let longest = self.tokens.max(self.n_out).max(self.k_in);
        if u32::try_from(longest).is_err() {
            let reason = format!(
                "{} tokens, n_out = {}, k_in = {}; each is at most 2^32 - 1",
                self.tokens, self.n_out, self.k_in
            );
            return Err(Error::invalid(self.operation, reason));
        }
        Ok(())
    }

    pub(crate) const fn result(&self) -> SampledResult {
        SampledResult {
            storage: storage(self.types.w),
            scaled: self.alpha != 1.0,
            accumulate: self.beta != 0.0,
        }
    }

    /// Whether the result has any element.
    pub(crate) const fn has_elements(&self) -> bool {
        self.n_out > 0 && self.k_in > 0
    }
}
