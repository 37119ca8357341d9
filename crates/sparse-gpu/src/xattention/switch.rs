//! The device chooses between two attention kernels: blocks counted, grids written, dispatches that read them.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::xattention::XAttentionLayout;
use sparse_shaders::{XAttentionCountKernel, XAttentionDecideKernel};

use super::OPERATION;
use super::params::{CountParams, DecideParams};
use crate::attention::record::Operands;
use crate::counting::word;
use crate::dispatch::{Grids, Indirect, Recorder, dispatch};
use crate::kernel::CompiledKernel;
use crate::ops::BlockAttentionPlan;
use crate::window::{Window, fit_in_window};
use crate::{Error, Gpu, GpuMask, GpuTensor};

/// A planned choice.
#[derive(Debug)]
pub(crate) struct Switch {
    gpu: Gpu,
    layout: XAttentionLayout,
    count: Arc<CompiledKernel>,
    decide: Arc<CompiledKernel>,
    /// The heads of the mask that the sparse query heads of all items follow: their blocks decide.
    heads: wgpu::Buffer,
    head_count: usize,
    counts: wgpu::Buffer,
    /// Selected blocks, and 1 where the dense kernel ran, of the last recording that has run.
    decision: wgpu::Buffer,
    limit: u32,
}

/// What a buffer of grids is for: the device writes them, and reads them when it dispatches.
const GRIDS: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::INDIRECT);

/// Whether the device can read the grid of a dispatch from a buffer: a buffer for that purpose is refused where it cannot.
pub(crate) async fn is_indirect_possible(gpu: &Gpu) -> bool {
    let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
    let _ = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("grids"),
        size: 16,
        usage: GRIDS,
        mapped_at_creation: false,
    });
    scope.pop().await.is_none()
}

/// Whether the one workgroup that decides runs its loops to their ends.
fn check_decision(gpu: &Gpu, heads: usize, dispatches: usize) -> Result<(), Error> {
    gpu.check_loops(
        format!("{OPERATION} of {heads} heads that decide"),
        XAttentionDecideKernel.loop_rounds(heads, dispatches),
    )
}

impl Switch {
    /// For a problem whose sparse attention pays below a density of `efficiency`.
    pub(crate) async fn plan(
        gpu: &Gpu,
        layout: &XAttentionLayout,
        efficiency: f64,
    ) -> Result<Self, Error> {
        let [batch, mask_heads, q_blocks, k_blocks] = layout.mask_shape();
        let (shape, options) = (layout.shape(), layout.options());
        let group = options.mask_heads.group_size(&shape);
        let heads: Vec<u32> = (0..batch * shape.q_heads())
            .filter(|head| options.is_sparse(head % shape.q_heads()))
            .map(|head| word(head / group))
            .collect();
        let words = q_blocks.saturating_mul(k_blocks.div_ceil(32));
        let count = XAttentionCountKernel {
            causal: options.causal,
        };
        gpu.check_loops(
            format!("{OPERATION} of {q_blocks} x {k_blocks} blocks"),
            count.loop_rounds(words),
        )?;
        // Of all their counts, which a binding holds as long as there are no more than `MAX_HEADS`.
        check_decision(gpu, heads.len(), 0)?;
        let reachable: usize = (0..q_blocks).map(|row| layout.reachable_blocks(row)).sum();
        let bytes = 4 * (batch * mask_heads) as u64;
        Ok(Self {
            gpu: gpu.clone(),
            layout: layout.clone(),
            count: gpu.compile(&count).await?,
            decide: gpu.compile(&XAttentionDecideKernel).await?,
            limit: break_even(efficiency, heads.len() * reachable),
            head_count: heads.len(),
            heads: gpu.upload_words("sparse heads", &heads)?,
            counts: gpu.allocate("counts of blocks", bytes, wgpu::BufferUsages::STORAGE)?,
            decision: gpu.allocate("decision", 8, GpuTensor::USAGES)?,
        })
    }

