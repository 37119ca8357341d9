//! Scores and selections of the items that are scored, one after the other, into one mask.

use sparse_core::DType;

use super::engines::Engines;
use super::items::Item;
use super::{OPERATION, masks};
use crate::ops::VarlenXAttention;
use crate::problem::Explanation;
use crate::xattention::score::{FirstTokens, ScoreEngine, ScoreScratch, ScratchBytes};
use crate::xattention::select::{SelectEngine, Selected};
use crate::{Error, Gpu, GpuMask, GpuTensor};

/// The planned steps before the attention, with what passes between them.
#[derive(Debug)]
pub(super) struct Selection {
    /// Those of items that differ.
    steps: Vec<ItemSteps>,
    items: Vec<PlacedItem>,
    scratch: Option<ScoreScratch>,
    forced: Option<GpuMask>,
    pub(super) mask: GpuMask,
    /// Bytes of everything that is held here.
    pub(super) bytes: u64,
}

/// The steps of all items with the same lengths.
#[derive(Debug)]
struct ItemSteps {
    engines: Engines,
    /// Of one item at a time, in memory that all share.
    scores: GpuTensor,
    sums: Option<GpuTensor>,
}

/// An item that is scored.
#[derive(Clone, Copy, Debug)]
struct PlacedItem {
    number: usize,
    /// Of the steps.
    steps: usize,
    first: FirstTokens,
}

impl Selection {
    pub(super) async fn plan(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        items: &[Item],
    ) -> Result<Self, Error> {
        let mask = masks::selected(gpu, problem, items)?;
        let forced = masks::forced(gpu, problem, items)?;
        let (engines, of_item) = Engines::of_items(gpu, problem, items).await?;
        // The steps of one item have run before those of the next begin.
        let scores = room(gpu, "scores", &engines, Engines::score_shape)?;
        let sums = room(gpu, "sums of scores", &engines, Engines::sum_shape)?;
        let bytes = engines.iter().filter_map(|e| e.score.scratch_bytes());
        let scratch = bytes.reduce(ScratchBytes::max);
        let scratch = scratch.map(|bytes| bytes.allocate(gpu)).transpose()?;
        let part = |of: &GpuTensor, shape: [usize; 4]| {
            gpu.tensor_in(of.buffer().clone(), 0, &shape, DType::F32)
        };
        let steps = engines.into_iter().map(|engines| {
            let sum_shape = engines.select.sum_shape();
            Ok(ItemSteps {
                scores: part(&scores, engines.score_shape())?,
                sums: sum_shape.map(|shape| part(&sums, shape)).transpose()?,
                engines,
            })
        });
        let steps = steps.collect::<Result<Vec<_>, Error>>()?;
        let constants = steps
            .iter()
            .map(|steps| steps.engines.select.explain().scratch_bytes);
        let bytes = constants.sum::<u64>()
            + scores.buffer().size()
            + sums.buffer().size()
            + scratch.as_ref().map_or(0, ScoreScratch::bytes)
            + forced.as_ref().map_or(0, |mask| mask.words.size())
            + mask.words.size();
        Ok(Self {
            items: placed(problem, of_item),
            steps,
            scratch,
            forced,
            mask,
            bytes,
        })
    }

    /// Records scores and selection of all items. q and k have been checked.
    pub(super) fn record_checked(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
    ) -> Result<(), Error> {
        for item in &self.items {
            let (Some(steps), Some(scratch)) = (self.steps.get(item.steps), &self.scratch) else {
                continue;
            };
            let Engines { score, select, .. } = &steps.engines;
            score.record_checked(pass, [q, k], item.first, &steps.scores, scratch)?;
            let to = Selected {
                mask: &self.mask,
                forced: self.forced.as_ref(),
                first_item: item.number,
            };
            select.record_checked(pass, &steps.scores, steps.sums.as_ref(), to)?;
        }
        Ok(())
    }

    /// Of the item with the most scores: its number, scores and selection.
    pub(super) fn explain(&self) -> Option<(usize, [&Explanation; 2])> {
        let most = self.steps.iter().max_by_key(|steps| steps.scores.len())?;
        let Engines {
            score,
            select,
            item,
        } = &most.engines;
        Some((
            *item,
            [ScoreEngine::explain(score), SelectEngine::explain(select)],
        ))
    }
}

/// Where the tokens of these items begin.
fn placed(problem: &VarlenXAttention, of_item: Vec<(usize, usize)>) -> Vec<PlacedItem> {
    let (q, k) = (problem.shape.q().offsets(), problem.shape.k().offsets());
    let first = |offsets: &[usize], item: usize| offsets.get(item).copied().unwrap_or(0);
    let place = |(number, steps)| PlacedItem {
        number,
        steps,
        first: FirstTokens {
            q: first(q, number),
            k: first(k, number),
        },
    };
    of_item.into_iter().map(place).collect()
}

/// Memory for the largest of these shapes, in f32.
fn room(
    gpu: &Gpu,
    what: &str,
    engines: &[Engines],
    shape: fn(&Engines) -> [usize; 4],
) -> Result<GpuTensor, Error> {
    let size = |engines: &Engines| shape(engines).iter().product::<usize>();
    let Some(largest) = engines.iter().max_by_key(|engines| size(engines)) else {
        return gpu.empty_tensor(&[0], DType::F32);
    };
    let (bytes, most) = (4 * size(largest) as u64, gpu.limits().max_buffer_size);
    if bytes > most {
        let error = Error::Unavailable {
            what: format!("{what} {:?} of {OPERATION}", shape(largest)),
            needs: format!("a buffer of {bytes} bytes"),
            has: format!("buffers of {most} bytes"),
            hint: "take larger blocks, or some of the heads at a time, or request a larger max_buffer_size in the DeviceDescriptor where the adapter has one".to_owned(),
        };
        return Err(error.of_item(largest.item));
    }
    gpu.empty_tensor(&[size(largest)], DType::F32)
}
