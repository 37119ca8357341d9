//! Scores and selections of all items, one after the other, into one mask.

use std::collections::HashMap;

use sparse_core::DType;
use sparse_core::attention::PackedShape;
use sparse_core::xattention::{XAttentionError, XAttentionOptions};

use super::items::Item;
use crate::ops::{VarlenXAttention, XAttentionScore, XAttentionSelect};
use crate::problem::Explanation;
use crate::xattention::decision::Decision;
use crate::xattention::score::{FirstTokens, ScoreEngine, ScoreScratch, ScratchBytes, Sequences};
use crate::xattention::select::{SelectEngine, Selected};
use crate::{Error, Gpu, GpuMask, GpuTensor, TokenLayout};

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

/// The steps of all items with the same lengths and the same decision.
#[derive(Debug)]
struct ItemSteps {
    /// None where nothing is scored.
    score: Option<ScoreEngine>,
    select: SelectEngine,
    /// Of one item at a time, in memory that all share.
    scores: GpuTensor,
    sums: Option<GpuTensor>,
}

#[derive(Clone, Copy, Debug)]
struct PlacedItem {
    /// Of the steps.
    steps: usize,
    first: FirstTokens,
}

/// The steps without what passes between them.
struct Engines {
    score: Option<ScoreEngine>,
    select: SelectEngine,
}

impl Engines {
    /// Those of items that differ, and which of them each item has.
    async fn of_items(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        items: &[Item],
    ) -> Result<(Vec<Self>, Vec<usize>), Error> {
        let (mut engines, mut of_item) = (Vec::new(), Vec::new());
        let mut known = HashMap::new();
        for item in items {
            let key = (item.layout.shape(), item.decision);
            if let Some(&number) = known.get(&key) {
                of_item.push(number);
                continue;
            }
            known.insert(key, engines.len());
            of_item.push(engines.len());
            engines.push(Self::plan(gpu, problem, item).await?);
        }
        Ok((engines, of_item))
    }

    async fn plan(gpu: &Gpu, problem: &VarlenXAttention, item: &Item) -> Result<Self, Error> {
        let (shape, options) = (item.layout.shape(), item.options());
        let select =
            SelectEngine::plan(gpu, &XAttentionSelect::new(shape, options.clone())).await?;
        let score = match item.decision {
            Decision::Dense => None,
            _ => {
                let score = XAttentionScore {
                    q: problem.types.q,
                    k: problem.types.k,
                    layout: TokenLayout::TokenMajor,
                    tile: problem.score_tile,
                    // Forced blocks do not matter to scores.
                    ..XAttentionScore::new(
                        shape,
                        XAttentionOptions {
                            forced: None,
                            ..options
                        },
                    )
                };
                Some(ScoreEngine::plan(gpu, &score, Sequences::Packed).await?)
            }
        };
        Ok(Self { score, select })
    }

    fn score_shape(&self) -> [usize; 4] {
        self.select.score_shape()
    }
}

/// The forced blocks of all items, without those behind their blocks.
fn forced(gpu: &Gpu, shape: &PackedShape, items: &[Item]) -> Result<Option<GpuMask>, Error> {
    let forced = items
        .iter()
        .map(|item| item.layout.options().forced.clone());
    let Some(masks) = forced
        .collect::<Option<Vec<_>>>()
        .filter(|masks| !masks.is_empty())
    else {
        return Ok(None);
    };
    let options = items.iter().map(|item| item.layout.options());
    let mask = options.take(1).map(|options| {
        let mask = shape.pack_masks(&masks, options.block, options.mask_heads);
        let mask = mask.map_err(XAttentionError::Attention)?;
        gpu.upload_mask(&mask)
    });
    mask.collect::<Result<Vec<_>, Error>>()
        .map(|mut masks| masks.pop())
}

impl Selection {
    pub(super) async fn plan(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        items: &[Item],
    ) -> Result<Self, Error> {
        let shape = &problem.shape;
        let (engines, of_item) = Engines::of_items(gpu, problem, items).await?;
        // The steps of one item have run before those of the next begin.
        let room = |of: fn(&Engines) -> [usize; 4]| {
            let sizes = engines.iter().map(|engines| of(engines).iter().product());
            gpu.empty_tensor(&[sizes.max().unwrap_or(0)], DType::F32)
        };
        let scores = room(Engines::score_shape)?;
        let sums = room(|engines| engines.select.sum_shape().unwrap_or_default())?;
        let bytes = engines
            .iter()
            .filter_map(|e| e.score.as_ref()?.scratch_bytes());
        let scratch = bytes.reduce(ScratchBytes::max);
        let scratch = scratch.map(|bytes| bytes.allocate(gpu)).transpose()?;
        let forced = forced(gpu, shape, items)?;
        let mask = gpu.empty_mask(problem.mask_shape())?;
        let part = |of: &GpuTensor, shape: [usize; 4]| {
            gpu.tensor_in(of.buffer().clone(), 0, &shape, DType::F32)
        };
        let steps = engines.into_iter().map(|engines| {
            let sum_shape = engines.select.sum_shape();
            Ok(ItemSteps {
                scores: part(&scores, engines.score_shape())?,
                sums: sum_shape.map(|shape| part(&sums, shape)).transpose()?,
                score: engines.score,
                select: engines.select,
            })
        });
        let steps = steps.collect::<Result<Vec<_>, Error>>()?;
        let constants = steps
            .iter()
            .map(|steps| steps.select.explain().scratch_bytes);
        let bytes = constants.sum::<u64>()
            + scores.buffer().size()
            + sums.buffer().size()
            + scratch.as_ref().map_or(0, ScoreScratch::bytes)
            + forced.as_ref().map_or(0, |mask| mask.words.size())
            + mask.words.size();
        let tokens = shape.q().ranges().zip(shape.k().ranges());
        let items = tokens.zip(of_item).map(|((q, k), steps)| PlacedItem {
            steps,
            first: FirstTokens {
                q: q.start,
                k: k.start,
            },
        });
        Ok(Self {
            items: items.collect(),
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
        for (number, item) in self.items.iter().enumerate() {
            let Some(steps) = self.steps.get(item.steps) else {
                continue;
            };
            if let (Some(score), Some(scratch)) = (&steps.score, &self.scratch) {
                score.record_checked(pass, [q, k], item.first, &steps.scores, scratch)?;
            }
            let to = Selected {
                mask: &self.mask,
                forced: self.forced.as_ref(),
                first_item: number,
            };
            let sums = steps.sums.as_ref();
            steps.select.record_checked(pass, &steps.scores, sums, to)?;
        }
        Ok(())
    }

    /// Of the scores and of the selection of the first item that is scored.
    pub(super) fn explain(&self) -> Vec<&Explanation> {
        let scored = self.steps.iter().find(|steps| steps.score.is_some());
        let score = scored.and_then(|steps| steps.score.as_ref());
        let score = score.map(ScoreEngine::explain);
        let select = scored.map(|steps| steps.select.explain());
        score.into_iter().chain(select).collect()
    }
}
