//! An item of packed sequences against what it is alone.

use sparse_core::attention::MaskHeads;
use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::XAttentionLayout;
use sparse_core::{BlockMask, Element};
use sparse_measure::check::{self, Checks};
use sparse_measure::{OutputAndLse, counted};

use super::super::quality::{Quality, reachable};
use super::super::verdict::Verdict;
use super::measure::PackedItem;
use crate::compare::bench::Bench;
use crate::device::{GpuQkv, ScoreRun};

/// What the runs that are checked left of one item.
#[derive(Clone, Debug)]
pub(super) struct ItemRun<'a, T> {
    pub(super) inputs: &'a AttentionInputs<T>,
    pub(super) layout: &'a XAttentionLayout,
    /// Whether blocks are selected by scores, not all attended to.
    pub(super) is_scored: bool,
    /// Its part of the mask, a mask for each head that has one; nothing where no item is scored.
    pub(super) selected: Option<BlockMask>,
    /// Of dense attention and of our own.
    pub(super) results: [OutputAndLse; 2],
}

impl<T: Element> ItemRun<'_, T> {
    /// Checks results, scores and mask.
    pub(super) fn check(&self, bench: &Bench) -> anyhow::Result<(PackedItem, Verdict)> {
        let layout = self.layout;
        let (shape, options) = (layout.shape(), layout.options());
        let [dense, own] = &self.results;
        let reachable = reachable(shape, options.block, options.causal)?;
        let mask = match &self.selected {
            Some(selected) => layout.mask_of_query_heads(selected)?.into_owned(),
            None => reachable.clone(),
        };
        let attention = options.attention().with_own_masks();
        let checks = Checks {
            dense: Some(check::attention(self.inputs, None, &attention, dense)?),
            sparse: Some(check::attention(self.inputs, Some(&mask), &attention, own)?),
            ..Checks::default()
        };
        // Attention is checked over whatever mask it had: it alone would pass, and be fast, over a mask that leaves out what matters.
        let verdict = match (&self.selected, self.is_scored) {
            (Some(selected), true) => {
                Verdict::of(&self.with_selection(bench, checks, selected)?, None)
            }
            (Some(selected), false) => Verdict::of(&checks, lacking(selected, &reachable, layout)),
            (None, _) => Verdict::of(&checks, None),
        };
        let item = PackedItem {
            is_scored: self.is_scored,
            quality: Quality::of(shape, &mask, &reachable, own, dense)?,
            mask,
            reachable,
        };
        Ok((item, verdict))
    }

    /// `checks` with those of the scores that the item has alone, and of its part of the mask by these scores. Those that the mask was made from are gone:
    /// all items share their memory. They are the same to the bit.
    fn with_selection(
        &self,
        bench: &Bench,
        checks: Checks,
        selected: &BlockMask,
    ) -> anyhow::Result<Checks> {
        let qkv = GpuQkv::upload(&bench.gpu, self.inputs, self.layout.shape())?;
        let mut run = ScoreRun::plan(&bench.gpu, &qkv, self.layout.options())?;
        bench.poison(run.scores());
        bench.run_once(&mut |pass| run.record(pass, &qkv.k))?;
        let scores = run.read(&bench.gpu)?;
        let scores = scores.data();
        Ok(Checks {
            scores: Some(check::scores(self.inputs, self.layout, scores)?),
            wrong_mask_rows: Some(check::wrong_mask_rows(scores, selected, self.layout)?),
            ..checks
        })
    }
}

