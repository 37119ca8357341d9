//! Planning and recording the selection: scores of heads that share a mask added up, then rows selected.

mod head_rules;
mod record;

use std::sync::Arc;

use sparse_core::DType;
use sparse_core::xattention::{XAttentionLayout, XAttentionOptions};
use sparse_shaders::{Kernel as _, XAttentionSelectKernel};

pub(crate) use record::Selected;

use self::head_rules::head_rule;
use super::rules;
use super::sum_heads::HeadSums;
use crate::counting::check_countable;
use crate::kernel::CompiledKernel;
use crate::operand::refuse_aliases;
use crate::ops::XAttentionSelect;
use crate::problem::Explanation;
use crate::window::{fit_in_window, too_large_to_bind, window_bytes};
use crate::{Error, Gpu, GpuMask, GpuTensor, Tier};

const OPERATION: &str = "xattention_select";

/// A planned selection. The mask of forced blocks and the sums of scores belong to whoever records it.
#[derive(Debug)]
pub(crate) struct SelectEngine {
    gpu: Gpu,
    layout: XAttentionLayout,
    kernel: Arc<CompiledKernel>,
    /// Rows of a workgroup.
    rows: usize,
    head_rules: wgpu::Buffer,
    /// Where query heads share a mask.
    sums: Option<HeadSums>,
    explanation: Explanation,
}

impl SelectEngine {
    pub(crate) async fn plan(gpu: &Gpu, problem: &XAttentionSelect) -> Result<Self, Error> {
        let options = &problem.options;
        let layout = options.layout(problem.shape)?;
        let (score_shape, mask_shape) = (layout.score_shape(), layout.mask_shape());
        check_countable(
            OPERATION,
            &[("scores", &score_shape), ("mask", &mask_shape)],
        )?;
        check_bindings(gpu, score_shape[3], mask_shape[1])?;
        let (row_lanes, note) = problem.row_lanes(gpu, score_shape[3])?;
        let kernel = XAttentionSelectKernel {
            rules: rules(options),
            row_lanes,
            rows: if row_lanes == 1 { 8 } else { 1 },
            top_k: options.top_k.is_some(),
            forced_mask: options.forced.is_some(),
        };
        kernel.check().map_err(|e| Error::tile(OPERATION, &e))?;
        let compiled = gpu.compile(&kernel).await?;
        let head_rules: Vec<[u32; 4]> = (0..mask_shape[1])
            .map(|head| head_rule(&layout, head))
            .collect();
        let head_rules = gpu.upload_words("head rules", head_rules.as_flattened())?;
        let sums = if options.any_sparse() {
            HeadSums::plan(gpu, &layout, fit_in_window(gpu, 4)).await?
        } else {
            None
        };
        let mut explanation = Explanation {
            operation: OPERATION,
            kernel: compiled.name().to_owned(),
            tile: format!("{} row(s) x {row_lanes} lanes", kernel.rows),
            tile_origin: None,
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: head_rules.size(),
            notes: vec![note.to_owned()],
        };
        if let Some(sums) = &sums {
            explanation.kernel = format!("{} + {}", sums.kernel_name(), explanation.kernel);
            explanation.scratch_bytes += sums.constant_bytes();
            let group = layout.group_of_mask_head(0).len();
            let note = format!("the scores of {group} query heads are added up for each mask");
            explanation.notes.push(note);
        }
        Ok(Self {
            gpu: gpu.clone(),
            layout: without_forced(layout)?,
            kernel: compiled,
            rows: kernel.rows,
            head_rules,
            sums,
            explanation,
        })
    }

    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// Counts what else the plan holds for it.
    pub(crate) fn add_scratch_bytes(&mut self, bytes: u64) {
        self.explanation.scratch_bytes += bytes;
    }

    pub(crate) fn mask_shape(&self) -> [usize; 4] {
        self.layout.mask_shape()
    }

    pub(crate) fn score_shape(&self) -> [usize; 4] {
        self.layout.score_shape()
    }

    /// Shape of the sums, f32, where scores are added up.
    pub(crate) fn sum_shape(&self) -> Option<[usize; 4]> {
        self.sums.as_ref().map(HeadSums::shape)
    }

    /// Checks scores and a mask of this problem alone.
    pub(crate) fn check(&self, scores: &GpuTensor, mask: &GpuMask) -> Result<(), Error> {
        scores.expect(
            &self.gpu,
            OPERATION,
            "scores",
            &self.score_shape(),
            DType::F32,
        )?;
        mask.expect(&self.gpu, OPERATION, self.mask_shape())?;
        let read = [("scores", scores.buffer())];
        refuse_aliases(OPERATION, ("mask", &mask.words), &read)
    }
}

/// The layout without the forced blocks, which a recording has as a mask on the device.
fn without_forced(layout: XAttentionLayout) -> Result<XAttentionLayout, Error> {
    let options = layout.options();
    if options.forced.is_none() {
        return Ok(layout);
    }
    let unforced = XAttentionOptions {
        forced: None,
        ..options.clone()
    };
    Ok(unforced.layout(layout.shape())?)
}

/// Refuses rows, and rules of heads, that cannot be bound at once.
fn check_bindings(gpu: &Gpu, blocks: usize, heads: usize) -> Result<(), Error> {
    let row = (
        format!("{OPERATION} with rows of {blocks} blocks"),
        4 * blocks as u64,
        "take larger blocks",
    );
    let rules = (
        format!("{OPERATION} of {heads} heads"),
        size_of::<[u32; 4]>() as u64 * heads as u64,
        "select for some of the heads at a time",
    );
    for (what, bytes, instead) in [row, rules] {
        if bytes > window_bytes(gpu) {
            return Err(too_large_to_bind(gpu, what, bytes, instead));
        }
    }
    Ok(())
}
