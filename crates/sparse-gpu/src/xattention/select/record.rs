//! Recording the selection, as many rows at a time as can be bound.

use std::ops::Range;

use sparse_shaders::XAttentionSelectKernel;

use super::SelectEngine;
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::window::{Window, fit_in_window};
use crate::xattention::params::SelectParams;
use crate::{Error, GpuMask, GpuTensor};

/// Where a selection goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selected<'a> {
    /// Of this problem, or with room for longer sequences, as that of packed ones is. What lies behind the key blocks of a row is written 0, what lies behind the
    /// rows of a head stays.
    pub(crate) mask: &'a GpuMask,
    /// Blocks that are forced besides, of the same shape.
    pub(crate) forced: Option<&'a GpuMask>,
    /// The first item of the mask that this problem is.
    pub(crate) first_item: usize,
}

impl SelectEngine {
    /// Records the selection from operands that have been checked; `sums` has room for [`SelectEngine::sum_shape`].
    pub(crate) fn record_checked(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        scores: &GpuTensor,
        sums: Option<&GpuTensor>,
        to: Selected<'_>,
    ) -> Result<(), Error> {
        if self.mask_shape().contains(&0) {
            return Ok(());
        }
        let mut from = scores;
        if let (Some(head_sums), Some(sums)) = (&self.sums, sums) {
            head_sums.record(pass, scores, sums)?;
            from = sums;
        }
        for rows in self.slices() {
            self.record_rows(pass, from, to, &rows)?;
        }
        Ok(())
    }

    /// Rows that are selected, through batch and heads, whose scores can be bound at once.
    fn slices(&self) -> Vec<Range<usize>> {
        let [batch, heads, q_blocks, _] = self.mask_shape();
        let [_, _, score_rows, score_blocks] = self.layout.score_shape();
        let bound = fit_in_window(&self.gpu, 4 * score_blocks as u64).max(1);
        let all = batch * heads * q_blocks;
        // Whole heads where one fits, else rows of one head.
        let (outer, step) = if bound >= score_rows {
            (all, bound / score_rows * q_blocks)
        } else {
            (q_blocks, bound)
        };
        (0..all)
            .step_by(outer)
            .flat_map(|begin| {
                (begin..begin + outer)
                    .step_by(step)
                    .map(move |first| first..(first + step).min(begin + outer))
            })
            .collect()
    }

    fn record_rows(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        scores: &GpuTensor,
        to: Selected<'_>,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let layout = &self.layout;
        let [_, heads, q_blocks, k_blocks] = self.mask_shape();
        let [_, _, score_rows, score_blocks] = layout.score_shape();
        let ([_, _, mask_rows, _], words_per_row) = (to.mask.shape(), to.mask.words_per_row());
        let score_row = |row: usize| row / q_blocks * score_rows + row % q_blocks;
        let elements = score_row(rows.start) as u64 * score_blocks as u64
            ..(score_row(rows.end - 1) as u64 + 1) * score_blocks as u64;
        let scores = Window::new(&self.gpu, scores.buffer(), scores.offset(), 4, elements);
        let before = (to.first_item * heads * mask_rows * words_per_row) as u64;
        let word_of = |row: usize| (row / q_blocks * mask_rows + row % q_blocks) * words_per_row;
        let words = before + word_of(rows.start) as u64
            ..before + (word_of(rows.end - 1) + words_per_row) as u64;
        let forced = to.forced;
        // Of the same shape, so bound from the same word on.
        let forced = forced.map(|mask| Window::new(&self.gpu, &mask.words, 0, 4, words.clone()));
        let mask = Window::new(&self.gpu, &to.mask.words, 0, 4, words);
        let options = layout.options();
        let shape = layout.shape();
        let reference = layout.reference();
        // More blocks than there are force nothing more.
        let columns = |n: usize| word(n.min(k_blocks));
        let params = SelectParams {
            first_row: word(rows.start),
            row_end: word(rows.end),
            heads: word(heads),
            q_blocks: word(q_blocks),
            k_blocks: word(k_blocks),
            mask_rows: word(mask_rows),
            words_per_row: word(words_per_row),
            score_rows: word(score_rows),
            score_blocks: word(score_blocks),
            index_bits: XAttentionSelectKernel::index_bits(score_blocks),
            scores_first: scores.first,
            mask_first: mask.first_in_item(1, before),
            block: word(options.block),
            q_len: word(shape.q_len()),
            k_len: word(shape.k_len()),
            sink_blocks: columns(options.sink_blocks),
            recent_blocks: word(options.recent_blocks.min(1 << 30)),
            block_offset: word(reference.map_or(0, |r| r.block_offset)),
            blocks_per_chunk: word(reference.map_or(1, |r| r.chunk / options.block)),
            keep_sink: reference.is_some_and(|r| r.options.keep_sink).into(),
            keep_recent: reference.is_some_and(|r| r.options.keep_recent).into(),
            ..SelectParams::default()
        };
        let mut buffers = vec![
            ("scores", scores.binding()),
            ("head_rules", self.head_rules.as_entire_binding()),
            ("mask_words", mask.binding()),
        ];
        buffers.extend(forced.map(|window| ("forced_words", window.binding())));
        let passes = XAttentionSelectKernel::passes(score_blocks) as u64;
        let work = passes * (self.rows * score_blocks) as u64;
        let count = word(rows.len().div_ceil(self.rows));
        dispatch(&self.gpu, pass, &self.kernel, params, &buffers, count, work)
    }
}
