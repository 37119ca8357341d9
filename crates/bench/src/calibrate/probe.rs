//! One input on the device: its scores and its dense attention are computed once, then every set of thresholds costs a selection and a
//! sparse attention.

use std::path::Path;

use sparse_core::attention::HeadKind;
use sparse_core::xattention::{Threshold, XAttentionOptions};
use sparse_core::{BlockMask, Element};
use sparse_measure::{OutputAndLse, check};

use super::{CalibrateError, HeadReach};
use crate::compare::attention::{Quality, reachable};
use crate::compare::bench::Bench;
use crate::device::{AttendRun, GpuQkv, XAttentionRun};
use crate::tensors::Qkv;

/// An input that thresholds can be tried on.
#[derive(Debug)]
pub struct Probe {
    qkv: GpuQkv,
    options: XAttentionOptions,
    run: XAttentionRun,
    dense: OutputAndLse,
    reachable: BlockMask,
}

impl Probe {
    /// Computes scores and dense attention of `qkv`, read from `path`, and checks both against the CPU.
    ///
    /// # Errors
    /// Where planning or the device fails, or computes wrong numbers.
    pub fn new<T: Element>(
        bench: &Bench,
        path: &Path,
        qkv: &Qkv,
        options: XAttentionOptions,
    ) -> anyhow::Result<Self> {
        let gpu = &bench.gpu;
        let layout = options.layout(qkv.shape)?;
        let inputs = qkv.cast::<T>();
        let on_device = GpuQkv::upload(gpu, &inputs, qkv.shape)?;
        let mut dense = AttendRun::plan(gpu, &on_device, &options.attention(), None)?;
        let mut run = XAttentionRun::plan(gpu, &on_device, &options)?;
        bench.poison_results(dense.results());
        bench.poison(run.scores());
        bench.run_once(&mut |pass| {
            dense.record(pass)?;
            run.record_score(pass)
        })?;
        let dense = dense.read(gpu)?;
        let scores = run.read_scores(gpu)?;
        let ratio = check::attention(&inputs, None, &options.attention(), &dense)?
            .worse(check::scores(&inputs, &layout, scores.data())?)
            .ratio();
        if ratio > 1.0 {
            let path = path.into();
            return Err(CalibrateError::Wrong { ratio, path }.into());
        }
        Ok(Self {
            reachable: reachable(qkv.shape, options.block, options.causal)?,
            qkv: on_device,
            options,
            run,
            dense,
        })
    }

    /// What each head of the mask gives with one threshold for each: the worst over batch items, and over the sparse query heads that
    /// share it, or all of them where none is sparse.
    ///
    /// # Errors
    /// Where planning or the device fails.
    pub fn measure(&mut self, bench: &Bench, thresholds: &[f64]) -> anyhow::Result<Vec<HeadReach>> {
        let gpu = &bench.gpu;
        self.options.threshold = Threshold::PerHead(thresholds.to_vec());
        self.run.select_by(gpu, &self.options)?;
        bench.poison_results(self.run.attend().results());
        bench.run_once(&mut |pass| {
            self.run.record_select(pass)?;
            self.run.record_attend(pass)
        })?;
        let mask = gpu.read_mask_blocking(self.run.mask())?;
        let sparse = self.run.attend().read(gpu)?;
        let shape = self.qkv.shape;
        let layout = self.options.layout(shape)?;
        let of_heads = layout.mask_of_query_heads(&mask)?;
        let quality = Quality::of(shape, &of_heads, &self.reachable, &sparse, &self.dense)?;
        let heads = shape.q_heads();
        let of_row = |row: usize| HeadReach {
            density: quality.density_per_head[row],
            relative_l2_error: quality.relative_l2_error_per_head[row],
            kept_mass: quality.kept_mass_per_head[row],
        };
        let worst_item = |head: usize| {
            let items = (0..shape.batch()).map(|item| of_row(item * heads + head));
            items.fold(HeadReach::BEST, HeadReach::worse)
        };
        let [_, mask_heads, ..] = layout.mask_shape();
        let worst_member = |mask_head: usize| {
            let kind = layout.kind_of_mask_head(mask_head);
            // Beside sparse heads no threshold matters to others.
            let members = layout.group_of_mask_head(mask_head);
            let members =
                members.filter(|&head| kind != HeadKind::Sparse || self.options.is_sparse(head));
            members
                .map(worst_item)
                .fold(HeadReach::BEST, HeadReach::worse)
        };
        Ok((0..mask_heads).map(worst_member).collect())
    }
}
