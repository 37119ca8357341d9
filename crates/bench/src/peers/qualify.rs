//! Who is among the fastest: few runs of every strategy, then more of those that are close, by turns.

use std::time::{Duration, Instant};

use sparse_measure::turns;

use super::racer::{Racer, guarded, refusal, timed};
use super::{Candidate, Outcome};
use crate::interrupt::Interrupt;

/// Strategies that run beside ours.
pub(super) const FINALISTS: usize = 3;
/// Runs of every right strategy when it is its turn.
const RUNS: usize = 3;
/// A strategy that takes more than this many times as long as the slowest finalist so far is none.
const CLOSE: u32 = 2;
/// What a single run may take instead, since something else may have had the machine.
const FAR: u32 = 5;
/// Rounds in which those that are close run by turns.
const ROUNDS: usize = 3;
/// No further round is started after this time.
const LONGEST: Duration = Duration::from_secs(20);

/// Checks a result, and gives the shortest time of a few runs, or what keeps the candidate from running on.
pub(super) fn qualify(
    candidate: &mut dyn Candidate,
    error_over_bound: &dyn Fn(&[f32]) -> anyhow::Result<f64>,
    to_beat: Duration,
) -> Result<Duration, Outcome> {
    let refused = |error: anyhow::Error| Outcome::Refused(refusal(&error));
    let result = guarded(|| {
        candidate.prepare()?;
        candidate.run(1)?;
        candidate.result()
    });
    let ratio = result.and_then(|y| error_over_bound(&y)).map_err(refused)?;
    if ratio > 1.0 || ratio.is_nan() {
        return Err(Outcome::Wrong(ratio));
    }
    let mut shortest = timed(candidate, 1).map_err(refused)?;
    let mut hopeless = FAR;
    for _ in 1..RUNS {
        if shortest / hopeless > to_beat {
            break;
        }
        shortest = shortest.min(timed(candidate, 1).map_err(refused)?);
        hopeless = CLOSE;
    }
    Ok(shortest)
}

/// Runs those by turns that may be finalists. Each had its first runs at a time of its own, and one during which the machine was busy must
/// not lose its place by that.
pub(super) fn qualify_by_turns(racers: &mut [Racer], interrupt: &Interrupt) {
    let start = Instant::now();
    for round in 0..ROUNDS {
        let close = close(racers);
        let is_decided = close.len() <= FINALISTS;
        if is_decided || (round > 0 && start.elapsed() > LONGEST) {
            return;
        }
        if round == 0 {
            // The next minute says nothing else.
            eprintln!("{} of them run again by turns", close.len());
        }
        for turn in turns(round, close.len()) {
            if interrupt.is_asked() {
                return;
            }
            racers[close[turn]].qualify_again();
        }
    }
}

/// Those that may be finalists, by their places.
fn close(racers: &[Racer]) -> Vec<usize> {
    let to_beat = to_beat(racers);
    let is_close = |racer: &Racer| !racer.has_failed() && racer.shortest() / CLOSE <= to_beat;
    (0..racers.len())
        .filter(|&place| is_close(&racers[place]))
        .collect()
}

/// The time that a candidate has to beat to be a finalist.
pub(super) fn to_beat(racers: &[Racer]) -> Duration {
    let right = racers.iter().filter(|racer| !racer.has_failed());
    let mut times: Vec<Duration> = right.map(Racer::shortest).collect();
    times.sort_unstable();
    times.get(FINALISTS - 1).copied().unwrap_or(Duration::MAX)
}
