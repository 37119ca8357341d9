//! Micro-kernels that measure what a device can do at best: yardsticks of the bench, never chosen by a plan.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, require};

/// Invocations of a workgroup of every ceiling kernel.
pub const CEILING_LANES: usize = 64;

/// `vec4` of workgroup memory that [`ReadCeilingKernel`] walks: 8 KiB, half of what every device has, so that two workgroups fit a core.
pub const CEILING_TILE: usize = 512;

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
        4 * self.chains * self.rounds * self.steps
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

/// Which addresses the lanes of a workgroup read one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadOrder {
    /// Neighbouring lanes read neighbours, and so do neighbouring workgroups: what a GPU wants.
    Neighbours,
    /// Eight neighbouring lanes read neighbours and go on behind them, page after page, as a processor wants what is in no cache.
    Pieces,
    /// All lanes read the same address, as scalar loads do.
    Uniform,
}

impl ReadOrder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Neighbours, Self::Pieces, Self::Uniform];

    const fn name(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::Pieces => "pieces",
            Self::Uniform => "uniform",
        }
    }
}

/// Reads of a storage buffer or of workgroup memory; see `ceiling_read.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ReadCeilingKernel {
    /// From workgroup memory instead of from the buffer.
    pub workgroup: bool,
    /// Who reads what; in workgroup memory pieces are neighbours.
    pub order: ReadOrder,
    /// Rounds of the loop.
    pub rounds: usize,
    /// Reads of a round.
    pub steps: usize,
    /// `vec4` of workgroup memory; always [`CEILING_TILE`].
    tile: usize,
}

impl ReadCeilingKernel {
    /// A kernel that reads `rounds * steps` vec4 an invocation.
    pub const fn new(workgroup: bool, order: ReadOrder, rounds: usize, steps: usize) -> Self {
        Self {
            workgroup,
            order,
            rounds,
            steps,
            tile: CEILING_TILE,
        }
    }
}

impl Kernel for ReadCeilingKernel {
    fn template(&self) -> &'static str {
        "ceiling_read.wgsl"
    }

    fn name(&self) -> String {
        let memory = if self.workgroup {
            "workgroup"
        } else {
            "storage"
        };
        let order = self.order.name();
        format!(
            "ceiling_read_{memory}_{order}_{}x{}",
            self.rounds, self.steps
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_loop(&|| self.name(), self.rounds, self.steps)
    }
}

/// Some drivers end loops after 65 535 rounds, and a long body takes long to compile.
fn check_loop(name: &dyn Fn() -> String, rounds: usize, steps: usize) -> Result<(), ConfigError> {
    require(
        (1..=65_000).contains(&rounds),
        name,
        "rounds",
        rounds,
        "1 to 65000",
    )?;
    require((1..=64).contains(&steps), name, "steps", steps, "1 to 64")
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
        let message = expand(&ReadCeilingKernel::new(true, ReadOrder::Uniform, 70_000, 1))
            .unwrap_err()
            .to_string();
        assert!(message.contains("rounds is 70000"), "{message}");
        let message = expand(&ReadCeilingKernel::new(true, ReadOrder::Uniform, 7, 65))
            .unwrap_err()
            .to_string();
        assert!(message.contains("steps is 65"), "{message}");
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
