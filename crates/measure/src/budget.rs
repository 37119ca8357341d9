//! How many rounds a row makes, and in which order.

use std::time::Duration;

/// How long a row may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Runs of every contender before the first that counts.
    pub warm_up: usize,
    /// Rounds that are made in any case.
    pub least_rounds: usize,
    /// Rounds after which the row is done in any case.
    pub most_rounds: usize,
    /// Time for the rounds; no round is started that would probably end later.
    pub time: Duration,
}

impl Budget {
    /// One warm-up run, then 5 to 200 rounds in about `time`.
    pub const fn of(time: Duration) -> Self {
        Self {
            warm_up: 1,
            least_rounds: 5,
            most_rounds: 200,
            time,
        }
    }

    /// The number of rounds that fit if all take as long as those `done` in `elapsed`.
    pub fn expected_rounds(self, done: usize, elapsed: Duration) -> usize {
        let fitting = u128::from(u32::try_from(done).unwrap_or(u32::MAX)) * self.time.as_nanos()
            / elapsed.as_nanos().max(1);
        usize::try_from(fitting)
            .unwrap_or(usize::MAX)
            .clamp(self.least_rounds.min(self.most_rounds), self.most_rounds)
    }
}

/// How often a run that takes `once` goes into a pass that is to be `pass` long: at least once, at most `most` times.
pub fn repeats_to_fill(pass: Duration, once: Duration, most: u32) -> u32 {
    let repeats = pass.as_nanos().div_ceil(once.as_nanos().max(1));
    u32::try_from(repeats).unwrap_or(u32::MAX).clamp(1, most)
}

/// The order in which so many contenders run in a round: every second round in reverse.
pub fn turns(round: usize, contenders: usize) -> Vec<usize> {
    let mut turns: Vec<usize> = (0..contenders).collect();
    if round % 2 == 1 {
        turns.reverse();
    }
    turns
}
