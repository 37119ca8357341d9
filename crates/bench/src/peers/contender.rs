//! A strategy of another library, and what becomes of it.

use serde::Serialize;

/// One strategy of another library for one problem, with its operands on the device.
pub trait Candidate {
    /// Library and strategy.
    fn name(&self) -> String;

    /// Makes sure that an earlier result cannot pass for that of the next run.
    ///
    /// # Errors
    /// Where the device fails.
    fn prepare(&mut self) -> anyhow::Result<()>;

    /// Starts so many runs, one after the other, and waits for their end.
    ///
    /// # Errors
    /// Where the library refuses the problem or its device fails.
    fn run(&mut self, repeats: u32) -> anyhow::Result<()>;

    /// The result of the last run, as ours is laid out.
    ///
    /// # Errors
    /// Where the library cannot read it back.
    fn result(&mut self) -> anyhow::Result<Vec<f32>>;
}

/// What became of a strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Took part in the interleaved run: its median in milliseconds.
    Raced(f64),
    /// Was slower in the qualifying runs: the shortest of them in milliseconds.
    Slower(f64),
    /// Its result lies outside of the error bound: the largest error over the bound.
    Wrong(f64),
    /// It does not run here: what the library says.
    Refused(String),
}

/// A strategy and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contender {
    /// Library and strategy.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Contender {
    /// Its name and time, or what keeps it from running.
    pub(super) fn line(&self) -> String {
        match self.outcome {
            Outcome::Slower(ms) => format!("{}: {ms:.2} ms", self.name),
            _ => self.words(),
        }
    }

    /// One line for people.
    pub fn words(&self) -> String {
        let outcome = match &self.outcome {
            Outcome::Raced(ms) => format!("{ms:.2} ms"),
            Outcome::Slower(ms) => format!("{ms:.2} ms, too slow for the interleaved run"),
            Outcome::Wrong(ratio) => {
                format!("wrong: its largest error is {ratio:.3e} of its bound")
            }
            Outcome::Refused(message) => format!("does not run: {message}"),
        };
        format!("{}: {outcome}", self.name)
    }

    /// Its time, infinite where it has none that counts.
    pub(super) fn ms(&self) -> f64 {
        match self.outcome {
            Outcome::Raced(ms) | Outcome::Slower(ms) => ms,
            Outcome::Wrong(_) | Outcome::Refused(_) => f64::INFINITY,
        }
    }
}
