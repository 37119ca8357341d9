//! x with four tokens of a column side by side, in scratch memory.

use std::ops::Range;

use sparse_shaders::SampledReads;

use super::Sampled;
use crate::counting::word;
use crate::matmul::params::PackParams;
use crate::packing::{Packer, Packing, Unpacked};
use crate::{Error, Gpu, GpuTensor};

/// The kernel that packs, and where to.
#[derive(Debug)]
pub(super) struct PackedX {
    packer: Packer,
    pub(super) buffer: wgpu::Buffer,
}

impl Sampled {
    /// Bytes of packed x for so many tokens: half-width elements stay as they are.
    pub(super) const fn packed_bytes(&self, tokens: usize) -> u64 {
        let slots = tokens.next_multiple_of(SampledReads::PANEL) as u64;
        slots * self.k_in as u64 * self.types.x.bytes() as u64
    }
}

impl PackedX {
    /// For at most `tokens` at a time.
    pub(super) async fn plan(gpu: &Gpu, sampled: &Sampled, tokens: usize) -> Result<Self, Error> {
        let packing = Packing {
            input: sampled.types.x,
            packed: sampled.types.x,
            row: sampled.k_in,
            transposed: false,
            panel: SampledReads::PANEL,
        };
        let (bytes, usage) = (sampled.packed_bytes(tokens), wgpu::BufferUsages::STORAGE);
        Ok(Self {
            packer: Packer::new(gpu, packing).await?,
            buffer: gpu.allocate("packed x", bytes, usage)?,
        })
    }

    pub(super) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        sampled: &Sampled,
        x: &GpuTensor,
        tokens: &Range<usize>,
    ) -> Result<(), Error> {
        if tokens.is_empty() {
            return Ok(());
        }
        let k_in = sampled.k_in;
        let params = PackParams {
            token_begin: word(tokens.start),
            token_end: word(tokens.end),
            k_in: word(k_in),
            x_stride: word(k_in),
            packed_rows: word(k_in),
            ..PackParams::default()
        };
        let unpacked = Unpacked {
            x,
            base: 0,
            elements: tokens.start * k_in..tokens.end * k_in,
        };
        self.packer
            .record(gpu, pass, &unpacked, &self.buffer, &(0..k_in), params)
    }
}
