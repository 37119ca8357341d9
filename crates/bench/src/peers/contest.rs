//! Finding the best of many strategies: each run, checked and timed, the fastest right ones run again beside ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sparse_measure::{Runs, repeats_to_fill};

use super::{Candidate, Contender, Outcome};
use crate::interleave::Timed;
use crate::interrupt::Interrupt;

/// Runs of every right strategy that decide who takes part in the interleaved run.
const QUALIFYING_RUNS: usize = 3;
/// Strategies of the interleaved run.
const FINALISTS: usize = 3;
/// A strategy that takes this many times as long as the slowest finalist so far is not run again to qualify.
const HOPELESS: u32 = 2;

/// The fastest right strategies, and what became of the others.
#[derive(Default)]
pub struct Finalists {
    racing: Vec<Racer>,
    others: Vec<Contender>,
}

impl std::fmt::Debug for Finalists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Finalists")
            .field("racing", &self.racing.len())
            .field("others", &self.others)
            .finish()
    }
}

impl Finalists {
    /// Those candidates whose name contains one of `parts`; all where there are no parts.
    pub fn named(candidates: Vec<Box<dyn Candidate>>, parts: &[String]) -> Vec<Box<dyn Candidate>> {
        let is_meant =
            |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
        let candidates = candidates.into_iter();
        candidates
            .filter(|candidate| is_meant(&candidate.name()))
            .collect()
    }

    /// Runs every candidate, none more once somebody has asked to stop. `error_over_bound` judges a result: right where it is at most 1.
    pub fn of(
        candidates: Vec<Box<dyn Candidate>>,
        interrupt: &Interrupt,
        error_over_bound: &dyn Fn(&[f32]) -> anyhow::Result<f64>,
    ) -> Self {
        let mut finalists = Self::default();
        for mut candidate in candidates {
            if interrupt.is_asked() {
                break;
            }
            let name = candidate.name();
            let to_beat = finalists.to_beat();
            let outcome = match qualify(&mut *candidate, error_over_bound, to_beat) {
                Ok(once) => {
                    finalists.racing.push(Racer {
                        name: name.clone(),
                        candidate,
                        once,
                        repeats: 1,
                    });
                    Outcome::Slower(1e3 * once.as_secs_f64())
                }
                Err(outcome) => outcome,
            };
            let contender = Contender { name, outcome };
            // Minutes pass until all have run.
            eprintln!("{}", contender.line());
            match contender.outcome {
                Outcome::Slower(_) => {}
                _ => finalists.others.push(contender),
            }
        }
        finalists.racing.sort_by_key(|racer| racer.once);
        for slow in finalists
            .racing
            .drain(FINALISTS.min(finalists.racing.len())..)
        {
            finalists.others.push(Contender {
                name: slow.name,
                outcome: Outcome::Slower(1e3 * slow.once.as_secs_f64()),
            });
        }
        finalists
    }

    /// The time that a candidate has to beat to be a finalist.
    fn to_beat(&self) -> Duration {
        let mut times: Vec<Duration> = self.racing.iter().map(|racer| racer.once).collect();
        times.sort_unstable();
        times.get(FINALISTS - 1).copied().unwrap_or(Duration::MAX)
    }

    /// Whether nobody runs beside ours.
    pub fn is_empty(&self) -> bool {
        self.racing.is_empty()
    }

    /// Those who run beside ours, each run as often inside of one measurement as makes it `shortest` long, at most `most` times.
    pub fn racers(&mut self, shortest: Duration, most: u32) -> Vec<&mut dyn Timed> {
        for racer in &mut self.racing {
            racer.repeats = repeats_to_fill(shortest, racer.once, most);
        }
        let racers = self.racing.iter_mut();
        racers.map(|racer| racer as &mut dyn Timed).collect()
    }

    /// Everybody, the fastest first, and the runs of that one where it raced, from the runs of the racers in the order of
    /// [`Finalists::racers`].
    pub fn finish(self, runs: Vec<Runs>) -> (Vec<Contender>, Option<Runs>) {
        let mut raced: Vec<(Racer, Runs)> = self.racing.into_iter().zip(runs).collect();
        raced.sort_by(|(_, a), (_, b)| a.summary().median_ms.total_cmp(&b.summary().median_ms));
        let best = raced.first().map(|(_, runs)| runs.clone());
        let mut others = self.others;
        others.sort_by(|a, b| a.ms().total_cmp(&b.ms()));
        let raced = raced.into_iter().map(|(racer, runs)| Contender {
            name: racer.name,
            outcome: Outcome::Raced(runs.summary().median_ms),
        });
        (raced.chain(others).collect(), best)
    }
}

/// The median time of a run, or what keeps the candidate from running on.
fn qualify(
    candidate: &mut dyn Candidate,
    error_over_bound: &dyn Fn(&[f32]) -> anyhow::Result<f64>,
    to_beat: Duration,
) -> Result<Duration, Outcome> {
    let refused = |error: anyhow::Error| Outcome::Refused(one_line(&format!("{error:#}")));
    let result = guarded(|| {
        candidate.prepare()?;
        candidate.run(1)?;
        candidate.result()
    });
    let ratio = result.and_then(|y| error_over_bound(&y)).map_err(refused)?;
    if ratio > 1.0 || ratio.is_nan() {
        return Err(Outcome::Wrong(ratio));
    }
    let mut runs = Vec::new();
    while runs.len() < QUALIFYING_RUNS {
        let start = Instant::now();
        guarded(|| candidate.run(1)).map_err(refused)?;
        runs.push(start.elapsed());
        if start.elapsed() / HOPELESS > to_beat {
            break;
        }
    }
    runs.sort_unstable();
    Ok(runs[runs.len() / 2])
}

