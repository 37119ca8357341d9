//! Median and spread of repeated runs.

use std::time::Duration;

/// Repeated runs of one thing in three numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Number of runs.
    pub runs: usize,
    /// Median time of a run in milliseconds.
    pub median_ms: f64,
    /// `(p75 - p25) / median`: 0 where all runs took the same time.
    pub spread: f64,
}

impl Summary {
    /// Summarises `runs`, in any order; nothing where there are none.
    pub fn of(runs: &[Duration]) -> Option<Self> {
        let ms = runs.iter().map(|run| run.as_secs_f64() * 1e3).collect();
        let (median_ms, spread) = median_and_spread(ms)?;
        Some(Self {
            runs: runs.len(),
            median_ms,
            spread,
        })
    }
}

/// The median of `values`, in any order, and `(p75 - p25) / median`; nothing where there are none.
pub(super) fn median_and_spread(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let median = percentile(&values, 1, 2)?;
    let quartiles = percentile(&values, 3, 4)? - percentile(&values, 1, 4)?;
    let spread = if quartiles > 0.0 {
        quartiles / median
    } else {
        0.0
    };
    Some((median, spread))
}

/// The value below which `part / whole` of the `sorted` values lie, linear between neighbours.
#[expect(
    clippy::cast_precision_loss,
    reason = "a remainder of `whole`, which is 2 or 4"
)]
fn percentile(sorted: &[f64], part: usize, whole: usize) -> Option<f64> {
    let position = sorted.len().checked_sub(1)? * part;
    let low = sorted[position / whole];
    let high = sorted.get(position / whole + 1).copied().unwrap_or(low);
    Some(low + (high - low) * ((position % whole) as f64 / whole as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ms(ms: &[u64]) -> Option<Summary> {
        Summary::of(
            &ms.iter()
                .map(|&ms| Duration::from_millis(ms))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_median_ignores_an_outlier_and_the_order() {
        let summary = of_ms(&[900, 10, 12, 14, 8]).unwrap();
        assert_eq!((summary.runs, summary.median_ms), (5, 12.0));
        assert!((summary.spread - (14.0 - 10.0) / 12.0).abs() < 1e-12);
    }

    #[test]
    fn an_even_count_takes_the_middle_and_one_run_has_no_spread() {
        assert_eq!(of_ms(&[10, 20, 30, 40]).unwrap().median_ms, 25.0);
        assert_eq!(
            of_ms(&[7]).unwrap(),
            Summary {
                runs: 1,
                median_ms: 7.0,
                spread: 0.0
            }
        );
        assert_eq!(of_ms(&[]), None);
    }
}
