//! N:M weights as dense ones in scratch memory, for products whose kernel is the dense one.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_shaders::{ExpandWeightsKernel, Walk};

use super::schedule::Schedule;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::matmul::choose::expansion_bytes;
use crate::matmul::layout::{dense_bytes, rows_of_a_pattern, weight_row_len, weight_unit};
use crate::matmul::params::ExpandParams;
use crate::matmul::weights::Format;
use crate::nm::GpuNm;
use crate::window::{Window, window_bytes};
use crate::{Error, Gpu};

/// The kernel that expands, and where to.
#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) kernel: Arc<CompiledKernel>,
    /// Rows of `fours` times four elements.
    pub(super) dense: wgpu::Buffer,
    columns: usize,
    dtype: DType,
    /// Elements of what the kernel loads stored weights in, and of a row of those.
    unit: usize,
    row: usize,
}

impl Expansion {
    /// Where the schedule walks N:M weights as dense ones: all rows of a transposed w at once, else as many as a multiple of a tile has.
    pub(super) async fn plan(gpu: &Gpu, schedule: &Schedule) -> Result<Option<Self>, Error> {
        let problem = &schedule.problem;
        let Format::Nm { pattern } = problem.format else {
            return Ok(None);
        };
        let (rows, columns, at_once) = match schedule.walk {
            Walk::Dense { .. } => (problem.n_out, problem.k_in, schedule.kernel.rows()),
            Walk::DenseTransposed { .. } => (problem.k_in, problem.n_out, problem.k_in),
            _ => return Ok(None),
        };
        let dtype = problem.types.w;
        let kernel = ExpandWeightsKernel {
            n: pattern.n(),
            m: pattern.m(),
            v: rows_of_a_pattern(pattern.v(), rows),
            index_bits: pattern.index_bits(),
            weight: storage(dtype),
        };
        let most = expansion_bytes(gpu).max(dense_bytes(at_once, columns, dtype));
        Ok(Some(Self {
            dense: gpu.allocate(
                "expanded weights",
                dense_bytes(rows, columns, dtype).min(most),
                wgpu::BufferUsages::STORAGE,
            )?,
            columns,
            dtype,
            unit: weight_unit(kernel.walk()),
            row: weight_row_len(kernel.walk(), rows, columns),
            kernel: gpu.compile(&kernel).await?,
        }))
    }

    /// Whether so many rows can be expanded at once.
    pub(super) fn holds(&self, gpu: &Gpu, rows: usize) -> bool {
        let stored = (rows * self.row * self.dtype.bytes()) as u64;
        dense_bytes(rows, self.columns, self.dtype) <= self.dense.size()
            && stored <= window_bytes(gpu)
    }

    /// Fills the scratch memory with `rows` of w, whose indices are words `indices`.
    pub(super) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        nm: &GpuNm,
        rows: &Range<usize>,
        indices: Range<u64>,
    ) -> Result<(), Error> {
        let fours = self.columns.div_ceil(4);
        let groups_per_row = self.columns.div_ceil(ExpandWeightsKernel::COLUMNS);
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
            columns: word(self.columns),
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
        )
    }
}
