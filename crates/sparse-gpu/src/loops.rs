//! Loops that a driver ends early.

use crate::{Error, Gpu};

/// Mesa's `LP_MAX_TGSI_LOOP_ITERATIONS`: rounds of all loops of one invocation together, after which llvmpipe leaves every loop as if it
/// were done.
pub(crate) const LLVMPIPE_ROUNDS: usize = 65_535;

impl Gpu {
    /// Rounds of loops that an invocation may run.
    pub(crate) fn longest_loop(&self) -> usize {
        if self.adapter().name.starts_with("llvmpipe") {
            LLVMPIPE_ROUNDS
        } else {
            usize::MAX
        }
    }

    /// Whether the driver runs loops of `rounds` rounds in total to their end.
    pub(crate) fn runs_loops(&self, rounds: usize) -> bool {
        rounds <= self.longest_loop()
    }

    /// Refuses `what`, whose invocations run loops of `rounds` rounds in total, on a driver that would not run them all: a sum would
    /// silently lack its rest.
    pub(crate) fn check_loops(&self, what: String, rounds: usize) -> Result<(), Error> {
        if self.runs_loops(rounds) {
            return Ok(());
        }
        Err(Error::Unavailable {
            what,
            needs: format!("a driver that runs loops of {rounds} rounds"),
            has: format!(
                "llvmpipe, which ends the loops of a shader after {LLVMPIPE_ROUNDS} without a word"
            ),
            hint: "split the longest dimension and combine the results, or use another adapter"
                .to_owned(),
        })
    }
}