    /// Bytes that the plan holds.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.heads.size() + self.counts.size() + self.decision.size()
    }

    /// The words that the device writes its decision to: a number of blocks, and 1 for dense.
    pub(crate) fn decision(&self) -> &wgpu::Buffer {
        &self.decision
    }

    /// Records both attentions, of which the device runs one. The operands have been checked.
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        mask: &GpuMask,
        [sparse, dense]: [(&BlockAttentionPlan, &Operands<'_>); 2],
    ) -> Result<(), Error> {
        let keys = self.layout.shape().k_len();
        let mut planned = Grids::default();
        sparse.0.record_checked(&mut planned, sparse.1, keys)?;
        let sparse_dispatches = planned.0.len();
        dense.0.record_checked(&mut planned, dense.1, keys)?;
        check_decision(&self.gpu, self.head_count, planned.0.len())?;
        let bytes = 12 * planned.0.len() as u64;
        let grids = self.gpu.allocate("grids", bytes, GRIDS)?;
        self.record_count(pass, mask)?;
        self.record_decide(pass, &planned, sparse_dispatches, &grids)?;
        let mut indirect = Indirect {
            pass,
            grids: &grids,
            recorded: 0,
        };
        sparse.0.record_checked(&mut indirect, sparse.1, keys)?;
        dense.0.record_checked(&mut indirect, dense.1, keys)
    }

    fn record_count(&self, pass: &mut impl Recorder, mask: &GpuMask) -> Result<(), Error> {
        let [batch, mask_heads, q_blocks, k_blocks] = self.layout.mask_shape();
        let words_per_row = mask.words_per_row();
        let words = q_blocks * words_per_row;
        // As many heads as can be bound; the attention has made sure that one can.
        let step = fit_in_window(&self.gpu, 4 * words as u64).max(1);
        for first in (0..batch * mask_heads).step_by(step) {
            let heads: Range<usize> = first..(first + step).min(batch * mask_heads);
            let range = (heads.start * words) as u64..(heads.end * words) as u64;
            let window = Window::new(&self.gpu, &mask.words, 0, 4, range);
            let params = CountParams {
                first_head: word(heads.start),
                q_blocks: word(q_blocks),
                k_blocks: word(k_blocks),
                words_per_row: word(words_per_row),
                mask_first: window.first,
                block: word(self.layout.options().block),
                q_len: word(self.layout.shape().q_len()),
                k_len: word(self.layout.shape().k_len()),
                ..CountParams::default()
            };
            let buffers = [
                ("mask_words", window.binding()),
                ("counts", self.counts.as_entire_binding()),
            ];
            let groups = word(heads.len());
            dispatch(
                &self.gpu,
                pass,
                &self.count,
                params,
                &buffers,
                groups,
                words as u64,
            )?;
        }
        Ok(())
    }

    fn record_decide(
        &self,
        pass: &mut impl Recorder,
        planned: &Grids,
        sparse_dispatches: usize,
        grids: &wgpu::Buffer,
    ) -> Result<(), Error> {
        let words: Vec<u32> = planned
            .0
            .iter()
            .enumerate()
            .flat_map(|(at, &[x, y, z])| [x, y, z, u32::from(at >= sparse_dispatches)])
            .collect();
        let storage = wgpu::BufferUsages::STORAGE;
        let grids_of_all = self.gpu.constants("planned grids", &words, storage)?;
        let params = DecideParams {
            heads: word(self.head_count),
            limit: self.limit,
            dispatches: word(planned.0.len()),
            ..DecideParams::default()
        };
        let buffers = [
            ("counts", self.counts.as_entire_binding()),
            ("counted_heads", self.heads.as_entire_binding()),
            ("planned", grids_of_all.as_entire_binding()),
            ("grids", grids.as_entire_binding()),
            ("decision", self.decision.as_entire_binding()),
        ];
        dispatch(&self.gpu, pass, &self.decide, params, &buffers, 1, 1)
    }
}

/// The number of selected blocks, of `reachable`, from which on dense attention is as fast.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cut to what u32 holds; plans refuse masks of 2^32 blocks or more"
)]
fn break_even(efficiency: f64, reachable: usize) -> u32 {
    (efficiency * reachable as f64)
        .ceil()
        .clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_blocks_than_the_break_even_density_are_sparse() {
        assert_eq!(break_even(0.5, 10), 5);
        // 5 of 11 are below a half, 6 are not.
        assert_eq!(break_even(0.5, 11), 6);
        assert_eq!(break_even(1.0, 7), 7);
        assert_eq!(break_even(0.0, 7), 0);
        assert_eq!(break_even(f64::INFINITY, 7), u32::MAX);
    }
}
