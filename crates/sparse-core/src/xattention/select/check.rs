//! Whether a row of any mode and kind was selected rightly, up to the rounding of the selection.

use super::{ChoiceError, reference};
use crate::attention::HeadKind;
use crate::xattention::XAttentionLayout;

impl XAttentionLayout {
    /// Checks `chosen`, which was selected for block row `[item, head of the mask, query block]` from these very `scores`: for every comparison that
    /// selection makes, an error of `tolerance` times the row's mass is forgiven and no more.
    ///
    /// In Exact mode that is [`ExactRow::check_choice`](super::ExactRow::check_choice). In Reference mode `chosen` has the blocks of the rule with so much less wanted, and
    /// none but those of the rule with so much more. A head that is not sparse has the blocks that its kind means, exactly.
    ///
    /// `scores` holds one score per key block of [`XAttentionLayout::score_shape`], `chosen` one flag per key block of
    /// [`XAttentionLayout::mask_shape`].
    ///
    /// # Errors
    /// [`ChoiceError`], the first rule broken.
    ///
    /// # Panics
    /// Where there is no such row.
    #[track_caller]
    pub fn check_choice(
        &self,
        place: [usize; 3],
        scores: &[f64],
        chosen: &[bool],
        tolerance: f64,
    ) -> Result<(), ChoiceError> {
        let [item, head, q_block] = place;
        let row = self.exact_row(item, head, q_block);
        let (score_blocks, blocks) = (self.score_shape()[3], self.mask_shape()[3]);
        if (scores.len(), chosen.len()) != (score_blocks, blocks) {
            return Err(ChoiceError::OtherProblem {
                scores: scores.len(),
                chosen: chosen.len(),
                score_blocks,
                blocks,
            });
        }
        let select = |more, reference| reference::select_row(scores, place, self, reference, more);
        let (least, most) = match self.reference() {
            _ if self.kind_of_mask_head(head) != HeadKind::Sparse => {
                let kind = self.kind_row(head, q_block);
                (kind.clone(), kind)
            }
            None => return row.check_choice(scores, chosen, tolerance),
            Some(reference) => (select(-tolerance, reference), select(tolerance, reference)),
        };
        if let Some(block) = (0..blocks).find(|&j| least[j] && !chosen[j]) {
            return Err(ChoiceError::Missing { block });
        }
        if let Some(block) = (0..blocks).find(|&j| chosen[j] && !most[j]) {
            return Err(ChoiceError::NotWanted { block });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::AttentionShape;
    use crate::xattention::{Mode, ReferenceOptions, XAttentionOptions};

    /// One query that stands at the last of four keys, in blocks of a token.
    fn layout(change: impl FnOnce(&mut XAttentionOptions)) -> XAttentionLayout {
        let shape = AttentionShape::try_new(1, 1, 1, 1, 4, 1).unwrap();
        let mut options = XAttentionOptions {
            block: 1,
            stride: 1,
            causal: false,
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(1),
                ..ReferenceOptions::default()
            }),
            ..XAttentionOptions::default()
        };
        change(&mut options);
        options.layout(shape).unwrap()
    }

    fn check(
        layout: &XAttentionLayout,
        scores: [f64; 4],
        chosen: &[usize],
        tolerance: f64,
    ) -> Result<(), ChoiceError> {
        let flags: Vec<bool> = (0..4).map(|j| chosen.contains(&j)).collect();
        layout.check_choice([0, 0, 0], &scores, &flags, tolerance)
    }

    #[test]
    fn a_row_of_reference_mode_may_err_by_the_tolerance_and_no_more() {
        let layout = layout(|o| o.threshold = 0.75.into());
        let scores = [0.5, 0.125, 0.25, 0.125];
        // Two blocks hold what is wanted exactly.
        assert_eq!(check(&layout, scores, &[0, 2], 0.0), Ok(()));
        let (missing, not_wanted) = (
            Err(ChoiceError::Missing { block: 2 }),
            Err(ChoiceError::NotWanted { block: 1 }),
        );
        assert_eq!(check(&layout, scores, &[0], 0.0), missing);
        assert_eq!(check(&layout, scores, &[0, 1, 2], 0.0), not_wanted);
        // The next one is right where the sum may seem a little less, and no other one is.
        assert_eq!(check(&layout, scores, &[0, 1, 2], 1e-9), Ok(()));
        let other = Err(ChoiceError::NotWanted { block: 3 });
        assert_eq!(check(&layout, scores, &[0, 2, 3], 1e-9), other);
        assert_eq!(check(&layout, scores, &[0], 0.249), missing);
        assert_eq!(check(&layout, scores, &[0], 0.25), Ok(()));
    }

