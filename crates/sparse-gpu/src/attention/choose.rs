//! Which tile a problem gets, and why.

use sparse_shaders::AttentionTile;

/// The tile for rows of `head_dim` in blocks of `block` tokens. On a processor, where this was measured, a workgroup of 16 is enough, and
/// fewer queries leave less work above the diagonal. Two queries share each load of a key; more of either, or more keys, spill.
pub(crate) fn tile(head_dim: usize, block: usize) -> AttentionTile {
    AttentionTile::Direct {
        lanes: divisor(block, 16),
        // Wide rows of two queries leave the first-level cache, and compile for long.
        queries: if head_dim <= 128 { 2 } else { 1 },
        keys: 4,
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
                let queries = tile(head_dim, block).queries();
                assert!(block.is_multiple_of(queries), "{queries} of {block}");
            }
        }
    }
}
