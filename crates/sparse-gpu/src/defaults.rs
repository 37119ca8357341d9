//! The tiles that plans take where the problem names none, per class of adapter: for tools that look at kernels without a device.
//!
//! ```
//! use sparse_gpu::{AdapterClass, BlockAttention, defaults};
//! use sparse_gpu::sparse_core::attention::AttentionShape;
//! let shape = AttentionShape::try_new(1, 8, 8, 4096, 4096, 128)?;
//! let problem = BlockAttention::new(shape);
//! let tile = defaults::attention_tile(&problem, AdapterClass::Amd);
//! assert!(tile.queries() >= 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use sparse_shaders::{AttentionTile, CooperativeTile, MatrixSize, MatvecKernel, Tile, Walk};

pub use crate::matmul::choose::MOST_PARTS;
use crate::{AdapterClass, BlockAttention};

/// The tile of `block_attention` for `problem`, whose own `tile` is not looked at.
pub fn attention_tile(problem: &BlockAttention, class: AdapterClass) -> AttentionTile {
    crate::attention::choose::tile(problem, class)
}

/// The tile of `xattention_score` for a head of so many query groups.
pub fn score_tile(query_groups: usize, class: AdapterClass) -> Tile {
    crate::xattention::choose::tile(query_groups, class)
}

/// The tile of the matmul operations for `tokens` tokens and weights that are walked by `walk`.
pub fn matmul_tile(walk: Walk, tokens: usize, class: AdapterClass) -> Tile {
    crate::matmul::choose::tile(walk, tokens, class)
}

/// The tile of the matmul operations on cooperative matrices of `size`, on a device with subgroups from the smaller to the larger of
/// `subgroup_sizes`.
pub fn cooperative_tile(
    walk: Walk,
    tokens: usize,
    size: MatrixSize,
    class: AdapterClass,
    subgroup_sizes: (u32, u32),
) -> CooperativeTile {
    crate::matmul::choose::cooperative::tile(walk, tokens, size, class, subgroup_sizes)
}

/// The kernel of the mat-vec operations for `tokens` tokens, at most [`MatvecKernel::MAX_TOKENS`], and `n_out` outputs of weights that are walked
/// by `walk`: f32 throughout, no epilogue.
pub fn matvec_kernel(walk: Walk, tokens: usize, n_out: usize, class: AdapterClass) -> MatvecKernel {
    crate::matmul::choose::matvec_tile(walk, tokens, n_out, class).kernel(walk)
}
