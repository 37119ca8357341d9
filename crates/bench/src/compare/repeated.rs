//! Contenders of a row, each recorded so often into one pass that it is long enough to be timed well.

use std::time::Duration;

use sparse_measure::{counted, repeats_to_fill};

use super::bench::Recorder;
use crate::device::Timer;
use crate::interleave::Timed;
use crate::interrupt::Interrupt;

/// A pass shorter than this is filled with more runs, so that the clock's grain does not show.
pub(super) const SHORTEST_PASS: Duration = Duration::from_millis(2);
/// A first run longer than this needs no second one to tell that it need not be repeated.
const LONG_RUN: Duration = Duration::from_millis(200);
/// Most runs inside of one pass.
pub(super) const MOST_REPEATS: u32 = 64;

/// A recorder, recorded so often into one pass that the pass is long enough to be timed well.
pub(super) struct Repeated<'a> {
    timer: &'a Timer,
    interrupt: &'a Interrupt,
    record: Recorder<'a>,
    once: Duration,
    repeats: u32,
}

impl<'a> Repeated<'a> {
    /// Runs each once to compile and fault everything in, and once more to see how long a run takes where that could be short. The first is the one
    /// that the others are compared with.
    pub(super) fn all(
        timer: &'a Timer,
        interrupt: &'a Interrupt,
        recorders: &'a mut [Recorder<'_>],
    ) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::with_capacity(recorders.len());
        for record in recorders {
            interrupt.check()?;
            let first = timer.time(record)?;
            let once = if first < LONG_RUN {
                timer.time(record)?
            } else {
                first
            };
            all.push(Self {
                timer,
                interrupt,
                record: &mut **record,
                once,
                repeats: 1,
            });
        }
        let once: Vec<Duration> = all.iter().map(|run| run.once).collect();
        for (run, repeats) in all.iter_mut().zip(repeats(&once)) {
            run.repeats = repeats;
        }
        Ok(all)
    }

    /// How long a pass of it takes.
    pub(super) fn pass(&self) -> Duration {
        self.once * self.repeats
    }
}

impl Timed for Repeated<'_> {
    fn run(&mut self) -> anyhow::Result<Duration> {
        self.interrupt.check()?;
        let (record, repeats) = (&mut *self.record, self.repeats);
        let all = self
            .timer
            .time(&mut |pass| (0..repeats).try_for_each(|_| record(pass)))?;
        per_run(all, repeats)
    }
}

/// The time of each of so many runs. Of a time of zero a speed-up would be infinite.
fn per_run(all: Duration, repeats: u32) -> anyhow::Result<Duration> {
    anyhow::ensure!(
        !all.is_zero(),
        "{} of it took less than a tick of the device's clock: too little to tell a time from; take a larger problem",
        counted(repeats as usize, "run")
    );
    Ok(all / repeats)
}

/// How often contenders run inside of one pass which take `once` for a run. The first, which the others are compared with, has the longest pass: recording,
/// submitting and waiting belong to a pass by the clock on the wall, and a shorter one would charge more of that to each of its runs.
fn repeats(once: &[Duration]) -> Vec<u32> {
    let mut repeats: Vec<u32> = once
        .iter()
        .map(|&once| repeats_to_fill(SHORTEST_PASS, once, MOST_REPEATS))
        .collect();
    let passes = once.iter().zip(&repeats).map(|(&once, &n)| once * n);
    let longest = passes.fold(SHORTEST_PASS, Duration::max);
    if let (Some(first), Some(&once)) = (repeats.first_mut(), once.first()) {
        *first = repeats_to_fill(longest, once, MOST_REPEATS);
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_us(once: &[u64]) -> Vec<u32> {
        let once: Vec<Duration> = once.iter().map(|&us| Duration::from_micros(us)).collect();
        repeats(&once)
    }

    #[test]
    fn runs_within_a_tick_have_no_time() {
        let of = |all| per_run(all, 4);
        assert_eq!(
            of(Duration::from_micros(8)).unwrap(),
            Duration::from_micros(2)
        );
        let error = of(Duration::ZERO).unwrap_err().to_string();
        assert!(
            error.starts_with("4 runs of it took less than a tick"),
            "{error}"
        );
    }

    #[test]
    fn short_runs_fill_a_pass_and_no_pass_is_longer_than_the_baselines() {
        // The others' passes are 3900 and 2000 us long.
        assert_eq!(of_us(&[2050, 1950, 500]), [2, 2, 4]);
        assert_eq!(of_us(&[30_000, 700]), [1, 3]);
        assert_eq!(of_us(&[1500, 3200]), [3, 1]);
        assert_eq!(of_us(&[1, 1000]), [64, 2]);
        assert_eq!(of_us(&[0]), [64]);
        assert!(of_us(&[]).is_empty());
    }
}
