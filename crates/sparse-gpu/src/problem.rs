//! Problem -> plan: what every operation has in common.

use std::future::Future;

use crate::{Error, Gpu, Tier, TileOrigin};

/// An operation's sizes, storage types and options: plain data that [`Gpu::plan`] turns into a plan.
pub trait Problem {
    /// What records the operation.
    type Plan;

    /// Chooses and compiles the kernels. Call [`Gpu::plan`].
    ///
    /// # Errors
    /// Those of [`Gpu::plan`].
    fn plan(&self, gpu: &Gpu) -> impl Future<Output = Result<Self::Plan, Error>>;
}

/// Why a plan is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The operation.
    pub operation: &'static str,
    /// Name of the main kernel's variant, after that of the one which expands its weights where there is one; of several steps their names, joined by `+`.
    pub kernel: String,
    /// Its tile.
    pub tile: String,
    /// Whose tile that is; none where there is nothing to choose, where several steps have a tile each, and where the tile was made smaller so that
    /// its operands can be bound, which a note says.
    pub tile_origin: Option<TileOrigin>,
    /// What the kernel needs of a device: [`Tier::Portable`] or [`Tier::CooperativeMatrix`].
    pub tier: Tier,
    /// The adapter.
    pub adapter: String,
    /// Bytes that the plan allocated for intermediate results; of several steps also for what passes from one to the next.
    pub scratch_bytes: u64,
    /// What was decided, and why.
    pub notes: Vec<String>,
}

impl Explanation {
    /// Says the kernels, tiles and notes of these steps.
    pub(crate) fn tell_steps(&mut self, steps: &[Self]) {
        let join = |of: fn(&Self) -> &str, between: &str| {
            steps.iter().map(of).collect::<Vec<_>>().join(between)
        };
        self.kernel = join(|step| &step.kernel, " + ");
        self.tile = join(|step| &step.tile, "; ");
        let notes = steps.iter().flat_map(|step| {
            let notes = step.notes.iter();
            notes.map(|note| format!("{}: {note}", step.operation))
        });
        self.notes.extend(notes);
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let origin = self.tile_origin.map(|origin| format!(" ({origin})"));
        writeln!(
            f,
            "{}: kernel {}, tile {}{}, tier {}, on {}, {} bytes of scratch memory",
            self.operation,
            self.kernel,
            self.tile,
            origin.unwrap_or_default(),
            self.tier,
            self.adapter,
            self.scratch_bytes
        )?;
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "  - {note}"))
    }
}
