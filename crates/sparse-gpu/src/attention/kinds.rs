//! Per-head kinds as the kernels read them.

use sparse_core::attention::HeadKind;
use sparse_shaders::BlockWalk;

use crate::{Error, Gpu};

/// What both numbers of a head are that follows the mask; the kernels know it by this name too.
const MASKED: u32 = u32::MAX;

/// More blocks than any sequence has.
const ALL_BLOCKS: u32 = 1 << 30;

/// The walk of `kinds`. Heads of one kind need none of their own.
pub(crate) fn walk(kinds: Option<&[HeadKind]>, masked: bool) -> BlockWalk {
    let every = |kind| kinds.is_none_or(|kinds| kinds.iter().all(|&k| k == kind));
    if masked && every(HeadKind::Sparse) {
        BlockWalk::Mask
    } else if masked {
        BlockWalk::Mixed
    } else if every(HeadKind::Dense) {
        BlockWalk::All
    } else {
        BlockWalk::Streaming
    }
}

/// `(sink blocks, recent blocks)` of each query head.
fn words(kinds: &[HeadKind]) -> Vec<[u32; 2]> {
    let count = |blocks: usize| u32::try_from(blocks).map_or(ALL_BLOCKS, |n| n.min(ALL_BLOCKS));
    let word = |kind: &HeadKind| match *kind {
        HeadKind::Dense => [ALL_BLOCKS, 0],
        HeadKind::Streaming {
            sink_blocks,
            recent_blocks,
        } => [count(sink_blocks), count(recent_blocks)],
        HeadKind::Sparse => [MASKED, MASKED],
    };
    kinds.iter().map(word).collect()
}

impl Gpu {
    /// The buffer of kinds that `walk` reads, where it reads one.
    pub(crate) fn upload_kinds(
        &self,
        kinds: Option<&[HeadKind]>,
        walk: BlockWalk,
    ) -> Result<Option<wgpu::Buffer>, Error> {
        match (walk, kinds) {
            (BlockWalk::Streaming | BlockWalk::Mixed, Some(kinds)) => {
                let words = words(kinds);
                self.upload_bytes("head kinds", bytemuck::cast_slice(&words))
                    .map(Some)
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_one_kind_read_no_kinds() {
        let window = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: usize::MAX,
        };
        let of = |kinds: &[HeadKind], masked| walk(Some(kinds), masked);
        assert_eq!(walk(None, false), BlockWalk::All);
        assert_eq!(walk(None, true), BlockWalk::Mask);
        assert_eq!(of(&[HeadKind::Dense; 3], false), BlockWalk::All);
        assert_eq!(of(&[HeadKind::Sparse; 3], true), BlockWalk::Mask);
        assert_eq!(of(&[window; 3], false), BlockWalk::Streaming);
        assert_eq!(of(&[window, HeadKind::Sparse], true), BlockWalk::Mixed);
        assert_eq!(
            words(&[window, HeadKind::Dense, HeadKind::Sparse]),
            [[1, ALL_BLOCKS], [ALL_BLOCKS, 0], [MASKED, MASKED]]
        );
    }
}
