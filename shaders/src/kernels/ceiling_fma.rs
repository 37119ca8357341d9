//! `ceiling_fma.wgsl`: how many multiply-adds a device can do.

use serde::Serialize;

use crate::ceiling::check_loop;
use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;

/// Multiply-adds in registers; see `ceiling_fma.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FmaCeilingKernel {
    /// Independent `vec4` chains of an invocation, 1 to 8: as many hide the latency as a lane has registers for.
    pub chains: usize,
    /// `fma(a, b, c)` instead of `a * b + c`: drivers differ in which of them is one instruction.
    pub fused: bool,
    /// Rounds of the loop.
    pub rounds: usize,
    /// Multiply-adds of each chain in a round.
    pub steps: usize,
}

impl FmaCeilingKernel {
    /// Multiply-adds of one invocation.
    pub const fn fmas_per_invocation(&self) -> usize {
        self.chains
            .saturating_mul(4)
            .saturating_mul(self.rounds)
            .saturating_mul(self.steps)
    }
}

impl Kernel for FmaCeilingKernel {
    fn template(&self) -> &'static str {
        "ceiling_fma.wgsl"
    }

    fn name(&self) -> String {
        let how = if self.fused { "fma" } else { "mul-add" };
        format!(
            "ceiling_{how}_{}x{}x{}",
            self.chains, self.rounds, self.steps
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        require(
            (1..=8).contains(&self.chains),
            &name,
            "chains",
            self.chains,
            "1 to 8",
        )?;
        check_loop(&name, self.rounds, self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand;

    #[test]
    fn sizes_that_do_not_fit_are_refused_by_name() {
        let kernel = FmaCeilingKernel {
            chains: 9,
            fused: true,
            rounds: 1,
            steps: 1,
        };
        let message = expand(&kernel).unwrap_err().to_string();
        assert!(message.contains("chains is 9"), "{message}");
    }

    #[test]
    fn the_loop_holds_as_many_multiply_adds_as_are_counted() {
        for fused in [true, false] {
            let kernel = FmaCeilingKernel {
                chains: 3,
                fused,
                rounds: 7,
                steps: 5,
            };
            let wgsl = expand(&kernel).unwrap().wgsl;
            let body = wgsl
                .matches(if fused { "fma(" } else { "* factor" })
                .count();
            assert_eq!(body * 4 * kernel.rounds, kernel.fmas_per_invocation());
        }
    }
}
