//! Queries whose keys are attended to in parts: their sums, and a second kernel that puts them together.

use std::sync::Arc;

use sparse_shaders::AttentionMergeKernel;

use super::params::MergeParams;
use crate::counting::word;
use crate::dispatch::{Recorder, dispatch};
use crate::kernel::CompiledKernel;
use crate::window::Window;
use crate::{Error, Gpu};

/// The second kernel, and what the first leaves for it.
#[derive(Debug)]
pub(crate) struct Merge {
    description: AttentionMergeKernel,
    kernel: Arc<CompiledKernel>,
    parts: usize,
    /// f32 `[rows, parts, head_dim]`.
    pub(crate) sums: wgpu::Buffer,
    /// Highest score and sum of weights, `[rows, parts, 2]`.
    pub(crate) statistics: wgpu::Buffer,
}

impl Merge {
    /// For at most `rows` queries of all heads at once, each in `parts` parts.
    pub(crate) async fn plan(
        gpu: &Gpu,
        description: AttentionMergeKernel,
        rows: usize,
        parts: usize,
    ) -> Result<Self, Error> {
        let all = rows as u64 * parts as u64;
        let sums = all * Self::bytes_of_sums(description.head_dim);
        Ok(Self {
            description,
            kernel: gpu.compile(&description).await?,
            parts,
            sums: gpu.allocate("sums of parts", sums, wgpu::BufferUsages::STORAGE)?,
            statistics: gpu.allocate(
                "statistics of parts",
                8 * all,
                wgpu::BufferUsages::STORAGE,
            )?,
        })
    }

    /// Bytes of the larger of both for a part of a query.
    pub(crate) const fn bytes_of_sums(head_dim: usize) -> u64 {
        if head_dim < 2 { 8 } else { 4 * head_dim as u64 }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sums.size() + self.statistics.size()
    }

    /// Writes the rows that `params` names to `out` and `lse`; it need not name `parts` or where windows start.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        recorder: &mut impl Recorder,
        params: MergeParams,
        out: Window<'_>,
        lse: Window<'_>,
    ) -> Result<(), Error> {
        let params = MergeParams {
            parts: word(self.parts),
            out_first: out.first,
            lse_first: lse.first,
            ..params
        };
        let buffers = [
            ("sums", self.sums.as_entire_binding()),
            ("statistics", self.statistics.as_entire_binding()),
            ("out", out.binding()),
            ("lse", lse.binding()),
        ];
        let groups = word(self.description.groups(params.rows as usize));
        let fmas = 256 * self.parts as u64;
        dispatch(gpu, recorder, &self.kernel, params, &buffers, groups, fmas)
    }
}
