//! Finding the best of many strategies: each run, checked and timed, the fastest right ones run again beside ours.

use std::time::Duration;

use sparse_measure::Runs;

use super::qualify::{FINALISTS, qualify, qualify_by_turns, to_beat};
use super::racer::Racer;
use super::{Candidate, Contender, Outcome};
use crate::interleave::Timed;
use crate::interrupt::Interrupt;

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
        let (mut racers, mut others) = (Vec::new(), Vec::new());
        for mut candidate in candidates {
            if interrupt.is_asked() {
                break;
            }
            let name = candidate.name();
            let qualified = qualify(&mut *candidate, error_over_bound, to_beat(&racers));
            let outcome = match &qualified {
                Ok(shortest) => Outcome::Slower(1e3 * shortest.as_secs_f64()),
                Err(outcome) => outcome.clone(),
            };
            let contender = Contender { name, outcome };
            // Minutes pass until all have run.
            eprintln!("{}", contender.line());
            match qualified {
                Ok(shortest) => racers.push(Racer::new(contender.name, candidate, shortest)),
                Err(_) => others.push(contender),
            }
        }
        qualify_by_turns(&mut racers, interrupt);
        racers.sort_by_key(|racer| (racer.has_failed(), racer.shortest()));
        let right = racers.iter().filter(|racer| !racer.has_failed()).count();
        let left_out = racers.drain(FINALISTS.min(right)..);
        others.extend(left_out.map(Racer::left_out));
        Self {
            racing: racers,
            others,
        }
    }

    /// Whether nobody runs beside ours.
    pub fn is_empty(&self) -> bool {
        self.racing.is_empty()
    }

    /// Those who run beside ours, each run as often inside of one measurement as makes it `shortest` long, at most `most` times.
    pub fn racers(&mut self, shortest: Duration, most: u32) -> Vec<&mut dyn Timed> {
        for racer in &mut self.racing {
            racer.fill(shortest, most);
        }
        let racers = self.racing.iter_mut();
        racers.map(|racer| racer as &mut dyn Timed).collect()
    }

    /// Everybody, the fastest first, and the runs of that one where it raced, from the runs of the racers in the order of
    /// [`Finalists::racers`]. One that failed on the way has not raced.
    pub fn finish(self, runs: Vec<Runs>) -> (Vec<Contender>, Option<Runs>) {
        let all = self.racing.into_iter().zip(runs);
        let (failed, mut raced): (Vec<_>, Vec<_>) = all.partition(|(racer, _)| racer.has_failed());
        raced.sort_by(|(_, a), (_, b)| a.summary().median_ms.total_cmp(&b.summary().median_ms));
        let best = raced.first().map(|(_, runs)| runs.clone());
        let mut others = self.others;
        others.extend(failed.into_iter().map(|(racer, _)| racer.left_out()));
        others.sort_by(|a, b| a.ms().total_cmp(&b.ms()));
        let raced = raced
            .into_iter()
            .map(|(racer, runs)| racer.raced(runs.summary().median_ms));
        (raced.chain(others).collect(), best)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Instant;

    use sparse_measure::Budget;

    use super::*;
    use crate::interleave::{SystemClock, interleave};

    /// Names, one for each call of `run`.
    type Log = Rc<RefCell<Vec<&'static str>>>;

    struct Fake {
        name: &'static str,
        y: f32,
        /// Of each call of `run`, the last one of all further ones.
        ms: Vec<u64>,
        log: Log,
    }

    impl Fake {
        fn calls(&self) -> usize {
            let log = self.log.borrow();
            log.iter().filter(|name| **name == self.name).count()
        }
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
            let call = self.calls();
            anyhow::ensure!(
                self.name != "fails later" || call < self.ms.len(),
                "device\n lost"
            );
            self.log.borrow_mut().push(self.name);
            let ms = self.ms[call.min(self.ms.len() - 1)];
            std::thread::sleep(Duration::from_millis(ms) * repeats);
            Ok(())
        }

        fn result(&mut self) -> anyhow::Result<Vec<f32>> {
            Ok(vec![self.y])
        }
    }

    fn fake(name: &'static str, y: f32, ms: u64) -> Box<dyn Candidate> {
        let (ms, log) = (vec![ms], Log::default());
        Box::new(Fake { name, y, ms, log })
    }

    /// Right ones that take these times for their calls.
    fn of_times(all: &[(&'static str, &[u64])], log: &Log) -> Finalists {
        let candidates = all.iter().map(|&(name, ms)| {
            Box::new(Fake {
                name,
                y: 1.0,
                ms: ms.into(),
                log: Rc::clone(log),
            }) as Box<dyn Candidate>
        });
        Finalists::of(candidates.collect(), &Interrupt::default(), &judge)
    }

    fn names(finalists: &Finalists) -> Vec<String> {
        let racing = finalists.racing.iter();
        racing.map(|racer| racer.name().to_owned()).collect()
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

    /// The machine is busy with something else for as long as the best one qualifies.
    #[test]
    fn who_is_slow_for_a_moment_keeps_its_place() {
        let log = Log::default();
        let all: [(&str, &[u64]); 5] = [
            ("first", &[80]),
            ("second", &[80]),
            ("best", &[110, 110, 110, 110, 30]),
            ("third", &[80]),
            ("hopeless", &[900]),
        ];
        let finalists = of_times(&all, &log);
        assert_eq!(names(&finalists)[0], "best");
        assert_eq!(finalists.racing.len(), FINALISTS);
        // By turns, in alternating order, and only those that are close.
        let by_turns = log.borrow();
        let by_turns = &by_turns[4 * 4 + 2..];
        let round = ["first", "second", "best", "third"];
        let back = ["third", "best", "second", "first"];
        assert_eq!(by_turns[..8], [round, back].concat());
        // Beside 30 ms two times of 80 are the second and the third best, so all of them stay close.
        assert_eq!(by_turns.len(), 3 * round.len(), "{by_turns:?}");
    }

    #[test]
    fn a_single_slow_run_of_three_does_not_count() {
        let log = Log::default();
        let all: [(&str, &[u64]); 4] = [
            ("first", &[100]),
            ("second", &[100]),
            ("third", &[100]),
            ("best", &[20, 350, 20]),
        ];
        let finalists = of_times(&all, &log);
        assert_eq!(names(&finalists)[0], "best");
    }

    #[test]
    fn nobody_runs_by_turns_where_the_first_runs_have_decided() {
        let log = Log::default();
        let all: [(&str, &[u64]); 4] = [
            ("first", &[20]),
            ("second", &[20]),
            ("third", &[20]),
            ("far", &[600]),
        ];
        let finalists = of_times(&all, &log);
        assert_eq!(names(&finalists).len(), FINALISTS);
        // The checked run and three more each; of one that is far only one more.
        assert_eq!(log.borrow().len(), 3 * 4 + 2);
    }

    #[test]
    fn who_fails_beside_ours_is_told_and_the_others_run_on() {
        let log = Log::default();
        let all: [(&str, &[u64]); 2] = [("stays", &[60]), ("fails later", &[1; 6])];
        let mut finalists = of_times(&all, &log);
        assert_eq!(names(&finalists), ["fails later", "stays"]);
        let mut ours = || Ok(Duration::from_millis(2));
        let mut contenders: Vec<&mut dyn Timed> = vec![&mut ours];
        contenders.extend(finalists.racers(Duration::ZERO, 1));
        let budget = Budget {
            warm_up: 0,
            ..Budget::of(Duration::ZERO)
        };
        let clock = SystemClock::start();
        let mut runs = interleave(&mut contenders, budget, &clock, &mut |_, _| ()).unwrap();
        assert_eq!(runs[0].summary().median_ms, 2.0);
        let (told, best) = finalists.finish(runs.split_off(1));
        let told: Vec<String> = told.iter().map(Contender::words).collect();
        assert!(told[0].starts_with("stays: "), "{told:?}");
        assert_eq!(
            told[1],
            "fails later: does not run: failed beside ours in round 3: device lost"
        );
        assert!(best.unwrap().summary().median_ms >= 60.0);
    }

    #[test]
    fn who_fails_by_turns_is_told_and_makes_room() {
        let log = Log::default();
        let all: [(&str, &[u64]); 4] = [
            ("first", &[40]),
            ("second", &[40]),
            ("fails later", &[30; 5]),
            ("third", &[50]),
        ];
        let finalists = of_times(&all, &log);
        let mut racing = names(&finalists);
        racing.sort();
        assert_eq!(racing, ["first", "second", "third"]);
        let words = finalists.others[0].words();
        assert_eq!(words, "fails later: does not run: device lost");
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
