//! N:M weights as dense ones in scratch memory, for products whose kernel is the dense one.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::{DType, Nm};
use sparse_shaders::ExpandWeightsKernel;

use super::layout::{weight_row, weight_unit};
use super::word;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::params::ExpandParams;
use crate::sparse::GpuNm;
use crate::window::{Window, window_bytes};
use crate::{Error, Gpu};

/// Scratch memory for expanded weights is kept below this; more rows go some at a time.
const MOST_BYTES: u64 = 64 << 20;

/// The kernel that expands, and where to.
#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) kernel: Arc<CompiledKernel>,
    /// Rows of `fours` times four elements.
    pub(super) dense: wgpu::Buffer,
    k_in: usize,
    dtype: DType,
    /// Elements of what the kernel loads stored weights in, and of a row of those.
    unit: usize,
    row: usize,
}

impl Expansion {
    /// For weights `[n_out, k_in]`, expanded in multiples of `strip_rows` rows.
    pub(super) async fn plan(
        gpu: &Gpu,
        pattern: Nm,
        [n_out, k_in]: [usize; 2],
        dtype: DType,
        strip_rows: usize,
    ) -> Result<Self, Error> {
        let kernel = ExpandWeightsKernel {
            n: pattern.n(),
            m: pattern.m(),
            v: pattern.v(),
            index_bits: pattern.index_bits(),
            weight: storage(dtype),
        };
        let row_bytes = (k_in.next_multiple_of(4) * dtype.bytes()) as u64;
        let strip = row_bytes.saturating_mul(strip_rows as u64);
        let all = row_bytes.saturating_mul(n_out as u64);
        let most = MOST_BYTES.min(window_bytes(gpu)).max(strip);
        Ok(Self {
            dense: gpu.allocate(
                "expanded weights",
                all.min(most),
                wgpu::BufferUsages::STORAGE,
            )?,
            k_in,
            dtype,
            unit: weight_unit(kernel.walk()),
            row: weight_row(kernel.walk(), n_out, k_in),
            kernel: gpu.compile(&kernel).await?,
        })
    }

    /// Whether so many rows can be expanded at once.
    pub(super) fn holds(&self, gpu: &Gpu, rows: usize) -> bool {
        let bytes = |row: usize| (rows * row * self.dtype.bytes()) as u64;
        bytes(self.k_in.next_multiple_of(4)) <= self.dense.size()
            && bytes(self.row) <= window_bytes(gpu)
    }

    /// Fills the scratch memory with `rows` of w, whose indices are words `indices`.
    pub(super) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        nm: &GpuNm,
        rows: &Range<usize>,
        indices: Range<u64>,
    ) {
        let fours = self.k_in.div_ceil(4);
        let groups_per_row = self.k_in.div_ceil(ExpandWeightsKernel::COLUMNS);
        let row_units = (self.row / self.unit) as u64;
        let units = rows.start as u64 * row_units..rows.end as u64 * row_units;
        let w = Window::new(
            gpu,
            &nm.values,
            0,
            (self.unit * self.dtype.bytes()) as u64,
            units,
        );
        let indices = Window::new(gpu, &nm.indices, 0, 4, indices);
        let params = ExpandParams {
            groups_per_row: word(groups_per_row),
            fours: word(fours),
            row_begin: word(rows.start),
            k_in: word(self.k_in),
            weight_stride: word(self.row / 4),
            words_per_strip: word(nm.words_per_strip),
            w_first: w.first,
            indices_first: indices.first,
            ..ExpandParams::default()
        };
        let buffers = [
            ("dense", self.dense.as_entire_binding()),
            ("w", w.binding()),
            ("indices", indices.binding()),
        ];
        dispatch(
            gpu,
            pass,
            &self.kernel,
            params,
            &buffers,
            word(rows.len() * groups_per_row),
            1024,
        );
    }
}
