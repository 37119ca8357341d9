//! The record of a row.

use serde::Serialize;
use sparse_measure::{Shape, Timing, counted};

use crate::ceilings::Roofline;
use crate::peers::Contender;

/// One row of `compare`: an operation at one shape against its dense baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Name of the operation.
    pub op: &'static str,
    /// Sizes by name.
    pub shape: Shape,
    /// Storage type of the operands.
    pub dtype: &'static str,
    /// What is sparse: `8:2:8`, `bsr:64x64`, `block:128 causal threshold 0.9`; `auto` where a policy decided, of packed sequences with how many it scored.
    pub pattern: String,
    /// Share of the weights or of the reachable blocks that is kept. Padding is no weight; a block that reaches past the last token or into the future counts
    /// as any other.
    pub density: f64,
    /// Name of the adapter.
    pub adapter: String,
    /// Driver and its version.
    pub driver: String,
    /// Graphics API.
    pub backend: String,
    /// Tier of the kernels.
    pub tier: String,
    /// Kernel of the measured operation.
    pub kernel: String,
    /// Its tile.
    pub tile: String,
    /// How the times were taken.
    pub timing: Timing,
    /// Median of the dense baseline in milliseconds; for `dense_matmul` itself the baseline is the kernel named `naive`, or on cooperative
    /// matrices the dense product on portable kernels. None (null in JSON) where the row has no baseline: dense attention, and dense products
    /// beside other libraries or of `matmul`.
    pub dense_ms: Option<f64>,
    /// Median of the measured operation in milliseconds.
    pub sparse_ms: f64,
    /// How many times as fast the operation is as the dense baseline: the median over the rounds of their times' ratio. It knows no change of the
    /// machine's pace between rounds, and so may differ from `dense_ms / sparse_ms`. None without a baseline.
    pub speedup: Option<f64>,
    /// Best that skipping work could give; see [`sparse_measure::Ideal`]. Of attention by the kept pairs of a query and a key, which are fewer than the kept
    /// blocks let expect where blocks on the diagonal are half in the future. None (null in JSON) where that says nothing: a selection
    /// of blocks is no part of dense attention, and where nothing is skipped, at a density of 1, there is nothing to gain.
    pub ideal_speedup: Option<f64>,
    /// `speedup / ideal_speedup`, where there are both.
    pub share_of_ideal: Option<f64>,
    /// Another implementation of the operation in the same run: the best of another library, or for `dense_matmul` alone the kernel
    /// named `naive`.
    pub peer: Option<Peer>,
    /// Largest ratio of error to error bound over the checked elements, those of the dense baseline among them; right where it is at most 1, not
    /// finite (null in JSON) where an element is not finite.
    pub max_err_over_bound: f64,
    /// Which contender is wrong, what was found and what the bound is, in words; empty where the row is right. Not in reports, which have
    /// `max_err_over_bound`.
    #[serde(skip)]
    pub faults: Vec<String>,
    /// Runs of each contender.
    pub runs: usize,
    /// `(p75 - p25) / median` of the rounds' speed-ups; of the times where there is no baseline.
    pub spread: f64,
    /// Copies of the weights that runs of the measured operation took by turns: 1 where runs may find them in a cache. None for attention.
    pub weight_copies: Option<usize>,
    /// Kernel of the dense baseline, or `naive`; none without a baseline.
    pub dense_kernel: Option<String>,
    /// Its tile; the naive kernel has none.
    pub dense_tile: Option<String>,
    /// Whether the measured operation or its baseline took a tile of a table that was given, which may be slower than the default.
    #[serde(rename = "tuned")]
    pub is_tuned: bool,
    /// Name of the [`sparse_gpu::AdapterClass`] whose defaults were taken. The adapter's name does not tell it: that of llvmpipe is the same with AVX-512
    /// and without.
    pub class: &'static str,
    /// Where the operands are from: `generated`, or file and tensor.
    pub source: String,
    /// What the device could do at best, where its ceilings have been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roofline: Option<Roofline>,
    /// Every implementation of other libraries that was tried, the peer among them. Empty where none was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contenders: Vec<Contender>,
}

impl Record {
    /// Whether every checked element lies within its bound.
    pub fn is_right(&self) -> bool {
        self.max_err_over_bound <= 1.0
    }
}

/// A way to take times as reports say it.
pub const fn timing_words(timing: Timing) -> &'static str {
    match timing {
        Timing::Gpu => "GPU timestamps",
        Timing::Wall => {
            "wall clock around record, submit and wait (the adapter has no timestamps, or other libraries take part)"
        }
    }
}

/// How the times of `records` were taken, in words: of each way, and of how many rows where there are several.
pub fn timings(records: &[Record]) -> String {
    let of = |timing: Timing| {
        let rows = records.iter().filter(|r| r.timing == timing).count();
        (rows > 0).then_some((rows, timing))
    };
    let ways: Vec<(usize, Timing)> = [Timing::Gpu, Timing::Wall]
        .into_iter()
        .filter_map(of)
        .collect();
    match ways[..] {
        [(_, only)] => timing_words(only).into(),
        _ => ways
            .iter()
            .map(|(rows, timing)| format!("{} ({})", timing_words(*timing), counted(*rows, "row")))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Another implementation of the operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its median in milliseconds.
    pub ms: f64,
    /// How many times as long as the measured operation it takes: the median over the rounds.
    pub speedup: f64,
    /// `(p75 - p25) / median` of the rounds' ratios to it.
    pub spread: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn rows_that_were_timed_in_two_ways_are_told_apart() {
        let by = |timing| Record {
            timing,
            ..fixture::nm_matmul()
        };
        assert_eq!(timings(&[by(Timing::Gpu)]), "GPU timestamps");
        let both = timings(&[by(Timing::Wall), by(Timing::Gpu), by(Timing::Wall)]);
        assert!(
            both.starts_with("GPU timestamps (1 row), wall clock") && both.ends_with(" (2 rows)"),
            "{both}"
        );
    }

    #[test]
    fn a_row_on_its_bound_is_right_and_one_above_is_not() {
        let with = |max_err_over_bound| Record {
            max_err_over_bound,
            ..fixture::nm_matmul()
        };
        assert!(with(1.0).is_right() && !with(1.001).is_right() && !with(f64::INFINITY).is_right());
    }
}