    /// The reference may lose the least of them in its own sum.
    #[test]
    fn of_the_whole_mass_the_least_blocks_may_be_taken_or_not() {
        let layout = layout(|o| o.threshold = 1.0.into());
        for least in [1.5e-12, 1e-30] {
            let scores = [16.0, least, 0.0, 0.0];
            assert_eq!(check(&layout, scores, &[0], 1e-9), Ok(()));
            assert_eq!(check(&layout, scores, &[0, 1], 1e-9), Ok(()));
        }
        let missing = Err(ChoiceError::Missing { block: 1 });
        assert_eq!(check(&layout, [16.0, 1.0, 0.0, 0.0], &[0], 1e-9), missing);
    }

    #[test]
    fn the_block_more_of_the_first_chunk_hangs_on_a_share_above_zero() {
        let shape = AttentionShape::try_new(1, 1, 1, 3, 3, 1).unwrap();
        let check = |threshold: f64, chosen: [bool; 3]| {
            let options = XAttentionOptions {
                causal: true,
                threshold: threshold.into(),
                mode: Mode::Reference(ReferenceOptions {
                    chunk: Some(4),
                    ..ReferenceOptions::default()
                }),
                ..layout(|_| ()).options().clone()
            };
            let layout = options.layout(shape).unwrap();
            layout.check_choice([0, 0, 2], &[0.25, 0.5, 0.125, 0.125], &chosen, 1e-9)
        };
        let (without, with) = ([true, false, true], [true; 3]);
        // As much as 0 with a tolerance of 1e-9, and as little.
        for threshold in [0.0, 1e-12] {
            assert_eq!(check(threshold, without), Ok(()));
            assert_eq!(check(threshold, with), Ok(()));
        }
        assert_eq!(check(1e-3, with), Ok(()));
        let missing = Err(ChoiceError::Missing { block: 1 });
        assert_eq!(check(1e-3, without), missing);
    }

    #[test]
    fn rows_without_mass_have_no_error() {
        let layout = layout(|o| o.threshold = 0.5.into());
        for tolerance in [0.0, 1e-9, f64::INFINITY] {
            assert_eq!(check(&layout, [0.0; 4], &[0], tolerance), Ok(()));
            let not_wanted = Err(ChoiceError::NotWanted { block: 1 });
            assert_eq!(check(&layout, [0.0; 4], &[0, 1], tolerance), not_wanted);
        }
    }

    #[test]
    fn exact_rows_and_rows_of_other_kinds_have_their_own_rules() {
        let exact = layout(|o| (o.mode, o.threshold) = (Mode::Exact, 0.75.into()));
        let scores = [0.5, 0.125, 0.25, 0.125];
        assert_eq!(check(&exact, scores, &[0, 2], 0.0), Ok(()));
        let too_little = check(&exact, scores, &[0], 0.0);
        assert!(matches!(too_little, Err(ChoiceError::TooLittle { .. })));
        let dense = layout(|o| o.head_kinds = Some(vec![HeadKind::Dense]));
        assert_eq!(check(&dense, scores, &[0, 1, 2, 3], 0.0), Ok(()));
        let missing = Err(ChoiceError::Missing { block: 3 });
        assert_eq!(check(&dense, scores, &[0, 1, 2], 1.0), missing);
        let streaming = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: 1,
        };
        let streaming = layout(|o| o.head_kinds = Some(vec![streaming]));
        assert_eq!(check(&streaming, scores, &[0, 3], 0.0), Ok(()));
        let not_wanted = Err(ChoiceError::NotWanted { block: 2 });
        assert_eq!(check(&streaming, scores, &[0, 2, 3], 1.0), not_wanted);
    }

    #[test]
    fn lengths_of_another_problem_are_refused() {
        let layout = layout(|_| ());
        for (scores, chosen) in [(3, 4), (5, 4), (4, 3), (4, 5)] {
            let (scores, chosen) = (vec![1.0; scores], vec![true; chosen]);
            let refused = layout.check_choice([0, 0, 0], &scores, &chosen, 0.0);
            assert!(matches!(refused, Err(ChoiceError::OtherProblem { .. })));
        }
    }
}
