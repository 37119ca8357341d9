//! The compiled kernels of a product, and their scratch memory.

use std::sync::Arc;

use super::expansion::Expansion;
use super::finish::Finish;
use super::multiply;
use super::output::Outputs;
use super::pack::Pack;
use super::schedule::Schedule;
use crate::kernel::CompiledKernel;
use crate::{Error, Gpu};

/// What a recording dispatches.
#[derive(Debug)]
pub(super) struct Passes {
    /// Where N:M weights meet the dense kernel.
    pub(super) expansion: Option<Expansion>,
    /// Unless x is read where it is.
    pub(super) pack: Option<Pack>,
    /// The main kernel.
    pub(super) multiply: Arc<CompiledKernel>,
    /// Where the main kernel leaves sums.
    pub(super) finish: Option<Finish>,
}

impl Passes {
    pub(super) async fn plan(gpu: &Gpu, schedule: &Schedule) -> Result<Self, Error> {
        let outputs = Outputs::of(schedule);
        let multiply = multiply::compile(gpu, schedule, outputs.main).await?;
        let pack = if schedule.reads_x_in_place() {
            None
        } else {
            Some(Pack::plan(gpu, schedule).await?)
        };
        let finish = match outputs.finish {
            Some(output) => Some(Finish::plan(gpu, schedule, output).await?),
            None => None,
        };
        Ok(Self {
            expansion: Expansion::plan(gpu, schedule).await?,
            pack,
            multiply,
            finish,
        })
    }

    /// Of the kernel that expands and of the main one.
    pub(super) fn kernel_names(&self) -> String {
        let main = self.multiply.name();
        match &self.expansion {
            Some(expansion) => format!("{} + {main}", expansion.kernel.name()),
            None => main.to_owned(),
        }
    }

    pub(super) fn scratch_bytes(&self) -> u64 {
        self.expansion.as_ref().map_or(0, |e| e.dense.size())
            + self.pack.as_ref().map_or(0, |p| p.packed.size())
            + self.finish.as_ref().map_or(0, |f| f.sums.size())
    }
}
