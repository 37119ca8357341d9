//! Whether a row of attention is right, as its record tells it.

use sparse_measure::check::Checks;

/// The worst error over its bound, and what is wrong in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// See [`Record::max_err_over_bound`](crate::record::Record::max_err_over_bound).
    pub(super) max_err_over_bound: f64,
    /// See [`Record::faults`](crate::record::Record::faults).
    pub(super) faults: Vec<String>,
}

impl Verdict {
    /// By what was checked, and by what differs from it behind the timed runs.
    pub(super) fn of(checks: &Checks, differing: Option<String>) -> Self {
        Self {
            max_err_over_bound: checks.worst(),
            faults: checks.faults(),
        }
        .and(differing)
    }

    /// With a fault that no bound is for.
    pub(super) fn and(mut self, fault: Option<String>) -> Self {
        if fault.is_some() {
            self.max_err_over_bound = f64::INFINITY;
        }
        self.faults.extend(fault);
        self
    }

    /// Of items of which each has a verdict of its own.
    pub(super) fn of_items(items: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self {
            max_err_over_bound: 0.0,
            faults: Vec::new(),
        };
        for (number, item) in items.into_iter().enumerate() {
            all.max_err_over_bound = all.max_err_over_bound.max(item.max_err_over_bound);
            let faults = item.faults.into_iter();
            all.faults
                .extend(faults.map(|fault| format!("item {number}: {fault}")));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_item_makes_all_wrong_and_is_named() {
        let checks = |ratio: f64| Checks {
            sparse: Some(ratio.into()),
            ..Checks::default()
        };
        let right = Verdict::of(&checks(0.5), None);
        assert_eq!((right.max_err_over_bound, right.faults.len()), (0.5, 0));
        let wrong = Verdict::of(&checks(1.5), None);
        let all = Verdict::of_items([right.clone(), wrong]);
        assert_eq!(all.max_err_over_bound, 1.5);
        let fault = "item 1: attention over the mask: the largest error is 1.5 times its bound";
        assert_eq!(all.faults, [fault]);
        let differing = all.and(Some("another result".into()));
        assert_eq!(differing.max_err_over_bound, f64::INFINITY);
        assert_eq!(differing.faults, [fault, "another result"]);
        assert_eq!(Verdict::of(&checks(0.5), None), right.and(None));
    }
}
