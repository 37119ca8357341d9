//! A strategy that has no operands.

use super::Candidate;

/// A strategy whose library did not take the operands, under its own name: `--strategies` is to find it.
pub(super) struct Refused {
    name: String,
    reason: String,
}

impl Refused {
    /// What the library says, or what kept the operands from being made for it.
    pub(super) fn boxed(name: String, reason: &str) -> Box<dyn Candidate> {
        Box::new(Self {
            name,
            reason: reason.into(),
        })
    }
}

impl Candidate for Refused {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        anyhow::bail!("{}", self.reason)
    }

    fn run(&mut self, _repeats: u32) -> anyhow::Result<()> {
        self.prepare()
    }

    fn result(&mut self) -> anyhow::Result<Vec<f32>> {
        anyhow::bail!("{}", self.reason)
    }
}