/// What is another library's panic is its refusal, not the end of our measurement.
fn guarded<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
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

/// Debug output of other libraries runs over many lines.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

struct Racer {
    name: String,
    candidate: Box<dyn Candidate>,
    once: Duration,
    repeats: u32,
}

impl Timed for Racer {
    fn run(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        guarded(|| self.candidate.run(self.repeats))?;
        Ok(start.elapsed() / self.repeats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        name: &'static str,
        y: f32,
        time: Duration,
        runs: u32,
    }

    impl Candidate for Fake {
        fn name(&self) -> String {
            self.name.into()
        }

        fn prepare(&mut self) -> anyhow::Result<()> {
            Ok(())
        }

        fn run(&mut self, repeats: u32) -> anyhow::Result<()> {
            assert!(self.name != "panics", "no such\n instruction");
            anyhow::ensure!(self.name != "refuses", "no such\n instruction");
            std::thread::sleep(self.time * repeats);
            self.runs += repeats;
            Ok(())
        }

        fn result(&mut self) -> anyhow::Result<Vec<f32>> {
            Ok(vec![self.y])
        }
    }

    fn fake(name: &'static str, y: f32, ms: u64) -> Box<dyn Candidate> {
        let time = Duration::from_millis(ms);
        Box::new(Fake {
            name,
            y,
            time,
            runs: 0,
        })
    }

    /// Right is 1, up to a tenth.
    fn judge(y: &[f32]) -> anyhow::Result<f64> {
        Ok(f64::from((y[0] - 1.0).abs()) / 0.1)
    }

    #[test]
    fn the_fastest_right_ones_race_and_the_others_are_named_with_what_became_of_them() {
        // Far apart: a loaded machine wakes sleepers late.
        let all = vec![
            fake("slowest", 1.0, 600),
            fake("third", 1.0, 250),
            fake("fast but wrong", 2.0, 0),
            fake("not a number", f32::NAN, 0),
            fake("best", 1.05, 1),
            fake("refuses", 1.0, 0),
            fake("panics", 1.0, 0),
            fake("second", 0.95, 80),
        ];
        let mut finalists = Finalists::of(all, &Interrupt::default(), &judge);
        let racers = finalists.racers(Duration::from_millis(4), 64);
        let runs: Vec<Runs> = racers
            .into_iter()
            .map(|racer| Runs::of(vec![racer.run().unwrap()]).unwrap())
            .collect();
        let (contenders, best) = finalists.finish(runs);
        let names: Vec<&str> = contenders.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names[..4], ["best", "second", "third", "slowest"]);
        assert!(matches!(contenders[0].outcome, Outcome::Raced(ms) if (1.0..80.0).contains(&ms)));
        assert!(matches!(contenders[3].outcome, Outcome::Slower(ms) if ms >= 600.0));
        let best = best.unwrap().summary().median_ms;
        assert!(matches!(contenders[0].outcome, Outcome::Raced(ms) if ms == best));
        let of = |name: &str| contenders.iter().find(|c| c.name == name).unwrap().words();
        assert!(of("fast but wrong").contains("wrong: its largest error is 1.000e1"));
        assert!(of("not a number").contains("NaN"));
        assert_eq!(of("refuses"), "refuses: does not run: no such instruction");
        assert!(of("panics").contains("panicked: no such instruction"));
    }

    #[test]
    fn only_the_strategies_that_are_named_run() {
        let all = || vec![fake("one two", 1.0, 0), fake("three", 1.0, 0)];
        let names = |parts: &[&str]| -> Vec<String> {
            let parts: Vec<String> = parts.iter().map(|part| (*part).into()).collect();
            let kept = Finalists::named(all(), &parts);
            kept.iter().map(|candidate| candidate.name()).collect()
        };
        assert_eq!(names(&[]), ["one two", "three"]);
        assert_eq!(names(&["two", "four"]), ["one two"]);
    }

    #[test]
    fn short_runs_are_repeated() {
        let mut finalists =
            Finalists::of(vec![fake("short", 1.0, 1)], &Interrupt::default(), &judge);
        let mut racers = finalists.racers(Duration::from_millis(20), 64);
        let start = Instant::now();
        let once = racers[0].run().unwrap();
        assert!(start.elapsed() > 5 * once, "{once:?}");
        assert!(Finalists::default().is_empty());
    }

    #[test]
    fn nobody_runs_any_more_once_somebody_has_asked_to_stop() {
        let interrupt = Interrupt::default();
        interrupt.ask();
        let finalists = Finalists::of(vec![fake("late", 1.0, 1)], &interrupt, &|_| Ok(0.0));
        assert!(finalists.is_empty() && finalists.finish(Vec::new()).0.is_empty());
    }
}
