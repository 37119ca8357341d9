//! What the checks of one attention layer found.

use serde::Serialize;

use super::CheckedAttention;
use crate::counted;

/// Largest errors over their bounds; right where all are at most 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Checks {
    /// Output and log-sum-exp of dense attention.
    pub dense: Option<CheckedAttention>,
    /// Output and log-sum-exp over the mask.
    pub sparse: Option<CheckedAttention>,
    /// Output and log-sum-exp of the plan that may go dense.
    pub policy: Option<CheckedAttention>,
    /// Block scores.
    pub scores: Option<CheckedAttention>,
    /// Rows of the mask that are no right choice by the scores that the device made it from.
    pub wrong_mask_rows: Option<usize>,
}

impl Checks {
    /// The largest of all, infinite where a row of the mask is wrong.
    pub fn worst(&self) -> f64 {
        let errors = [self.dense, self.sparse, self.policy, self.scores]
            .into_iter()
            .flatten()
            .map(CheckedAttention::ratio);
        match self.wrong_mask_rows {
            Some(rows) if rows > 0 => f64::INFINITY,
            _ => errors.fold(0.0, f64::max),
        }
    }

    /// What is wrong, a text for each check that failed.
    pub fn faults(&self) -> Vec<String> {
        let errors = [
            ("dense attention", self.dense),
            ("attention over the mask", self.sparse),
            ("attention as the policy decided", self.policy),
            ("block scores", self.scores),
        ];
        let mut faults: Vec<String> = errors
            .into_iter()
            .filter_map(|(what, checked)| checked?.fault(what))
            .collect();
        if let Some(rows @ 1..) = self.wrong_mask_rows {
            let rows = counted(rows, "row");
            faults.push(format!("{rows} of the mask: no right choice by the scores"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_counts() {
        let checks = Checks {
            dense: Some(0.2.into()),
            sparse: Some(0.4.into()),
            policy: None,
            scores: Some(0.1.into()),
            wrong_mask_rows: Some(0),
        };
        assert_eq!(checks.worst(), 0.4);
        assert!(checks.faults().is_empty());
        let wrong = Checks {
            wrong_mask_rows: Some(1),
            ..checks
        };
        assert_eq!(wrong.worst(), f64::INFINITY);
        let all = Checks {
            dense: Some(1.5.into()),
            policy: Some(f64::NAN.into()),
            ..wrong
        };
        assert_eq!(
            all.faults(),
            [
                "dense attention: the largest error is 1.5 times its bound",
                "attention as the policy decided: the largest error is NaN times its bound",
                "1 row of the mask: no right choice by the scores"
            ]
        );
    }
}
