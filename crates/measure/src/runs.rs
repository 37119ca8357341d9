//! The runs of one contender, and how it does against another of the same rounds.

use std::time::Duration;

use super::Summary;
use super::summary::median_and_spread;

/// The times of one contender, round by round; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Runs {
    times: Vec<Duration>,
    summary: Summary,
}

/// How many times as fast one contender is as another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speedup {
    /// The median over the rounds of their times' ratio.
    pub median: f64,
    /// `(p75 - p25) / median` of the ratios: what changes from round to round and is not the machine's pace, which both share.
    pub spread: f64,
}

impl Runs {
    /// The times of all rounds, in their order; nothing where there are none.
    pub fn of(times: Vec<Duration>) -> Option<Self> {
        let summary = Summary::of(&times)?;
        Some(Self { times, summary })
    }

    /// Median and spread of the times.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// How many times as fast this contender is as `other`, each round by itself: a machine that runs at half its pace for some
    /// rounds slows both, which the ratio of their medians would not know.
    pub fn speedup_over(&self, other: &Self) -> Speedup {
        let ratios = self
            .times
            .iter()
            .zip(&other.times)
            .map(|(own, other)| other.as_secs_f64() / own.as_secs_f64())
            .collect();
        let (median, spread) = median_and_spread(ratios).unwrap_or((f64::NAN, f64::NAN));
        Speedup { median, spread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(ms: &[u64]) -> Runs {
        Runs::of(ms.iter().map(|&ms| Duration::from_millis(ms)).collect()).unwrap()
    }

    #[test]
    fn a_change_of_pace_between_rounds_does_not_move_the_speedup() {
        // Three rounds at half the pace of the others; the medians of these times have the ratio 6.
        let (dense, sparse) = (runs(&[60, 60, 120, 120, 120]), runs(&[20, 20, 40, 40, 20]));
        let speedup = sparse.speedup_over(&dense);
        assert_eq!((speedup.median, speedup.spread), (3.0, 0.0));
        assert_eq!(dense.summary().median_ms / sparse.summary().median_ms, 6.0);
    }

    #[test]
    fn the_spread_is_that_of_the_ratios() {
        let (dense, sparse) = (runs(&[10, 20, 30, 40, 50]), runs(&[10; 5]));
        let speedup = sparse.speedup_over(&dense);
        assert_eq!((speedup.median, speedup.spread), (3.0, 2.0 / 3.0));
        assert_eq!(dense.speedup_over(&dense).median, 1.0);
    }

    #[test]
    fn without_a_round_there_is_nothing() {
        assert_eq!(Runs::of(Vec::new()), None);
    }
}