/// What is said where an item without scores does not attend to all blocks that it can reach, and to no other.
fn lacking(
    selected: &BlockMask,
    reachable: &BlockMask,
    layout: &XAttentionLayout,
) -> Option<String> {
    let [_, heads, rows, _] = selected.shape();
    // All query heads reach the same blocks.
    let differs =
        |&(head, row): &(usize, usize)| !selected.row(0, head, row).eq(reachable.row(0, 0, row));
    let all = (0..heads).flat_map(|head| (0..rows).map(move |row| (head, row)));
    let wrong = all.filter(differs).count();
    let heads = match layout.options().mask_heads {
        MaskHeads::Query => "query heads",
        MaskHeads::Key => "key heads",
    };
    (wrong > 0).then(|| {
        format!(
            "{} of the mask, of all {heads}: not the blocks that can be reached, although nothing is scored",
            counted(wrong, "row")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sparse_gpu::Policy;

    use super::super::contenders::Contenders;
    use super::super::fixture::{case, only_long_items};
    use super::super::inputs::PackedInputs;
    use super::*;
    use crate::commands::open;
    use crate::presets::PackedCase;

    /// What `spoil` makes of each item, after a run that is right, is wrong for a reason that begins so.
    fn assert_wrong(
        bench: &Bench,
        (case, policy): (&PackedCase, Policy),
        spoil: fn(&mut ItemRun<'_, f32>),
        reason: fn(&ItemRun<'_, f32>) -> &'static str,
    ) {
        let inputs = PackedInputs::<f32>::planted(case).unwrap();
        let qkv = inputs.upload(&bench.gpu).unwrap();
        let problem = case.problem(policy).unwrap();
        let mut runs = Contenders::plan(&bench.gpu, &qkv, &problem).unwrap();
        runs.poison(bench).unwrap();
        bench.run_once(&mut |pass| runs.record(pass)).unwrap();
        let layouts = case.options().packed_layouts(&inputs.shape).unwrap();
        let results = runs.read(&bench.gpu).unwrap();
        let items = runs.items(&bench.gpu, &inputs, &layouts, &results).unwrap();
        assert_eq!(items.len(), case.lengths.len());
        for mut item in items {
            let (_, verdict) = item.check(bench).unwrap();
            assert!(verdict.max_err_over_bound <= 1.0, "{verdict:?}");
            assert!(verdict.faults.is_empty(), "{verdict:?}");
            spoil(&mut item);
            let (_, verdict) = item.check(bench).unwrap();
            assert!(verdict.max_err_over_bound > 1.0, "{verdict:?}");
            let is_named = |fault: &String| fault.contains(reason(&item));
            assert!(verdict.faults.iter().any(is_named), "{verdict:?}");
        }
    }

    /// Of attention that is right over it.
    fn keep_the_diagonal(item: &mut ItemRun<'_, f32>) {
        let Some(selected) = &item.selected else {
            return;
        };
        let [_, heads, rows, columns] = selected.shape();
        // Where the last rows of blocks end.
        let first = columns - rows;
        let is_on_diagonal = |_, _, row, column| column == row + first;
        let mask = BlockMask::from_fn(1, heads, rows, columns, is_on_diagonal).unwrap();
        let of_heads = item.layout.mask_of_query_heads(&mask).unwrap();
        let AttentionInputs { q, k, v } = item.inputs;
        let options = item.layout.options().attention().with_own_masks();
        let over = sparse_core::attention::block_attention(q, k, v, Some(&of_heads), &options);
        let over = over.unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "what a kernel would give")]
        let rounded = |numbers: &[f64]| numbers.iter().map(|&x| x as f32).collect();
        item.results[1] = OutputAndLse {
            out: rounded(&over.out),
            lse: rounded(&over.lse),
        };
        item.selected = Some(mask);
    }

    #[test]
    fn a_mask_of_the_diagonal_alone_is_wrong_however_right_attention_over_it_is() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        for mask_heads in [MaskHeads::Query, MaskHeads::Key] {
            let case = PackedCase {
                mask_heads,
                ..case()
            };
            for policy in [Policy::Sparse, only_long_items()] {
                assert_wrong(
                    &bench,
                    (&case, policy),
                    keep_the_diagonal,
                    |item| match item.is_scored {
                        true => "of the mask: no right choice by the scores",
                        false => "not the blocks that can be reached, although nothing is scored",
                    },
                );
            }
        }
    }

    #[test]
    fn wrong_results_of_any_item_are_found() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let problem = (&case(), only_long_items());
        assert_wrong(
            &bench,
            problem,
            |item| item.results[0].out.iter_mut().for_each(|x| *x += 0.1),
            |_| "dense attention: the largest error",
        );
        assert_wrong(
            &bench,
            problem,
            |item| item.results[1].lse.iter_mut().for_each(|x| *x += 0.1),
            |_| "attention over the mask: the largest error",
        );
        // What is not written stays poisoned.
        assert_wrong(
            &bench,
            problem,
            |item| item.results[1].out[17] = f32::NAN,
            |_| "attention over the mask: out[0, 0, 1, 1] is NaN",
        );
    }
}
