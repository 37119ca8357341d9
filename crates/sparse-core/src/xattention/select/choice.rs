//! Whether a selection made from slightly different scores is a right one.

use super::{ExactRow, Wanted};

/// Why a choice of blocks is wrong.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// Scores and choice of another problem.
    #[error(
        "{scores} scores and {chosen} flags of chosen blocks are not of this problem, whose rows have {score_blocks} and {blocks}"
    )]
    OtherProblem {
        /// Scores.
        scores: usize,
        /// Flags of chosen blocks.
        chosen: usize,
        /// Key blocks of a row of the scores, padding included.
        score_blocks: usize,
        /// Key blocks of a row of the mask.
        blocks: usize,
    },
    /// The row, its scores and the choice do not fit each other.
    #[error(
        "the row has {reachable} reachable blocks and {forced} flags of forced ones, there are {scores} scores and {chosen} flags of \
         chosen blocks; give a flag of forced per reachable block, and a score and a flag of chosen per key block"
    )]
    Lengths {
        /// Reachable blocks of the row.
        reachable: usize,
        /// Flags of forced blocks.
        forced: usize,
        /// Scores.
        scores: usize,
        /// Flags of chosen blocks.
        chosen: usize,
    },
    /// A chosen block has no key that the row may see.
    #[error("block {block} was chosen, blocks from {reachable} on cannot be reached")]
    Unreachable {
        /// The block.
        block: usize,
        /// Blocks that can be reached.
        reachable: usize,
    },
    /// A forced block is missing.
    #[error("block {block} is forced and was not chosen")]
    ForcedMissing {
        /// The block.
        block: usize,
    },
    /// A block is missing though all must be chosen: the threshold is 1, or the row has no mass.
    #[error("block {block} was not chosen, though every block must be")]
    AllWanted {
        /// The block.
        block: usize,
    },
    /// A block is missing that every right choice has.
    #[error("block {block} was not chosen, though every right choice has it")]
    Missing {
        /// The block.
        block: usize,
    },
    /// A block is chosen that no right choice has.
    #[error("block {block} was chosen, though no right choice has it")]
    NotWanted {
        /// The block.
        block: usize,
    },
    /// Nothing is chosen, though a row with keys has at least one block.
    #[error("no block was chosen, a row that reaches {reachable} has at least one")]
    NothingChosen {
        /// Blocks that can be reached.
        reachable: usize,
    },
    /// Too few or too many blocks, where their number is fixed.
    #[error("{chosen} blocks were chosen, {wanted} were wanted")]
    WrongCount {
        /// Blocks chosen.
        chosen: usize,
        /// The count asked for, as far as there are blocks; more where more are forced.
        wanted: usize,
    },
    /// The chosen mass does not reach the threshold.
    #[error("the chosen blocks hold {mass}, {wanted} was wanted")]
    TooLittle {
        /// Mass of the chosen blocks.
        mass: f64,
        /// Threshold times total.
        wanted: f64,
    },
    /// The least of the blocks that are not forced was not needed.
    #[error("block {block} was not needed: the others hold {mass}, {wanted} was wanted")]
    TooMuch {
        /// The block.
        block: usize,
        /// Mass of the other chosen blocks.
        mass: f64,
        /// Threshold times total.
        wanted: f64,
    },
    /// A block with less mass was preferred.
    #[error("block {chosen} was chosen, block {passed_over} has more mass and was not")]
    WrongOrder {
        /// A chosen block that is not forced.
        chosen: usize,
        /// A better block.
        passed_over: usize,
    },
}

