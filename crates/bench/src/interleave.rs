//! The contenders of one row take turns, so that a change of clock or load hits all of them alike.

use std::time::{Duration, Instant};

use sparse_measure::{Budget, Runs, turns};

/// Something that can be run and knows how long a run took, by GPU timestamps or by the clock on the wall.
pub trait Timed {
    /// Runs once and gives the time of this run.
    ///
    /// # Errors
    /// Where the device fails.
    fn run(&mut self) -> anyhow::Result<Duration>;
}

impl<F: FnMut() -> anyhow::Result<Duration>> Timed for F {
    fn run(&mut self) -> anyhow::Result<Duration> {
        self()
    }
}

/// The clock that the budget is counted on.
pub trait Clock {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
}

/// The clock on the wall.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Runs all contenders in rounds, each once a round, every second round in reverse order.
///
/// `after_round` is told the number of rounds done and a guess of all that there will be.
///
/// # Errors
/// The first error of a contender; [`anyhow::Error`] also where the budget allows no round.
pub fn interleave(
    contenders: &mut [&mut dyn Timed],
    budget: Budget,
    clock: &dyn Clock,
    after_round: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<Vec<Runs>> {
    for _ in 0..budget.warm_up {
        for contender in contenders.iter_mut() {
            contender.run()?;
        }
    }
    let mut runs = vec![Vec::new(); contenders.len()];
    let start = clock.now();
    let mut rounds = 0;
    while rounds < budget.most_rounds.max(1) {
        for turn in turns(rounds, contenders.len()) {
            runs[turn].push(contenders[turn].run()?);
        }
        rounds += 1;
        let expected = budget.expected_rounds(rounds, clock.now().saturating_sub(start));
        after_round(rounds, expected);
        if rounds >= expected {
            break;
        }
    }
    runs.into_iter()
        .map(|runs| Runs::of(runs).ok_or_else(|| anyhow::anyhow!("nothing was run")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[derive(Default)]
    struct FakeClock(Cell<Duration>);

    impl Clock for FakeClock {
        fn now(&self) -> Duration {
            self.0.get()
        }
    }

    impl FakeClock {
        fn spend(&self, ms: u64) -> anyhow::Result<Duration> {
            let time = Duration::from_millis(ms);
            self.0.set(self.0.get() + time);
            Ok(time)
        }
    }

    fn rounds_of(ms: u64, budget: Budget) -> usize {
        let clock = FakeClock::default();
        let mut run = || clock.spend(ms);
        interleave(&mut [&mut run], budget, &clock, &mut |_, _| ()).unwrap()[0]
            .summary()
            .runs
    }

    #[test]
    fn the_number_of_rounds_follows_the_time() {
        let budget = Budget::of(Duration::from_secs(1));
        assert_eq!(rounds_of(100, budget), 10);
        assert_eq!(rounds_of(400, budget), budget.least_rounds);
        assert_eq!(rounds_of(1, budget), budget.most_rounds);
        assert_eq!(rounds_of(0, budget), budget.most_rounds);
    }

    #[test]
    fn contenders_take_turns_in_alternating_order_after_the_warm_up() {
        let (clock, order) = (FakeClock::default(), RefCell::new(String::new()));
        let contender = |name: char, ms: u64| {
            let (clock, order) = (&clock, &order);
            move || {
                order.borrow_mut().push(name);
                clock.spend(ms)
            }
        };
        let (mut a, mut b) = (contender('a', 30), contender('b', 10));
        let budget = Budget {
            warm_up: 1,
            least_rounds: 3,
            most_rounds: 3,
            time: Duration::ZERO,
        };
        let mut seen = Vec::new();
        let runs = interleave(&mut [&mut a, &mut b], budget, &clock, &mut |done, all| {
            seen.push((done, all));
        })
        .unwrap();
        assert_eq!(*order.borrow(), "abab".to_owned() + "baab");
        assert_eq!(
            (runs[0].summary().median_ms, runs[1].summary().median_ms),
            (30.0, 10.0)
        );
        assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let clock = FakeClock::default();
        let mut first = true;
        let mut run = || clock.spend(if std::mem::take(&mut first) { 5000 } else { 10 });
        let budget = Budget {
            warm_up: 1,
            ..Budget::of(Duration::from_millis(100))
        };
        let summary =
            interleave(&mut [&mut run], budget, &clock, &mut |_, _| ()).unwrap()[0].summary();
        assert_eq!((summary.runs, summary.median_ms), (10, 10.0));
    }

    #[test]
    fn an_error_ends_the_row() {
        let mut run = || Err(anyhow::anyhow!("device lost"));
        let budget = Budget::of(Duration::ZERO);
        let result = interleave(
            &mut [&mut run],
            budget,
            &FakeClock::default(),
            &mut |_, _| (),
        );
        assert_eq!(result.unwrap_err().to_string(), "device lost");
    }
}
