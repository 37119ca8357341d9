//! Which tile a problem gets, and why.

use sparse_shaders::AttentionTile;

use super::tiles;
use crate::loops::LLVMPIPE_ROUNDS;
use crate::{AdapterClass, BlockAttention};

/// The tile for `problem`, whose block is a multiple of 16.
pub(crate) fn tile(problem: &BlockAttention, class: AdapterClass) -> AttentionTile {
    let software = class == AdapterClass::Software;
    let (head_dim, block) = (problem.head_dim, problem.block);
    if software {
        // Measured on lavapipe: one subgroup of 8 is enough, and few queries leave little work above the diagonal. Two queries share each
        // load of a key; more of either, or more keys, are slower there. Loops over 16 dimensions fit what a processor keeps decoded. Longer
        // loops and steps have fewer rounds, which llvmpipe counts.
        let direct = |(keys, dims)| AttentionTile::Direct {
            lanes: divisor(block, 8),
            queries: 2,
            keys,
            dims,
        };
        let fits = |tile: &AttentionTile| {
            tile.loop_rounds(head_dim, problem.k_len, block) <= LLVMPIPE_ROUNDS
        };
        return [(4, 16), (4, 128), (8, 128)]
            .map(direct)
            .into_iter()
            .find(fits)
            .unwrap_or(direct((16, 128)));
    }
    let (queries, split) = tiles::widest(class, head_dim);
    AttentionTile::Tiled {
        queries: 2 * divisor(block, queries / 2),
        split: divisor(block, 2 * split) / 2,
    }
}

/// The largest power of two up to `most` of which two fit `block` evenly; blocks are multiples of 16.
fn divisor(block: usize, most: usize) -> usize {
    let mut lanes = most;
    while lanes > 1 && !block.is_multiple_of(2 * lanes) {
        lanes /= 2;
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tile_divides_every_block() {
        for block in [16, 32, 48, 64, 80, 96, 128, 256] {
            for head_dim in [1, 64, 128, 256] {
                for class in AdapterClass::ALL {
                    // As many keys as fit one binding.
                    let problem = BlockAttention {
                        block,
                        ..BlockAttention::new(1, 1, 1, 1, (1 << 25) / head_dim.max(256), head_dim)
                    };
                    let tile = tile(&problem, class);
                    let rounds = tile.loop_rounds(head_dim, problem.k_len, block);
                    let software = class == AdapterClass::Software;
                    assert!(!software || rounds <= LLVMPIPE_ROUNDS, "{tile}: {rounds}");
                    assert!(block.is_multiple_of(tile.queries()), "{tile} of {block}");
                    assert!(block.is_multiple_of(tile.keys()), "{tile} of {block}");
                    assert!(tile.workgroup_bytes() <= 16384, "{tile}");
                }
            }
        }
    }
}
