//! The order in which an attention takes its rows of blocks: by position, or the heaviest first.

use std::sync::Arc;

use sparse_shaders::{RowOrderKernel, RowWeightsKernel};

use super::params::{AttentionParams, RowOrderParams};
use crate::counting::word;
use crate::dispatch::{Recorder, dispatch};
use crate::kernel::CompiledKernel;
use crate::{Error, Gpu, GpuTensor};

/// In which order the rows of blocks of an attention start. The results do not depend on it, only how long the device waits for the
/// last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowOrder {
    /// Last rows first, which have the most keys where attention is causal. Costs nothing.
    ByPosition,
    /// Those with the most selected blocks first: two short kernels count and sort them each time, before the attention, because the mask
    /// may be one that the same pass has made. Few queries that visit all blocks, or whose heads are rows of one workgroup (as where they share a
    /// mask), start by position all the same; `explain()` says so.
    ByWeight,
}

/// Rows below which sorting them is not worth two more dispatches.
pub(crate) const FEWEST_ROWS: usize = 32;

/// The kernels that sort rows of blocks, and what they write.
#[derive(Debug)]
pub(crate) struct RowSort {
    weigh: Arc<CompiledKernel>,
    sort: Arc<CompiledKernel>,
    weights: wgpu::Buffer,
    pub(crate) list: wgpu::Buffer,
    /// Key blocks of the longest row.
    k_blocks: usize,
    /// Parts that the rows are dealt out to.
    parts: usize,
}

impl RowSort {
    /// For slices of at most `rows` rows of `k_blocks` blocks.
    pub(crate) async fn plan(
        gpu: &Gpu,
        weigh: &RowWeightsKernel,
        rows: usize,
        k_blocks: usize,
    ) -> Result<Self, Error> {
        let bytes = 4 * rows as u64;
        Ok(Self {
            weigh: gpu.compile(weigh).await?,
            sort: gpu.compile(&RowOrderKernel::DEFAULT).await?,
            weights: gpu.allocate("weights of rows", bytes, wgpu::BufferUsages::STORAGE)?,
            list: gpu.allocate("order of rows", bytes, GpuTensor::USAGES)?,
            k_blocks,
            parts: parts(gpu),
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.weights.size() + self.list.size()
    }

    /// Sorts the `rows` rows of a slice, whose attention has `params` and binds `walk`; `rows_together` neighbouring ones stay together.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        recorder: &mut impl Recorder,
        params: AttentionParams,
        walk: &[(&str, wgpu::BindingResource<'_>)],
        rows: u32,
        rows_together: u32,
    ) -> Result<(), Error> {
        let mut buffers = vec![("weights", self.weights.as_entire_binding())];
        buffers.extend_from_slice(walk);
        let group = word(RowWeightsKernel::ROWS);
        // A visited block is a few instructions of one invocation.
        let fmas = u64::from(group) * self.k_blocks as u64;
        dispatch(
            gpu,
            recorder,
            &self.weigh,
            params,
            &buffers,
            rows.div_ceil(group),
            fmas,
        )?;
        let bins = RowOrderKernel::DEFAULT.bins;
        let order = RowOrderParams {
            rows,
            rows_together,
            shift: (0..32)
                .find(|&shift| self.k_blocks >> shift < bins)
                .unwrap_or(31),
            parts: u32::try_from(self.parts.min(bins)).unwrap_or(1),
            ..RowOrderParams::default()
        };
        let buffers = [
            ("weights", self.weights.as_entire_binding()),
            ("work_list", self.list.as_entire_binding()),
        ];
        let groups = rows.div_ceil(rows_together.max(1));
        let fmas = 64 * u64::from(rows_together);
        dispatch(gpu, recorder, &self.sort, order, &buffers, groups, fmas)
    }
}

/// Parts that sorted work is dealt out to: one for each thread of a driver that gives every thread its share of a dispatch beforehand.
pub(crate) fn parts(gpu: &Gpu) -> usize {
    if gpu.is_software() {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        1
    }
}
