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

use sparse_shaders::{
    AttentionTile, CooperativeTile, MatrixSize, MatvecKernel, NmSddmmKernel, SddmmKernel, Tile,
    Walk,
};

pub use crate::matmul::choose::MOST_PARTS;
use crate::{AdapterClass, BlockAttention, BsrSddmm, NmSddmm};

/// The tile of `block_attention` for `problem`, whose own `tile` is not looked at.
pub fn attention_tile(problem: &BlockAttention, class: AdapterClass) -> AttentionTile {
    crate::attention::choose::tile(problem, class)
}

/// Tokens of a block as the kernel of `block_attention` for `problem` with `tile` counts them: its own where there is a mask, and with most tiles; without
/// a mask the kernels for few queries take longer ones.
pub fn attention_block(problem: &BlockAttention, tile: AttentionTile) -> usize {
    crate::attention::few::block(problem, tile)
}

/// The tile of `xattention_score` for a head of so many query groups.
pub fn score_tile(query_groups: usize, class: AdapterClass) -> Tile {
    crate::xattention::choose::tile(query_groups, class)
}

/// The kernel of `bsr_sddmm` for `problem`.
pub fn bsr_sddmm_kernel(problem: &BsrSddmm, class: AdapterClass) -> SddmmKernel {
    problem.kernel(class, class.is_software())
}

/// The kernel of `nm_sddmm` for `problem`, where all of its rows can be bound at once.
pub fn nm_sddmm_kernel(problem: &NmSddmm, class: AdapterClass) -> NmSddmmKernel {
    problem.kernel(class, class.is_software(), usize::MAX)
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

#[cfg(test)]
mod tests {
    use sparse_core::attention::AttentionShape;

    use super::*;

    const CLASSES: [AdapterClass; 4] = [
        AdapterClass::Software,
        AdapterClass::SoftwareAvx512,
        AdapterClass::Amd,
        AdapterClass::Nvidia,
    ];

    /// Walks with `n` wherever a number is the caller's.
    fn walks(n: usize) -> [Walk; 4] {
        [
            Walk::Nm {
                n,
                m: n,
                v: n,
                index_bits: 2,
            },
            Walk::Bsr { br: n, bc: n },
            Walk::BsrTransposed { br: n, bc: n },
            Walk::DenseTransposed {
                vector_weights: true,
                whole_steps: true,
            },
        ]
    }

    #[test]
    fn sizes_of_any_numbers_have_a_tile() {
        let most = usize::MAX;
        let shape = AttentionShape::try_new(1, 1, 1, 64, 64, 64).unwrap();
        for class in CLASSES {
            for n in [0, 1, 3, most - 1, most] {
                assert!(score_tile(n, class).panel() > 0);
                let block = BlockAttention {
                    block: n,
                    ..BlockAttention::new(shape)
                };
                assert!(attention_tile(&block, class).queries() > 0);
                for (walk, tokens) in walks(n).into_iter().zip([0, 1, most, n]) {
                    assert!(matmul_tile(walk, tokens, class).panel() > 0);
                    assert!(matvec_kernel(walk, tokens, n, class).slices() > 0);
                }
            }
        }
    }

    #[test]
    fn subgroups_of_any_size_have_a_cooperative_tile() {
        for class in CLASSES {
            for size in [0, 1, 48, u32::MAX] {
                for tokens in [0, 1, usize::MAX] {
                    for walk in walks(16) {
                        let sixteen = MatrixSize::Sixteen;
                        let tile = cooperative_tile(walk, tokens, sixteen, class, (size, size));
                        assert!(tile.shares > 0 && tile.lanes <= 512, "{tile}");
                    }
                }
            }
        }
    }
}
