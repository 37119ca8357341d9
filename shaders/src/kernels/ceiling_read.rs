//! `ceiling_read.wgsl`: how many bytes a device can read.

use serde::Serialize;

use crate::ceiling::check_loop;
use crate::config_error::ConfigError;
use crate::kernel::Kernel;

/// `vec4` of workgroup memory that [`ReadCeilingKernel`] walks: 8 KiB, half of what every device has, so that two workgroups fit a core.
pub const CEILING_TILE: usize = 512;

/// Which addresses the lanes of a workgroup read one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadOrder {
    /// Neighbouring lanes read neighbours, and so do neighbouring workgroups: what a GPU wants.
    Neighbours,
    /// Eight neighbouring lanes read neighbours and go on behind them, page after page, as a processor wants what is in no cache.
    Pieces,
    /// Eight neighbouring lanes read neighbours of as many rows by turns as a round has reads, and go on in each: a mat-vec, whose rows a processor fetches ahead
    /// side by side.
    Rows,
    /// All lanes read the same address, as scalar loads do.
    Uniform,
}

impl ReadOrder {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Neighbours, Self::Pieces, Self::Rows, Self::Uniform];

    const fn name(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::Pieces => "pieces",
            Self::Rows => "rows",
            Self::Uniform => "uniform",
        }
    }
}

/// Reads of a storage buffer or of workgroup memory; see `ceiling_read.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ReadCeilingKernel {
    /// From workgroup memory instead of from the buffer.
    pub workgroup: bool,
    /// Who reads what; in workgroup memory pieces and rows are neighbours.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand;

    #[test]
    fn sizes_that_do_not_fit_are_refused_by_name() {
        let message = expand(&ReadCeilingKernel::new(true, ReadOrder::Uniform, 70_000, 1))
            .unwrap_err()
            .to_string();
        assert!(message.contains("rounds is 70000"), "{message}");
        let message = expand(&ReadCeilingKernel::new(true, ReadOrder::Uniform, 7, 65))
            .unwrap_err()
            .to_string();
        assert!(message.contains("steps is 65"), "{message}");
    }
}
