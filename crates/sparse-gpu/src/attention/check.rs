//! Rules that all attention problems share.

use sparse_core::DType;
use sparse_core::attention::HeadKind;
use sparse_shaders::MAX_HEAD_DIM;

use super::record::Operands;
use crate::operand::refuse_aliases;
use crate::{AttentionTypes, Error, Gpu};

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

/// Room for keys, where it is not that of the keys there are.
pub(crate) fn capacity(
    operation: &'static str,
    k_capacity: Option<usize>,
    k_len: usize,
) -> Result<(), Error> {
    match k_capacity {
        Some(capacity) if capacity < k_len => {
            let reason = format!(
                "k_capacity is {capacity} where k_len is {k_len}; k and v have room for k_len tokens or more"
            );
            Err(Error::invalid(operation, reason))
        }
        _ => Ok(()),
    }
}

/// Words of 32 blocks of a mask of `shape`, as kernels index them; none where no mask is given.
pub(crate) fn mask_words(masked: bool, [batch, heads, rows, blocks]: [usize; 4]) -> [usize; 4] {
    if masked {
        [batch, heads, rows, blocks.div_ceil(32)]
    } else {
        [0; 4]
    }
}

impl Operands<'_> {
    /// q, k, v, out and lse, of the planned shapes and types.
    pub(crate) fn check_tensors(
        &self,
        gpu: &Gpu,
        operation: &'static str,
        types: AttentionTypes,
        [q_shape, kv_shape, lse_shape]: [&[usize]; 3],
    ) -> Result<(), Error> {
        self.q.expect(gpu, operation, "q", q_shape, types.q)?;
        self.k.expect(gpu, operation, "k", kv_shape, types.k)?;
        self.v.expect(gpu, operation, "v", kv_shape, types.v)?;
        self.out.expect(gpu, operation, "out", q_shape, types.out)?;
        self.lse
            .expect(gpu, operation, "lse", lse_shape, DType::F32)
    }

    /// A mask where one was planned, of the planned shape.
    pub(crate) fn check_mask(
        &self,
        gpu: &Gpu,
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
        self.mask
            .map_or(Ok(()), |mask| mask.expect(gpu, operation, expected))
    }

    /// What is written before the attention, of the plan's own, never replaces an input that the attention reads.
    pub(crate) fn check_inputs(
        &self,
        operation: &'static str,
        written: (&'static str, &wgpu::Buffer),
    ) -> Result<(), Error> {
        refuse_aliases(operation, written, &self.inputs())
    }

    fn inputs(&self) -> [(&'static str, &wgpu::Buffer); 3] {
        [
            ("q", self.q.buffer()),
            ("k", self.k.buffer()),
            ("v", self.v.buffer()),
        ]
    }

    /// Results never replace an operand, one of the plan's `own` buffers, nor each other.
    pub(crate) fn check_aliases(
        &self,
        operation: &'static str,
        own: &[(&'static str, &wgpu::Buffer)],
    ) -> Result<(), Error> {
        let mut read = self.inputs().to_vec();
        read.extend(self.mask.map(|mask| ("the mask", &mask.words)));
        read.extend_from_slice(own);
        refuse_aliases(operation, ("lse", self.lse.buffer()), &read)?;
        read.push(("lse", self.lse.buffer()));
        refuse_aliases(operation, ("out", self.out.buffer()), &read)
    }
}
