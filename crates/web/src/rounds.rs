//! The contenders of one row take turns, repeated so often that the browser's clocks can tell how long a run takes.

use std::time::Duration;

use sparse_measure::{Budget, Runs, turns};
use web_time::Instant;

use crate::device::{Recorder, Timer, shortest_run};

/// Most repetitions inside of one pass.
const MOST_REPEATS: u32 = 1024;
/// A pass grows at most so much at a time: the first guess may come from a clock that hardly moved.
const LARGEST_STEP: u32 = 8;

/// How far a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// What comes next, in words.
    Step(&'static str),
    /// So many rounds are done of so many.
    Rounds(usize, usize),
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(words) => f.write_str(words),
            Self::Rounds(done, all) => write!(f, "round {done} of {all}"),
        }
    }
}

/// The visitor has stopped the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// Tells `watch` how far the row is.
///
/// # Errors
/// [`Stopped`] where it answers that the row shall not go on.
pub async fn go_on(
    watch: &impl AsyncFn(Progress) -> bool,
    progress: Progress,
) -> Result<(), Stopped> {
    if watch(progress).await {
        Ok(())
    } else {
        Err(Stopped)
    }
}

/// Runs all contenders in rounds, each once a round, every second round in reverse order. Each has run before its first round.
///
/// # Errors
/// The first error of a contender or of the device; [`Stopped`]; where the browser's clock says that a run took no time.
pub async fn interleave(
    timer: &Timer,
    contenders: &mut [Recorder<'_>],
    budget: Budget,
    watch: &impl AsyncFn(Progress) -> bool,
) -> anyhow::Result<Vec<Runs>> {
    let mut repeats = Vec::with_capacity(contenders.len());
    for contender in contenders.iter_mut() {
        repeats.push(repeats_of(timer, &mut **contender).await?);
    }
    let mut times = vec![Vec::new(); contenders.len()];
    let start = Instant::now();
    for round in 0..budget.most_rounds.max(1) {
        for turn in turns(round, contenders.len()) {
            let repeats = repeats[turn];
            let took = timer.time(repeats, &mut *contenders[turn]).await?;
            anyhow::ensure!(
                !took.is_zero(),
                "the browser's clock says that {repeats} runs took no time; reload the page and try again"
            );
            times[turn].push(took / repeats);
        }
        let expected = budget.expected_rounds(round + 1, start.elapsed());
        go_on(watch, Progress::Rounds(round + 1, expected)).await?;
        if round + 1 >= expected {
            break;
        }
    }
    let runs = times.into_iter().map(Runs::of);
    let runs: Option<Vec<Runs>> = runs.collect();
    runs.ok_or_else(|| anyhow::anyhow!("nothing was run"))
}

/// How often the contender is recorded into one pass.
async fn repeats_of(timer: &Timer, contender: Recorder<'_>) -> anyhow::Result<u32> {
    let shortest = shortest_run(timer.timing());
    let mut repeats = 1;
    loop {
        let took = timer.time(repeats, &mut *contender).await?;
        match enough_repeats(repeats, took, shortest) {
            Some(more) => repeats = more,
            None => return Ok(repeats),
        }
    }
}

/// How many repetitions to try where so many took so long; nothing where that is long enough, or as many as there may be.
pub fn enough_repeats(repeats: u32, took: Duration, shortest: Duration) -> Option<u32> {
    if took >= shortest || repeats >= MOST_REPEATS {
        return None;
    }
    let wanted = u128::from(repeats) * shortest.as_nanos() / took.as_nanos().max(1) + 1;
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let largest = repeats.saturating_mul(LARGEST_STEP).min(MOST_REPEATS);
    Some(wanted.clamp(repeats + 1, largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(10);

    fn repeats_for(one_run: Duration) -> u32 {
        let mut repeats = 1;
        while let Some(more) = enough_repeats(repeats, one_run * repeats, SHORTEST) {
            assert!(repeats < more && more <= repeats * LARGEST_STEP, "{more}");
            repeats = more;
        }
        repeats
    }

    #[test]
    fn a_long_run_is_not_repeated_and_a_short_one_until_it_is_long() {
        assert_eq!(repeats_for(SHORTEST), 1);
        assert_eq!(repeats_for(Duration::from_secs(1)), 1);
        assert_eq!(repeats_for(Duration::from_millis(3)), 4);
        let repeats = repeats_for(Duration::from_micros(50));
        assert!((200..=201).contains(&repeats), "{repeats}");
    }

    #[test]
    fn a_clock_that_does_not_move_ends_the_repetitions() {
        assert_eq!(repeats_for(Duration::ZERO), MOST_REPEATS);
    }

    #[test]
    fn progress_reads_as_words() {
        let words = [Progress::Step("compile"), Progress::Rounds(3, 20)].map(|p| p.to_string());
        assert_eq!(words, ["compile", "round 3 of 20"]);
    }
}
