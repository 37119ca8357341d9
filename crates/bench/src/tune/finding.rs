//! What a contest finds: whether another tile displaces the default.

use sparse_gpu::{KernelTile, TileMeasurement};
use sparse_measure::Speedup;

use super::cases::TuneCase;

/// Gains below this share are noise, however small the spread is.
const LEAST_GAIN: f64 = 0.02;

/// What became of a case.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case.
    pub case: TuneCase,
    /// The tile that plans take without a table.
    pub default: KernelTile,
    /// Its median time in milliseconds; that of one run where nothing ran beside it.
    pub default_ms: f64,
    /// The fastest other tile, where one was run long.
    pub best: Option<Best>,
    /// Candidates that were run.
    pub tried: usize,
    /// Tiles whose results were wrong, for this driver has a fault with them, or we have.
    pub wrong: Vec<KernelTile>,
    /// Whether the best one goes into the table.
    pub verdict: Verdict,
}

/// A tile that ran long beside the default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The tile.
    pub kernel: KernelTile,
    /// Its median time in milliseconds.
    pub ms: f64,
    /// How many times as fast as the default it is.
    pub gain: Speedup,
}

/// Whether another tile displaces the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another tile is faster by more than the gain differs from round to round.
    Displaced,
    /// The fastest other tile is faster, but not by more than the spread.
    WithinSpread,
    /// None was faster, in the first rounds or in the end.
    DefaultIsBest,
    /// The plan expands the weights first and runs the dense kernel: `dense_matmul` is what to tune.
    RunsDense,
}

impl Verdict {
    /// Of the gain of the fastest other tile, if one was faster in the first rounds.
    pub(super) fn of(gain: Option<Speedup>) -> Self {
        match gain {
            Some(gain) if is_faster(gain) => Self::Displaced,
            Some(gain) if gain.median > 1.0 => Self::WithinSpread,
            _ => Self::DefaultIsBest,
        }
    }
}

impl Finding {
    /// What a table says of the winner; nothing where the default stays.
    pub fn measurement(&self) -> Option<(KernelTile, TileMeasurement)> {
        let best = self.best?;
        (self.verdict == Verdict::Displaced).then(|| {
            let measured = TileMeasurement {
                problem: self.case.to_string(),
                default_tile: self.default.tile_words(),
                default_ms: self.default_ms,
                ms: best.ms,
                spread: best.gain.spread,
            };
            (best.kernel, measured)
        })
    }
}

/// Whether a tile is faster than the default by more than the gain differs from round to round.
fn is_faster(gain: Speedup) -> bool {
    gain.median > 1.0 + gain.spread.max(LEAST_GAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_the_spread_is_faster() {
        let is_faster = |median, spread| is_faster(Speedup { median, spread });
        assert!(is_faster(1.25, 0.01) && !is_faster(1.25, 0.3));
        assert!(!is_faster(1.01, 0.0), "one percent is noise");
        assert!(!is_faster(0.8, 0.0) && !is_faster(f64::NAN, 0.0));
    }

    #[test]
    fn a_slower_tile_is_not_within_the_spread() {
        let verdict = |median| {
            Verdict::of(Some(Speedup {
                median,
                spread: 0.1,
            }))
        };
        let verdicts = [1.25, 1.05, 1.0, 0.63].map(verdict);
        let (taken, spread, best) = (
            Verdict::Displaced,
            Verdict::WithinSpread,
            Verdict::DefaultIsBest,
        );
        assert_eq!(verdicts, [taken, spread, best, best]);
        assert_eq!(Verdict::of(None), best);
    }
}
