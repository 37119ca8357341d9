//! The planned steps of items that are scored, once for items of the same lengths.

use std::collections::HashMap;

use sparse_core::xattention::XAttentionOptions;

use super::items::Item;
use crate::ops::{VarlenXAttention, XAttentionScore, XAttentionSelect};
use crate::xattention::score::{ScoreEngine, Sequences};
use crate::xattention::select::SelectEngine;
use crate::{Error, Gpu, TokenLayout};

/// Scores and selection, without what passes between them.
#[derive(Debug)]
pub(super) struct Engines {
    pub(super) score: ScoreEngine,
    pub(super) select: SelectEngine,
    /// The first item that has them.
    pub(super) item: usize,
}

impl Engines {
    /// Those of items that differ, and which of them each item that is scored has, by its number.
    pub(super) async fn of_items(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        items: &[Item],
    ) -> Result<(Vec<Self>, Vec<(usize, usize)>), Error> {
        let (mut engines, mut of_item) = (Vec::new(), Vec::new());
        let mut known = HashMap::new();
        for (number, item) in items.iter().enumerate() {
            if !item.is_scored() {
                continue;
            }
            let shape = item.layout.shape();
            if let Some(&of_these_lengths) = known.get(&shape) {
                of_item.push((number, of_these_lengths));
                continue;
            }
            known.insert(shape, engines.len());
            of_item.push((number, engines.len()));
            let planned = Self::plan(gpu, problem, (number, item)).await;
            engines.push(planned.map_err(|error| error.of_item(number))?);
        }
        Ok((engines, of_item))
    }

    async fn plan(
        gpu: &Gpu,
        problem: &VarlenXAttention,
        (number, item): (usize, &Item),
    ) -> Result<Self, Error> {
        let (shape, options) = (item.layout.shape(), item.layout.options());
        // Forced blocks do not matter to scores.
        let unforced = XAttentionOptions {
            forced: None,
            ..options.clone()
        };
        let score = XAttentionScore {
            q: problem.types.q,
            k: problem.types.k,
            layout: TokenLayout::TokenMajor,
            tile: problem.score_tile,
            ..XAttentionScore::new(shape, unforced)
        };
        let select = XAttentionSelect::new(shape, options.clone());
        Ok(Self {
            score: ScoreEngine::plan(gpu, &score, Sequences::Packed).await?,
            select: SelectEngine::plan(gpu, &select).await?,
            item: number,
        })
    }

    pub(super) fn score_shape(&self) -> [usize; 4] {
        self.select.score_shape()
    }

    /// Of the sums where query heads share a mask.
    pub(super) fn sum_shape(&self) -> [usize; 4] {
        self.select.sum_shape().unwrap_or_default()
    }
}
