//! A right strategy: its runs to qualify, and those beside ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sparse_measure::repeats_to_fill;

use super::{Candidate, Contender, Outcome};
use crate::interleave::Timed;

/// A strategy whose result is right.
pub(super) struct Racer {
    name: String,
    candidate: Box<dyn Candidate>,
    /// The shortest of its runs to qualify: what else takes the machine makes runs longer, never shorter.
    shortest: Duration,
    /// Runs inside of one measurement beside ours.
    repeats: u32,
    /// Measurements beside ours.
    rounds: usize,
    refusal: Option<String>,
}

impl Racer {
    /// A strategy that has run before, the shortest time of which is this.
    pub(super) fn new(name: String, candidate: Box<dyn Candidate>, shortest: Duration) -> Self {
        Self {
            name,
            candidate,
            shortest,
            repeats: 1,
            rounds: 0,
            refusal: None,
        }
    }

    /// Library and strategy.
    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The shortest run so far.
    pub(super) const fn shortest(&self) -> Duration {
        self.shortest
    }

    /// Whether it has failed since its result was found right.
    pub(super) const fn has_failed(&self) -> bool {
        self.refusal.is_some()
    }

    /// Runs once more to qualify.
    pub(super) fn qualify_again(&mut self) {
        match timed(&mut *self.candidate, 1) {
            Ok(time) => self.shortest = self.shortest.min(time),
            Err(error) => self.refusal = Some(refusal(&error)),
        }
    }

    /// Fills measurements beside ours, each of which is to take as long as `pass`.
    pub(super) fn fill(&mut self, pass: Duration, most: u32) {
        self.repeats = repeats_to_fill(pass, self.shortest, most);
    }

    /// What became of it where it did not run beside ours, or not to the end.
    pub(super) fn left_out(self) -> Contender {
        let outcome = match self.refusal {
            Some(refusal) => Outcome::Refused(refusal),
            None => Outcome::Slower(1e3 * self.shortest.as_secs_f64()),
        };
        Contender {
            name: self.name,
            outcome,
        }
    }

    /// What became of it where it ran beside ours, with this median.
    pub(super) fn raced(self, median_ms: f64) -> Contender {
        Contender {
            name: self.name,
            outcome: Outcome::Raced(median_ms),
        }
    }
}

impl Timed for Racer {
    /// Its failure is no failure of the row, whose own times are good without it. It runs no more then, and what is told as its times
    /// is not used: [`Racer::has_failed`].
    fn run(&mut self) -> anyhow::Result<Duration> {
        if self.has_failed() {
            return Ok(Duration::ZERO);
        }
        self.rounds += 1;
        match timed(&mut *self.candidate, self.repeats) {
            Ok(time) => Ok(time / self.repeats),
            Err(error) => {
                let error = refusal(&error);
                self.refusal = Some(format!(
                    "failed beside ours in round {}: {error}",
                    self.rounds
                ));
                Ok(Duration::ZERO)
            }
        }
    }
}

/// How long so many runs take, one after the other.
pub(super) fn timed(candidate: &mut dyn Candidate, repeats: u32) -> anyhow::Result<Duration> {
    let start = Instant::now();
    guarded(|| candidate.run(repeats))?;
    Ok(start.elapsed())
}

/// What is another library's panic is its refusal, not the end of our measurement.
pub(super) fn guarded<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow::anyhow!(
            "panicked: {}",
            text.unwrap_or("without a word")
        ))
    })
}

/// What a library says, in one line.
pub(super) fn refusal(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}
