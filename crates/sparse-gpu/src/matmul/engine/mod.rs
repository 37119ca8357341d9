//! Planning and recording a product.
//!
//! Planning goes [`check`] -> [`choose`](super::choose) -> [`schedule`] -> [`passes`]: what is asked, which kernel, in how many pieces, compiled.
//! Recording goes [`operands`] -> [`slices`] -> [`record`]: are they what was planned, which of them can be bound at once, and then for each
//! chunk of tokens [`pack`], for each slice of weights [`expansion`] -> [`multiply`], and [`finish`].

mod check;
mod chunks;
mod expansion;
mod extent;
mod finish;
mod multiply;
mod operands;
mod output;
mod pack;
mod parts;
mod passes;
mod plan;
mod record;
mod schedule;
mod slices;
mod y;

use self::passes::Passes;
use self::schedule::Schedule;
use super::choose::{KernelChoice, MatvecTile};
use super::weights::Weights;
use super::{Extras, MatmulProblem};
use crate::problem::Explanation;
use crate::{Gpu, GpuTensor, KernelTile, TileWalk};

/// What a recording works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a> {
    pub(crate) weights: Weights<'a>,
    pub(crate) x: &'a GpuTensor,
    pub(crate) extras: Extras<'a>,
    pub(crate) y: &'a GpuTensor,
}

/// A planned product.
#[derive(Debug)]
pub(crate) struct Engine {
    gpu: Gpu,
    /// As it was asked for: what operands are checked against.
    asked: MatmulProblem,
    schedule: Schedule,
    passes: Passes,
    explanation: Explanation,
}

impl Engine {
    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// Kernel and tile as a table names them.
    pub(crate) fn kernel_tile(&self) -> Option<KernelTile> {
        let walk = TileWalk::of(self.schedule.walk)?;
        Some(match self.schedule.kernel {
            KernelChoice::Tiled(tile) => KernelTile::Matmul { walk, tile },
            KernelChoice::Matvec(MatvecTile { rows, lanes, .. }) => {
                KernelTile::Matvec { walk, rows, lanes }
            }
            // No table has those yet.
            KernelChoice::Cooperative { .. } => return None,
        })
    }
}
