//! Planning and recording a product.

mod check;
mod expansion;
mod layout;
mod operands;
mod output;
mod plan;
mod record;
mod slices;

pub(crate) use expansion::dense_bytes;
pub(crate) use layout::{WORD_WEIGHTS, matvec_rounds};

use std::sync::Arc;

use sparse_shaders::Walk;

use self::expansion::Expansion;
use super::choose::{KernelChoice, MatvecTile};
use super::weights::Weights;
use super::{Extras, MatmulProblem};
use crate::kernel::CompiledKernel;
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
    /// As it is computed: items that share w and follow each other are more tokens of one.
    problem: MatmulProblem,
    walk: Walk,
    chosen: KernelChoice,
    main: Arc<CompiledKernel>,
    /// Where N:M weights meet the dense kernel.
    expansion: Option<Expansion>,
    pack: Option<Pack>,
    finish: Option<Finish>,
    /// Parts into which k is split.
    parts: usize,
    /// The weights of all parts cannot be bound at once.
    parts_apart: bool,
    packed_rows: usize,
    chunk_tokens: usize,
    explanation: Explanation,
}

/// Activations are repacked into this scratch buffer first.
#[derive(Debug)]
struct Pack {
    kernel: Arc<CompiledKernel>,
    /// x is `[k_in, tokens]`.
    transposed: bool,
    /// Elements of what the kernel loads x in.
    unit: u64,
    /// Tokens and columns that one workgroup moves.
    tile: (usize, usize),
    packed: wgpu::Buffer,
}

/// The sums go into this f32 scratch buffer, and a second pass makes y of them.
#[derive(Debug)]
struct Finish {
    kernel: Arc<CompiledKernel>,
    sums: wgpu::Buffer,
}

impl Engine {
    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// Kernel and tile as a table names them.
    pub(crate) fn kernel_tile(&self) -> Option<KernelTile> {
        let walk = TileWalk::of(self.walk)?;
        Some(match self.chosen {
            KernelChoice::Tiled(tile) => KernelTile::Matmul { walk, tile },
            KernelChoice::Matvec(MatvecTile { rows, lanes, .. }) => {
                KernelTile::Matvec { walk, rows, lanes }
            }
            // No table has those yet.
            KernelChoice::Cooperative { .. } => return None,
        })
    }
}