impl ExactRow {
    /// Checks `chosen`, which was made from scores that differ from `scores` by rounding: for every comparison that
    /// selection makes, an error of `tolerance` times the row's mass is forgiven and no more. With `tolerance = 0`
    /// only ties remain free.
    ///
    /// `scores` holds one score per key block, `chosen` one flag per key block.
    ///
    /// # Errors
    /// [`ChoiceError`], the first rule broken.
    pub fn check_choice(
        &self,
        scores: &[f64],
        chosen: &[bool],
        tolerance: f64,
    ) -> Result<(), ChoiceError> {
        let reachable = self.reachable;
        let blocks = scores.len();
        if self.forced.len() != reachable || reachable > blocks || chosen.len() != blocks {
            return Err(ChoiceError::Lengths {
                reachable,
                forced: self.forced.len(),
                scores: blocks,
                chosen: chosen.len(),
            });
        }
        let is_chosen = |&j: &usize| chosen[j];
        if let Some(block) = (reachable..chosen.len()).find(is_chosen) {
            return Err(ChoiceError::Unreachable { block, reachable });
        }
        if let Some(block) = (0..reachable).find(|j| self.forced[*j] && !is_chosen(j)) {
            return Err(ChoiceError::ForcedMissing { block });
        }
        let total: f64 = scores[..reachable].iter().sum();
        let slack = tolerance * total;
        let by_score = |a: &usize, b: &usize| scores[*a].total_cmp(&scores[*b]);
        let free = || (0..reachable).filter(|&j| !self.forced[j]);
        let least = free().filter(is_chosen).min_by(by_score);
        let best = free().filter(|j| !is_chosen(j)).max_by(by_score);
        let order = match (least, best) {
            (Some(least), Some(best)) if scores[least] < scores[best] - slack => {
                Err(ChoiceError::WrongOrder {
                    chosen: least,
                    passed_over: best,
                })
            }
            _ => Ok(()),
        };
        let count = (0..reachable).filter(is_chosen).count();
        match self.wanted {
            Wanted::Count(wanted) => {
                let forced = self.forced.iter().filter(|&&forced| forced).count();
                let wanted = wanted.min(reachable).max(forced);
                if count == wanted {
                    return order;
                }
                Err(ChoiceError::WrongCount {
                    chosen: count,
                    wanted,
                })
            }
            Wanted::Share(share) if share >= 1.0 || total == 0.0 => {
                let missing = (0..reachable).find(|j| !is_chosen(j));
                missing.map_or(Ok(()), |block| Err(ChoiceError::AllWanted { block }))
            }
            Wanted::Share(share) => {
                if count == 0 {
                    return Err(ChoiceError::NothingChosen { reachable });
                }
                let wanted = share * total;
                let mass: f64 = (0..reachable).filter(is_chosen).map(|j| scores[j]).sum();
                if mass < wanted - slack {
                    return Err(ChoiceError::TooLittle { mass, wanted });
                }
                order?;
                // The one block that a row has at least need not be needed.
                match least.map(|block| (block, mass - scores[block])) {
                    Some((block, mass)) if count > 1 && mass >= wanted + slack => {
                        Err(ChoiceError::TooMuch {
                            block,
                            mass,
                            wanted,
                        })
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 5] = [0.125, 0.25, 0.5, 0.125, 0.0];

    /// Of five key blocks the first four are reachable and block 0 is forced.
    fn check(chosen: &[usize], threshold: f64, tolerance: f64) -> Result<(), ChoiceError> {
        check_wanted(chosen, Wanted::Share(threshold), tolerance)
    }

    fn check_wanted(chosen: &[usize], wanted: Wanted, tolerance: f64) -> Result<(), ChoiceError> {
        let row = ExactRow {
            reachable: 4,
            forced: vec![true, false, false, false],
            wanted,
        };
        let flags: Vec<bool> = (0..5).map(|j| chosen.contains(&j)).collect();
        row.check_choice(&SCORES, &flags, tolerance)
    }

    #[test]
    fn the_right_choice_passes() {
        assert_eq!(check(&[0], 0.1, 0.0), Ok(()));
        assert_eq!(check(&[0, 2], 0.6, 0.0), Ok(()));
        assert_eq!(check(&[0, 1, 2], 0.8, 0.0), Ok(()));
        assert_eq!(check(&[0, 1, 2, 3], 1.0, 0.0), Ok(()));
    }

    #[test]
    fn every_broken_rule_has_its_own_error() {
        use ChoiceError as E;
        let (block, reachable) = (4, 4);
        assert_eq!(
            check(&[0, 2, 4], 0.6, 0.0),
            Err(E::Unreachable { block, reachable })
        );
        assert_eq!(check(&[2], 0.5, 0.0), Err(E::ForcedMissing { block: 0 }));
        assert_eq!(check(&[0, 1, 2], 1.0, 0.0), Err(E::AllWanted { block: 3 }));
        let (mass, wanted) = (0.625, 0.75);
        assert_eq!(
            check(&[0, 2], 0.75, 0.0),
            Err(E::TooLittle { mass, wanted })
        );
        let (block, mass, wanted) = (1, 0.625, 0.5);
        assert_eq!(
            check(&[0, 1, 2], 0.5, 0.0),
            Err(E::TooMuch {
                block,
                mass,
                wanted
            })
        );
        let (chosen, passed_over) = (3, 2);
        assert_eq!(
            check(&[0, 1, 3], 0.5, 0.0),
            Err(E::WrongOrder {
                chosen,
                passed_over
            })
        );
    }

    #[test]
    fn a_fixed_count_is_checked_as_such() {
        let check = |chosen: &[usize], count| check_wanted(chosen, Wanted::Count(count), 0.0);
        assert_eq!(check(&[0, 2], 2), Ok(()));
        // Forced blocks stay, and a row that has no more gives all.
        assert_eq!(check(&[0], 0), Ok(()));
        assert_eq!(check(&[0, 1, 2, 3], 9), Ok(()));
        let (chosen, wanted) = (2, 3);
        assert_eq!(
            check(&[0, 2], 3),
            Err(ChoiceError::WrongCount { chosen, wanted })
        );
        let (chosen, passed_over) = (1, 2);
        assert_eq!(
            check(&[0, 1], 2),
            Err(ChoiceError::WrongOrder {
                chosen,
                passed_over
            })
        );
    }

    #[test]
    fn a_row_without_mass_wants_every_block_and_one_without_forced_blocks_wants_one() {
        let row = ExactRow {
            reachable: 3,
            forced: vec![false; 3],
            wanted: Wanted::Share(0.5),
        };
        let check = |scores: [f64; 3], chosen, share| {
            let wanted = Wanted::Share(share);
            ExactRow {
                wanted,
                ..row.clone()
            }
            .check_choice(&scores, chosen, 0.0)
        };
        assert_eq!(check([0.0; 3], &[true; 3], 0.5), Ok(()));
        assert_eq!(
            check([0.0; 3], &[true, false, true], 0.5),
            Err(ChoiceError::AllWanted { block: 1 })
        );
        // Nothing is wanted, but one block is the least that a row has.
        let scores = [0.25, 0.5, 0.25];
        assert_eq!(check(scores, &[false, true, false], 0.0), Ok(()));
        assert!(check(scores, &[true, true, false], 0.0).is_err());
        let nothing = Err(ChoiceError::NothingChosen { reachable: 3 });
        assert_eq!(check(scores, &[false; 3], 0.0), nothing);
        // Nor does a tolerance that forgives all that is missing forgive a row without blocks.
        let row = ExactRow {
            wanted: Wanted::Share(0.5),
            ..row
        };
        assert_eq!(row.check_choice(&scores, &[false; 3], 0.6), nothing);
    }

    #[test]
    fn a_row_without_keys_has_no_block() {
        let row = ExactRow {
            reachable: 0,
            forced: vec![],
            wanted: Wanted::Share(0.5),
        };
        assert_eq!(row.check_choice(&[0.0; 2], &[false; 2], 0.0), Ok(()));
        assert_eq!(row.check_choice(&[], &[], 0.0), Ok(()));
    }

    #[test]
    fn lengths_that_do_not_fit_each_other_are_refused() {
        let check = |reachable, forced: usize, scores: usize, chosen: usize| {
            let row = ExactRow {
                reachable,
                forced: vec![false; forced],
                wanted: Wanted::Share(0.5),
            };
            row.check_choice(&vec![1.0; scores], &vec![true; chosen], 1.0)
        };
        assert_eq!(check(1, 1, 1, 1), Ok(()));
        for (reachable, forced, scores, chosen) in [
            (1, 0, 1, 1),
            (1, 2, 2, 2),
            (2, 2, 1, 1),
            (1, 1, 1, 0),
            (1, 1, 1, 2),
        ] {
            let expected = ChoiceError::Lengths {
                reachable,
                forced,
                scores,
                chosen,
            };
            assert_eq!(check(reachable, forced, scores, chosen), Err(expected));
        }
        assert_eq!(
            check(1, 0, 1, 1).unwrap_err().to_string(),
            "the row has 1 reachable blocks and 0 flags of forced ones, there are 1 scores and 1 flags of chosen blocks; give a \
             flag of forced per reachable block, and a score and a flag of chosen per key block"
        );
    }

    #[test]
    fn the_tolerance_forgives_as_much_and_no_more() {
        // 0.625 of 0.75 wanted: 0.125 short.
        assert_eq!(check(&[0, 2], 0.75, 0.125), Ok(()));
        assert!(check(&[0, 2], 0.75, 0.124).is_err());
        // 0.625 without block 1, 0.5 wanted: 0.125 too much.
        assert_eq!(check(&[0, 1, 2], 0.5, 0.126), Ok(()));
        assert!(check(&[0, 1, 2], 0.5, 0.125).is_err());
        // Block 3 is 0.125 worse than block 1.
        assert_eq!(check(&[0, 2, 3], 0.75, 0.125), Ok(()));
        assert!(check(&[0, 2, 3], 0.75, 0.124).is_err());
    }
}
