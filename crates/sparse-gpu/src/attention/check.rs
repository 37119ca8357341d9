//! Rules that all attention problems share.

use sparse_core::attention::HeadKind;
use sparse_shaders::MAX_HEAD_DIM;

use super::record::Operands;
use crate::{Error, GpuMask};

/// The kernels count tokens up to the end of a block in 32 bits.
const LONGEST_BLOCK: usize = 1 << 30;

/// Head dimension, block and kinds of heads.
pub(crate) fn numbers(
    operation: &'static str,
    head_dim: usize,
    block: usize,
    kinds: Option<&[HeadKind]>,
    q_heads: usize,
    masked: bool,
) -> Result<(), Error> {
    if head_dim > MAX_HEAD_DIM {
        let reason = format!("head_dim is {head_dim}; the kernels take 1 to {MAX_HEAD_DIM}");
        return Err(Error::invalid(operation, reason));
    }
    if block == 0 || !block.is_multiple_of(16) || block > LONGEST_BLOCK {
        let reason =
            format!("block is {block}; possible are multiples of 16: 16, 32, 64, 128, .. 2^30");
        return Err(Error::invalid(operation, reason));
    }
    if let Some(kinds) = kinds {
        HeadKind::check_all(kinds, q_heads, masked)
            .map_err(|e| Error::invalid(operation, e.to_string()))?;
    }
    Ok(())
}

/// Refuses operands whose elements the kernels cannot count.
pub(crate) fn countable(
    operation: &'static str,
    operands: &[(&str, &[usize])],
) -> Result<(), Error> {
    for (name, shape) in operands {
        let elements = shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m));
        if elements.is_none_or(|n| u32::try_from(n).is_err()) {
            let sizes: Vec<_> = shape.iter().map(ToString::to_string).collect();
            let reason = format!(
                "{name} is {}; an operand has at most 2^32 - 1 elements, split the batch",
                sizes.join(" x ")
            );
            return Err(Error::invalid(operation, reason));
        }
    }
    Ok(())
}

impl Operands<'_> {
    /// A mask where one was planned, of the planned shape.
    pub(crate) fn check_mask(
        &self,
        operation: &'static str,
        masked: bool,
        expected: [usize; 4],
    ) -> Result<(), Error> {
        if masked != self.mask.is_some() {
            let word = |with: bool| if with { "with" } else { "without" };
            return Err(Error::OperandMismatch {
                operation,
                tensor: "a mask",
                planned: word(masked),
                given: word(!masked),
            });
        }
        match self.mask.map(GpuMask::shape) {
            Some(actual) if actual != expected => Err(Error::ShapeMismatch {
                operation,
                tensor: "mask",
                expected: expected.to_vec(),
                actual: actual.to_vec(),
            }),
            _ => Ok(()),
        }
    }

    /// Results never replace an operand, nor each other.
    pub(crate) fn check_aliases(&self, operation: &'static str) -> Result<(), Error> {
        let read = [
            ("q", Some(self.q.buffer())),
            ("k", Some(self.k.buffer())),
            ("v", Some(self.v.buffer())),
            ("the mask", self.mask.map(|mask| &mask.words)),
        ];
        let aliased = |output, input| Error::Aliased {
            operation,
            output,
            input,
        };
        for (output, written) in [("out", self.out), ("lse", self.lse)] {
            let shared =
                |&(_, buffer): &(_, Option<&wgpu::Buffer>)| buffer == Some(written.buffer());
            if let Some(&(input, _)) = read.iter().find(|operand| shared(operand)) {
                return Err(aliased(output, input));
            }
        }
        if self.out.buffer() == self.lse.buffer() {
            return Err(aliased("out", "lse"));
        }
        Ok(())
    }
}
