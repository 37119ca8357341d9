//! Which tile a problem gets, and why.

use sparse_shaders::AttentionTile;

use super::{few, tiles};
use crate::loops::LLVMPIPE_ROUNDS;
use crate::{AdapterClass, BlockAttention};

/// The tile for `problem`, whose block is a multiple of 16.
pub(crate) fn tile(problem: &BlockAttention, class: AdapterClass) -> AttentionTile {
    if let Some(few) = few::tile(problem, class) {
        return few;
    }
    let (shape, block) = (problem.shape, problem.block);
    let head_dim = shape.head_dim();
    if class.is_software() {
        // Measured on lavapipe: one subgroup of 8 is enough, and few queries leave little work above the diagonal. Two queries share each
        // load of a key; more of either, or more keys, are slower there. Longer loops and steps have fewer rounds, which llvmpipe counts: they
        // grow only as far as the keys want it.
        let direct = |(keys, dims)| AttentionTile::Direct {
            lanes: divisor(block, 8),
            queries: 2,
            keys,
            dims,
        };
        let fits = |tile: &AttentionTile| {
            tile.loop_rounds(head_dim, shape.k_len(), block) <= LLVMPIPE_ROUNDS
        };
        let dims = tiles::dims_on_processors(class, head_dim);
        return [(4, dims), (4, 32), (4, 64), (4, 128), (8, 128)]
            .into_iter()
            .filter(|&(_, longer)| longer >= dims)
            .map(direct)
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
    use sparse_core::attention::AttentionShape;

    /// A row of blocks of the smallest kind.
    fn shape(k_len: usize, head_dim: usize) -> AttentionShape {
        AttentionShape::try_new(1, 1, 1, 16, k_len, head_dim).unwrap()
    }

    #[test]
    fn loops_on_processors_are_as_short_as_their_rounds_allow() {
        // Head dimension, keys, and then the keys of a step and the dimensions of a loop.
        for (head_dim, k_len, expected) in [
            (64, 28_000, (4, 16)),
            (64, 32_768, (4, 32)),
            (64, 65_536, (4, 64)),
            // A loop over 128 dimensions has no fewer rounds than one over 64.
            (64, 131_072, (8, 128)),
            (64, 200_000, (16, 128)),
            (128, 14_000, (4, 16)),
            (128, 16_384, (4, 32)),
            (128, 32_768, (4, 64)),
            (128, 65_536, (4, 128)),
            (128, 131_072, (8, 128)),
            (128, 250_000, (16, 128)),
            (256, 7_000, (4, 16)),
            (256, 8_192, (4, 32)),
            (256, 16_384, (4, 64)),
            (256, 32_768, (4, 128)),
            (256, 65_536, (8, 128)),
            (256, 131_072, (16, 128)),
        ] {
            let problem = BlockAttention::new(shape(k_len, head_dim));
            let (keys, dims) = expected;
            let tile = tile(&problem, AdapterClass::Software);
            let expected = AttentionTile::Direct {
                lanes: 8,
                queries: 2,
                keys,
                dims,
            };
            assert_eq!(tile, expected, "head_dim {head_dim}, {k_len} keys");
        }
    }

    #[test]
    fn loops_share_the_dimensions_evenly_where_they_may_be_long() {
        for (head_dim, expected) in [
            (1, 16),
            (40, 40),
            (64, 64),
            (72, 72),
            (80, 80),
            (81, 44),
            (96, 48),
            (128, 64),
            (160, 80),
            (192, 64),
            (255, 64),
            (256, 64),
        ] {
            let problem = BlockAttention::new(shape(1024, head_dim));
            let tile = tile(&problem, AdapterClass::SoftwareAvx512);
            let AttentionTile::Direct { dims, keys: 4, .. } = tile else {
                panic!("{tile}");
            };
            assert_eq!(dims, expected, "head_dim {head_dim}");
        }
        // Rounds are counted as everywhere.
        let problem = BlockAttention::new(shape(131_072, 128));
        let tile = tile(&problem, AdapterClass::SoftwareAvx512);
        assert_eq!(tile.to_string(), "direct-8x2x8x128");
    }

    #[test]
    fn the_tile_divides_every_block() {
        for block in [16, 32, 48, 64, 80, 96, 128, 256] {
            for head_dim in [1, 64, 128, 256] {
                for class in AdapterClass::ALL {
                    // Nearly as many keys as the longest loops reach in blocks of 16.
                    let k_len = 50_000;
                    let problem = BlockAttention {
                        block,
                        ..BlockAttention::new(shape(k_len, head_dim))
                    };
                    let tile = tile(&problem, class);
                    let rounds = tile.loop_rounds(head_dim, k_len, block);
                    let software = class.is_software();
                    assert!(!software || rounds <= LLVMPIPE_ROUNDS, "{tile}: {rounds}");
                    assert!(block.is_multiple_of(tile.queries()), "{tile} of {block}");
                    assert!(block.is_multiple_of(tile.keys()), "{tile} of {block}");
                    assert!(tile.workgroup_bytes() <= 16384, "{tile}");
                }
            }
        }
    }
}
