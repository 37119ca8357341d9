//! Attention of few queries: which problems are, their tile, and how their heads and keys are divided.

use sparse_core::attention::MaskHeads;
use sparse_shaders::{AttentionTile, BlockWalk};

use super::kinds;
use crate::{AdapterClass, BlockAttention, Gpu};

/// Queries of a head up to which a problem has few: twice as many fill the smallest tile of the other kernels.
const MOST_QUERIES: usize = 8;

/// Keys for each part, at least: a workgroup reads q and leaves sums whatever its keys are.
const FEWEST_KEYS: usize = 256;

/// Tokens that a kernel without a mask takes as a block: a multiple of the steps of default tiles, and the shortest part.
const BLOCK_WITHOUT_MASK: usize = 256;

/// Workgroups for which a GPU's keys are divided: several for each of its cores, of which large ones have more than a hundred.
const GROUPS_OF_A_GPU: usize = 512;

/// Workgroups for each thread of a processor.
const GROUPS_OF_A_THREAD: usize = 4;

/// How a workgroup of few queries is laid out, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Division {
    /// Query heads that a workgroup takes together.
    pub(crate) heads: usize,
    /// Tokens of a block as the kernel counts them.
    pub(crate) block: usize,
    /// Parts that the keys of a query are divided into.
    pub(crate) parts: usize,
}

impl Division {
    /// Of a tile for many queries.
    pub(crate) const fn of_many(block: usize) -> Self {
        Self {
            heads: 1,
            block,
            parts: 1,
        }
    }

    /// What an explanation says of parts.
    pub(crate) fn note(&self, k_len: usize) -> String {
        format!(
            "few queries: the keys go to {} workgroups, {} to each, and a second kernel puts their sums together",
            self.parts,
            self.keys(k_len)
        )
    }

    /// Keys of a part, at most.
    pub(crate) const fn keys(&self, k_len: usize) -> usize {
        let blocks = k_len.div_ceil(self.block).div_ceil(self.parts);
        let keys = blocks.saturating_mul(self.block);
        if keys < k_len { keys } else { k_len }
    }
}

/// Whether the tile is one for few queries.
pub(crate) const fn is_few(tile: AttentionTile) -> bool {
    matches!(tile, AttentionTile::Few { .. })
}

/// The tile of a problem that has few queries.
pub(crate) fn tile(problem: &BlockAttention, class: AdapterClass) -> Option<AttentionTile> {
    let q_len = problem.shape.q_len();
    if !(1..=MOST_QUERIES).contains(&q_len) {
        return None;
    }
    let most = most_rows(class, problem.shape.head_dim());
    Some(AttentionTile::Few {
        queries: rows(problem).min(most),
        // Of processors one subgroup of 8. GPUs: 4 keys an invocation are one block of 128, and two workgroups of 32 hide what one of 64 waits for.
        lanes: if class.is_software() { 8 } else { 32 },
    })
}

/// The tile of a table where the problem has fewer rows than it was measured with: rows that are no query cost as much as those that are.
pub(crate) fn within_rows(tile: AttentionTile, problem: &BlockAttention) -> AttentionTile {
    match tile {
        AttentionTile::Few { queries, lanes } => AttentionTile::Few {
            queries: queries.min(rows(problem)),
            lanes,
        },
        many => many,
    }
}

/// Queries that could share a workgroup, rounded up to what a tile has.
fn rows(problem: &BlockAttention) -> usize {
    (heads_together(problem) * problem.shape.q_len()).next_power_of_two()
}

/// Queries of a workgroup, at most; more read the keys again. What decides on GPUs: an invocation keeps a row's scores of four keys, and its part of the
/// output, in registers (`docs/isa`).
const fn most_rows(class: AdapterClass, head_dim: usize) -> usize {
    match (class, head_dim) {
        // Sums go to memory in any case.
        (AdapterClass::Software | AdapterClass::SoftwareAvx512, _) => 8,
        // No spills, 4 to 8 waves a SIMD, 12 warps a multiprocessor, 4 waves a core; at D = 256 eight leave 3 waves and 8 warps, and spill on Adreno.
        (AdapterClass::Amd | AdapterClass::Nvidia | AdapterClass::Adreno, ..=128) => 8,
        // Eight spill 335 to 529 registers on Intel, and makes that were not compiled for take what it takes.
        (AdapterClass::Amd | AdapterClass::Nvidia | AdapterClass::Adreno, _) | (_, ..=128) => 4,
        // Four spill 23 and 27 there at D = 256.
        _ => 2,
    }
}

/// Query heads of one group that visit the same key blocks: a workgroup reads a key once for all of these. Not where a caller gives the tile
/// many queries: a workgroup would have the last of one head and the first of the next, which see other keys.
fn heads_together(problem: &BlockAttention) -> usize {
    let alike = match walk(problem) {
        BlockWalk::All => true,
        BlockWalk::Mask => problem.mask_heads == MaskHeads::Key,
        BlockWalk::Streaming | BlockWalk::Mixed => false,
    };
    if alike && problem.shape.q_len() <= MOST_QUERIES {
        problem.shape.q_heads() / problem.shape.kv_heads()
    } else {
        1
    }
}

fn walk(problem: &BlockAttention) -> BlockWalk {
    kinds::walk(problem.head_kinds.as_deref(), problem.masked)
}

/// Whether every head visits all blocks, which then need not be those of a mask.
fn visits_all(problem: &BlockAttention) -> bool {
    walk(problem) == BlockWalk::All
}

