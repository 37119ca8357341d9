//! Activations into panels in scratch memory: of products, and of the gradients of sparse weights.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::{PackHalvesKernel, PackKernel};

use crate::counting::word;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::params::PackParams;
use crate::window::Window;
use crate::{Error, Gpu, GpuTensor};

/// What is packed, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub(crate) input: DType,
    /// f32, or the half-width input as it is.
    pub(crate) packed: DType,
    /// Elements of a row of x as it lies.
    pub(crate) row: usize,
    /// x is `[k_in, tokens]`.
    pub(crate) transposed: bool,
    /// Tokens of a panel.
    pub(crate) panel: usize,
}

/// The kernel that packs.
#[derive(Debug)]
pub(crate) struct Packer {
    kernel: Arc<CompiledKernel>,
    /// Elements of what the kernel loads x in.
    unit: u64,
    panel: usize,
    tile_tokens: usize,
    /// Columns that one workgroup moves.
    pub(crate) tile_k: usize,
}

/// Elements of x, counted from `base`.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked<'a> {
    pub(crate) x: &'a GpuTensor,
    pub(crate) base: usize,
    pub(crate) elements: Range<usize>,
}

impl Packer {
    pub(crate) async fn new(gpu: &Gpu, packing: Packing) -> Result<Self, Error> {
        let Packing {
            transposed, panel, ..
        } = packing;
        let vector_input = packing.row.is_multiple_of(4);
        let reads_lines = gpu.is_software();
        let (kernel, tile_tokens, tile_k) = if packing.packed == DType::F32 {
            let packing = PackKernel {
                input: storage(packing.input),
                vector_input,
                transposed,
                panel,
                reads_lines,
            };
            let kernel = gpu.compile(&packing).await?;
            (kernel, packing.tile_tokens(), packing.tile_k())
        } else {
            let packing = PackHalvesKernel {
                vector_input,
                transposed,
                panel,
                reads_lines,
            };
            let kernel = gpu.compile(&packing).await?;
            (kernel, packing.tile_tokens(), packing.tile_k())
        };
        Ok(Self {
            kernel,
            unit: if vector_input { 4 } else { 1 },
            panel,
            tile_tokens,
            tile_k,
        })
    }

    /// Packs columns `k` of the tokens from `params.token_begin` to `params.token_end` into whole panels. What of `params` follows from these is filled in.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        unpacked: &Unpacked<'_>,
        packed: &wgpu::Buffer,
        k: &Range<usize>,
        params: PackParams,
    ) -> Result<(), Error> {
        let Unpacked { x, base, elements } = unpacked;
        let base = *base as u64;
        let [begin, end] = [elements.start, elements.end].map(|at| base + at as u64);
        let units = begin / self.unit..end.div_ceil(self.unit);
        let unit_bytes = self.unit * x.dtype().bytes() as u64;
        let window = Window::new(gpu, x.buffer(), x.offset(), unit_bytes, units);
        let k_tiles = k.len().div_ceil(self.tile_k);
        let tokens = (params.token_end - params.token_begin) as usize;
        let params = PackParams {
            k_tiles: word(k_tiles),
            k_begin: word(k.start),
            x_first: window.first_in_item(self.unit, base),
            ..params
        };
        let buffers = [
            ("x", window.binding()),
            ("packed", packed.as_entire_binding()),
        ];
        let slots = tokens.next_multiple_of(self.panel);
        let groups = word(k_tiles * (slots / self.tile_tokens));
        dispatch(gpu, pass, &self.kernel, params, &buffers, groups, 1024)
    }
}
