//! Planned XAttention over packed sequences: items scored and selected for one after the other, and attended to together.

mod engines;
mod items;
mod masks;
mod selection;

use sparse_core::BlockMask;
use sparse_core::attention::PackedShape;
use sparse_core::xattention::XAttentionError;

use self::items::Item;
use self::selection::Selection;
use super::cost::CostModel;
use super::decision::Decision;
use super::outcome::{Attended, Outcome, count};
use crate::attention::record::Operands;
use crate::ops::VarlenXAttention;
use crate::problem::Explanation;
use crate::{Error, Gpu, GpuMask, GpuTensor, Tier, VarlenAttentionPlan};

const OPERATION: &str = "varlen_xattention";

/// A planned [`VarlenXAttention`]. It owns the mask of the last recording that has run.
#[derive(Debug)]
pub struct VarlenXAttentionPlan {
    gpu: Gpu,
    shape: PackedShape,
    model: CostModel,
    items: Vec<Item>,
    /// None where nothing is scored.
    selection: Option<Selection>,
    attention: VarlenAttentionPlan,
    explanation: Explanation,
}

impl VarlenXAttentionPlan {
    pub(crate) async fn new(gpu: &Gpu, problem: &VarlenXAttention) -> Result<Self, Error> {
        // What attention would refuse is refused before anything is computed from it.
        let sparse = problem.attention();
        sparse.check_numbers(OPERATION)?;
        Error::check_tile(OPERATION, problem.score_tile)?;
        let model = problem.policy.model(gpu, OPERATION)?;
        let (items, notes) = Item::all(gpu, problem, model)?;
        let is_scored = items.iter().any(Item::is_scored);
        // It refuses masks that cannot be bound.
        let attention = if is_scored {
            gpu.plan(&sparse).await?
        } else {
            gpu.plan(&problem.dense_attention()).await?
        };
        let selection = if is_scored {
            Some(Selection::plan(gpu, problem, &items).await?)
        } else {
            None
        };
        let mut plan = Self {
            gpu: gpu.clone(),
            shape: problem.shape.clone(),
            model,
            explanation: Explanation {
                operation: OPERATION,
                kernel: String::new(),
                tile: String::new(),
                tile_origin: None,
                tier: Tier::Portable,
                adapter: gpu.adapter().name.clone(),
                scratch_bytes: 0,
                notes,
            },
            items,
            selection,
            attention,
        };
        plan.explain_steps();
        Ok(plan)
    }

    /// Fills in what the steps say.
    fn explain_steps(&mut self) {
        let explained = self.selection.as_ref().and_then(Selection::explain);
        let note = explained.map(|(item, _)| {
            format!("scores and selection are explained by item {item}, which has the most of them")
        });
        self.explanation.notes.extend(note);
        let steps: Vec<Explanation> = self.steps().into_iter().cloned().collect();
        self.explanation.tell_steps(&steps);
        let selection = self.selection.as_ref();
        self.explanation.scratch_bytes = self.attention.explain().scratch_bytes
            + selection.map_or(0, |selection| selection.bytes);
    }

    /// Records all steps into the caller's pass; they run when the caller submits. May be recorded any number of times; the recordings share
    /// the mask, and run one after the other.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        v: &GpuTensor,
        out: &mut GpuTensor,
        lse: &mut GpuTensor,
    ) -> Result<(), Error> {
        let operands = Operands {
            q,
            k,
            v,
            mask: self.mask(),
            out,
            lse,
        };
        self.attention.check(&operands, OPERATION)?;
        if let Some(selection) = &self.selection {
            operands.check_inputs(OPERATION, ("the plan's mask", &selection.mask.words))?;
            selection.record_checked(pass, q, k)?;
        }
        self.attention.record_checked(pass, &operands)
    }

    /// What the last recording that has run selected for each item, and which attention that was; nothing is selected before one has.
    ///
    /// # Errors
    /// Those of [`Gpu::read_mask`].
    pub async fn outcomes(&self) -> Result<Vec<Outcome>, Error> {
        match &self.selection {
            Some(selection) => self.tell(Some(&self.gpu.read_mask(&selection.mask).await?)),
            None => self.tell(None),
        }
    }

    /// As [`VarlenXAttentionPlan::outcomes`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read_mask_blocking`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn outcomes_blocking(&self) -> Result<Vec<Outcome>, Error> {
        match &self.selection {
            Some(selection) => self.tell(Some(&self.gpu.read_mask_blocking(&selection.mask)?)),
            None => self.tell(None),
        }
    }

    fn tell(&self, mask: Option<&BlockMask>) -> Result<Vec<Outcome>, Error> {
        let masks = match (mask, self.items.first()) {
            (Some(mask), Some(item)) => {
                let options = item.layout.options();
                self.shape
                    .unpack_mask(mask, options.block, options.mask_heads)
                    .map_err(XAttentionError::Attention)?
            }
            _ => Vec::new(),
        };
        let outcome = |(number, item): (usize, &Item)| {
            match (item.is_scored(), masks.get(number)) {
                (false, Some(_)) if item.costs.dense > 0.0 => Ok(Outcome {
                    attended: Attended::Dense,
                    heads: Vec::new(),
                    // All blocks by the kernel of the mask.
                    predicted_speed_up: self.model.efficiency.min(1.0),
                }),
                (true, Some(mask)) => {
                    let heads = count(mask, &item.layout)?;
                    let attended = Attended::Sparse;
                    Ok(Outcome::new(attended, heads, &item.layout, &item.costs))
                }
                _ => Ok(Outcome::new(
                    Attended::Dense,
                    Vec::new(),
                    &item.layout,
                    &item.costs,
                )),
            }
        };
        self.items.iter().enumerate().map(outcome).collect()
    }

    /// What was decided for each item, [`Decision::Sparse`] or [`Decision::Dense`].
    pub fn decisions(&self) -> impl Iterator<Item = Decision> {
        self.items.iter().map(|item| item.decision)
    }

    /// The blocks that the last recording that has run selected, `[items, mask heads, q_blocks, k_blocks]`. Items that are not scored have theirs from the beginning, which
    /// are all that sparse and dense heads can reach, and the windows of streaming ones. It is not to be written. [`Gpu::read_mask`] brings it to the host,
    /// [`PackedShape::unpack_mask`] takes it apart, and a [`VarlenAttention`](crate::VarlenAttention) of the same sequences takes it for another layer. `None` where no item is scored.
    pub fn mask(&self) -> Option<&GpuMask> {
        self.selection.as_ref().map(|selection| &selection.mask)
    }

    /// A tensor for the output, of the shape and storage type that the plan was made for.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_out(&self) -> Result<GpuTensor, Error> {
        self.attention.new_out()
    }

    /// A tensor for the log-sum-exps.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_lse(&self) -> Result<GpuTensor, Error> {
        self.attention.new_lse()
    }

    /// The decisions and their reasons, then kernels, tiles and reasons of all steps.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// The explanations of scores and selection of the item with the most scores, as far as one is scored, and of the attention.
    pub fn steps(&self) -> Vec<&Explanation> {
        let selection = self.selection.as_ref().and_then(Selection::explain);
        let selection = selection.into_iter().flat_map(|(_, steps)| steps);
        selection.chain([self.attention.explain()]).collect()
    }
}