/// Keys that a workgroup goes over at least: those of few queries are divided down to a block where loops have to be short.
pub(crate) fn undivided_keys(problem: &BlockAttention, tile: AttentionTile) -> usize {
    let keys = problem.shape.k_len();
    if is_few(tile) {
        keys.min(block(problem, tile))
    } else {
        keys
    }
}

/// Tokens of a block as the kernel of a problem with `tile` counts them.
pub(crate) fn block(problem: &BlockAttention, tile: AttentionTile) -> usize {
    if is_few(tile) && visits_all(problem) {
        BLOCK_WITHOUT_MASK
    } else {
        problem.block
    }
}

/// The division of a problem with `tile`, whose workgroups would be `groups(heads)` with whole keys.
pub(crate) fn division(
    gpu: &Gpu,
    problem: &BlockAttention,
    tile: AttentionTile,
    groups: impl Fn(usize) -> usize,
) -> Division {
    if !is_few(tile) {
        return Division::of_many(problem.block);
    }
    let heads = heads_together(problem);
    let block = block(problem, tile);
    let wanted = if gpu.is_software() {
        GROUPS_OF_A_THREAD * super::order::parts(gpu)
    } else {
        GROUPS_OF_A_GPU
    };
    let (head_dim, k_len) = (problem.shape.head_dim(), problem.shape.k_len());
    let runs = |keys| gpu.runs_loops(tile.loop_rounds(head_dim, keys, block));
    Division {
        heads,
        block,
        parts: parts(k_len, block, wanted.div_ceil(groups(heads).max(1)), runs),
    }
}

/// Parts of `k_len` keys in whole blocks: `wanted` of them, or fewer and longer ones, but none longer than `runs` allows. The last has what is left.
fn parts(k_len: usize, block: usize, wanted: usize, runs: impl Fn(usize) -> bool) -> usize {
    let blocks = k_len.div_ceil(block).max(1);
    let mut of_part = blocks
        .div_ceil(wanted.min(k_len / FEWEST_KEYS).max(1))
        .max(FEWEST_KEYS.div_ceil(block))
        .min(blocks);
    while of_part > 1 && !runs(of_part.saturating_mul(block)) {
        of_part = of_part.div_ceil(2);
    }
    blocks.div_ceil(of_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparse_core::attention::{AttentionShape, HeadKind};

    #[test]
    fn parts_are_whole_blocks_of_enough_keys() {
        let any = |_| true;
        assert_eq!(parts(8192, 256, 8, any), 8);
        assert_eq!(parts(8192, 256, 1, any), 1);
        assert_eq!(parts(8192, 256, 512, any), 32, "256 keys each");
        assert_eq!(parts(8192, 32, 512, any), 32);
        assert_eq!(parts(511, 256, 512, any), 1);
        assert_eq!(parts(512, 256, 512, any), 2);
        assert_eq!(parts(700, 32, 512, any), 2, "352 and 348 keys");
        assert_eq!(parts(0, 256, 512, any), 1);
        // 64 blocks in 50 parts are 32 parts of two blocks: none is empty.
        assert_eq!(parts(64 * 256, 256, 50, any), 32);
        assert_eq!(parts(8192, 256, 1, |keys| keys <= 1024), 8);
        assert_eq!(parts(8192, 256, 1, |_| false), 32);
    }

    #[test]
    fn keys_of_a_part_are_no_more_than_there_are() {
        let division = |block, parts| Division {
            heads: 1,
            block,
            parts,
        };
        assert_eq!(division(256, 4).keys(8192), 2048);
        assert_eq!(division(256, 1).keys(300), 300);
        assert_eq!(division(256, 2).keys(300), 256);
        assert_eq!(division(128, 3).keys(0), 0);
    }

    #[test]
    fn heads_that_share_keys_share_a_workgroup_where_they_visit_the_same() {
        let problem = |q_len, masked| BlockAttention {
            masked,
            ..BlockAttention::new(AttentionShape::try_new(1, 8, 2, q_len, 4096, 64).unwrap())
        };
        let few = |queries, lanes| Some(AttentionTile::Few { queries, lanes });
        assert_eq!(tile(&problem(1, false), AdapterClass::Nvidia), few(4, 32));
        assert_eq!(tile(&problem(1, true), AdapterClass::Software), few(1, 8));
        let shared = BlockAttention {
            mask_heads: MaskHeads::Key,
            ..problem(1, true)
        };
        assert_eq!(tile(&shared, AdapterClass::Software), few(4, 8));
        // Heads of several kinds visit other blocks than each other.
        let mut head_kinds = vec![HeadKind::Sparse; 8];
        head_kinds[3] = HeadKind::Dense;
        let mixed = BlockAttention {
            head_kinds: Some(head_kinds),
            ..shared
        };
        assert_eq!(tile(&mixed, AdapterClass::Software), few(1, 8));
        assert_eq!(tile(&problem(3, true), AdapterClass::Software), few(4, 8));
        assert_eq!(tile(&problem(3, false), AdapterClass::Software), few(8, 8));
        assert_eq!(tile(&problem(3, false), AdapterClass::Amd), few(8, 32));
        assert_eq!(tile(&problem(3, false), AdapterClass::Intel), few(4, 32));
        assert_eq!(tile(&problem(9, false), AdapterClass::Software), None);
        assert_eq!(tile(&problem(0, false), AdapterClass::Software), None);
    }
}
