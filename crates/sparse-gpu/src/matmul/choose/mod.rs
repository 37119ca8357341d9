//! Which walk, kernel and tile a product gets, and why.

pub(crate) mod cooperative;
mod kernel;
mod nm_transposed_walk;
mod nm_walk;
mod split_k;
mod tile;
mod walk;

pub(crate) use kernel::{KernelChoice, MatvecTile};
pub(super) use nm_transposed_walk::expansion_bytes;
pub(super) use nm_walk::is_branching;
pub use split_k::MOST_PARTS;
pub(super) use split_k::split_k;
pub(crate) use tile::{matvec_tile, narrowed, tile};

use sparse_shaders::{Kernel as _, MatmulKernel, MatvecKernel, PackKernel, Tile, Walk};

use super::MatmulProblem;
use super::layout::steps;
use crate::tile_table::Chosen;
use crate::{Error, Gpu, TileOrigin};

/// Up to this many tokens, and without a tile of the caller's, a matmul runs as a matrix-vector product.
const FEW_TOKENS: usize = MatvecKernel::MAX_TOKENS;

/// How a product is computed, as far as that does not depend on what can be bound at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) walk: Walk,
    pub(super) kernel: KernelChoice,
    /// Where the tile comes from; none for kernels that no table has.
    pub(super) origin: Option<TileOrigin>,
}

/// The choice for `problem`, whose reasons become `notes`.
pub(super) fn choose(
    gpu: &Gpu,
    problem: &MatmulProblem,
    notes: &mut Vec<String>,
) -> Result<Choice, Error> {
    match cooperative::choose(gpu, problem, notes)? {
        Some(choice) => Ok(choice),
        None => portable(gpu, problem, notes),
    }
}

fn portable(gpu: &Gpu, problem: &MatmulProblem, notes: &mut Vec<String>) -> Result<Choice, Error> {
    let few = problem.few_tokens_only
        || (problem.tile.is_none() && problem.nm_variant.is_none() && problem.tokens <= FEW_TOKENS);
    let (walk, why) = walk::walk(problem, few, gpu.class(), expansion_bytes(gpu))?;
    notes.extend(why);
    if let Some(tile) = problem.tile {
        check_tile(problem.operation, walk, tile)?;
    }
    let (weights, tokens) = ((walk, problem.types.w), problem.tokens);
    let (kernel, origin) = if few {
        let sizes = (problem.n_out, steps(walk, problem.k_in));
        let Chosen { tile, origin } = gpu.matvec_tile(weights, tokens, sizes);
        (KernelChoice::Matvec(tile), origin)
    } else {
        let Chosen { tile, origin } = gpu.matmul_tile(problem.tile, weights, tokens);
        (KernelChoice::Tiled(tile), origin)
    };
    Ok(Choice {
        walk,
        kernel,
        origin: Some(origin),
    })
}

/// Refuses a tile of the caller's that the kernel of `walk` cannot have.
fn check_tile(operation: &'static str, walk: Walk, tile: Tile) -> Result<(), Error> {
    MatmulKernel::new(walk, tile)
        .check()
        .map_err(|e| Error::tile(operation, &e))?;
    let panel = tile.panel();
    if PackKernel::takes_panel(panel) {
        return Ok(());
    }
    let reason = format!(
        "tile {tile} takes {panel} tokens at once; x is packed in panels of a power of two of tokens, or of a multiple of 32: take 4, 8 or 16 \
         columns, or 8 lanes or more"
    );
    Err(Error::invalid(operation, reason))
}
