//! Per-head kinds of attention: all blocks, a window with sinks, or a mask.

use super::{AttentionError, AttentionOptions, AttentionShape};
use crate::mask::BlockMask;

/// Which key blocks the queries of a head attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadKind {
    /// All.
    Dense,
    /// The first blocks and the most recent ones, cut to those that the row can reach.
    Streaming {
        /// This many first key blocks.
        sink_blocks: usize,
        /// This many key blocks, ending at the one where the last query of the row stands (query `t` stands at key
        /// `t + k_len - q_len`, causal or not).
        recent_blocks: usize,
    },
    /// Those that a block mask selects.
    Sparse,
}

impl HeadKind {
    /// Checks one kind for each of `q_heads` query heads; `masked`: whether a mask is given.
    ///
    /// # Errors
    /// `HeadKinds`, `EmptyStreaming`, `SparseWithoutMask` or `MaskWithoutSparse` of [`AttentionError`].
    pub fn check_all(kinds: &[Self], q_heads: usize, masked: bool) -> Result<(), AttentionError> {
        if kinds.len() != q_heads {
            let kinds = kinds.len();
            return Err(AttentionError::HeadKinds { kinds, q_heads });
        }
        let empty = |kind: &Self| {
            let nothing = Self::Streaming {
                sink_blocks: 0,
                recent_blocks: 0,
            };
            *kind == nothing
        };
        if let Some(head) = kinds.iter().position(empty) {
            return Err(AttentionError::EmptyStreaming { head });
        }
        match kinds.iter().position(|&kind| kind == Self::Sparse) {
            Some(head) if !masked => Err(AttentionError::SparseWithoutMask { head }),
            None if masked => Err(AttentionError::MaskWithoutSparse),
            _ => Ok(()),
        }
    }

    /// Of two kinds of heads that share a mask: what the mask holds. A selection where one of them is sparse, else the blocks of both.
    pub(crate) fn joined(self, other: Self) -> Self {
        match (self, other) {
            (Self::Sparse, _) | (_, Self::Sparse) => Self::Sparse,
            (Self::Dense, _) | (_, Self::Dense) => Self::Dense,
            (
                Self::Streaming {
                    sink_blocks,
                    recent_blocks,
                },
                Self::Streaming {
                    sink_blocks: sinks,
                    recent_blocks: recent,
                },
            ) => Self::Streaming {
                sink_blocks: sink_blocks.max(sinks),
                recent_blocks: recent_blocks.max(recent),
            },
        }
    }

    /// Whether a head of this kind attends from query block `row` to the key block `column`; `selected`: whether the mask does.
    pub(crate) fn attends(
        self,
        shape: &AttentionShape,
        options: &AttentionOptions,
        row: usize,
        column: usize,
        selected: bool,
    ) -> bool {
        let Self::Streaming {
            sink_blocks,
            recent_blocks,
        } = self
        else {
            return self == Self::Dense || selected;
        };
        let row = shape
            .alignment()
            .block_row(row, options.block, options.causal);
        column < row.reachable && row.is_sink_or_recent(column, sink_blocks, recent_blocks)
    }
}

/// The mask that per-head kinds mean: with it, [`block_attention`](super::block_attention) computes what a kernel with these kinds does.
///
/// `kinds` has one entry per query head and holds for every batch item; `mask` is read for [`HeadKind::Sparse`] heads only. `mask` has the heads that
/// `options.mask_heads` says. The result always has one per query head: pass it on with [`AttentionOptions::with_own_masks`].
///
/// # Errors
/// [`AttentionError`], the first rule broken.
///
/// ```
/// use sparse_core::attention::{AttentionOptions, AttentionShape, HeadKind, mask_of_kinds};
/// let shape = AttentionShape::try_new(1, 2, 1, 1024, 1024, 64)?;
/// let window = HeadKind::Streaming { sink_blocks: 1, recent_blocks: 2 };
/// let mask = mask_of_kinds(&shape, &[HeadKind::Dense, window], None, &AttentionOptions::default())?;
/// assert_eq!(mask.row(0, 0, 5).count(), 8);
/// assert_eq!(mask.row(0, 1, 5).collect::<Vec<_>>(), [0, 4, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mask_of_kinds(
    shape: &AttentionShape,
    kinds: &[HeadKind],
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
) -> Result<BlockMask, AttentionError> {
    options.check(shape, mask)?;
    HeadKind::check_all(kinds, shape.q_heads(), mask.is_some())?;
    let [batch, heads, q_blocks, k_blocks] = shape.mask_shape(options.block);
    let kept = |item, head: usize, row, column| {
        let selected = mask.is_some_and(|mask| {
            let head = options.mask_heads.head(shape, head);
            mask.get(item, head, row, column)
        });
        kinds[head].attends(shape, options, row, column, selected)
    };
    Ok(BlockMask::from_fn(batch, heads, q_blocks, k_blocks, kept)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(causal: bool) -> AttentionOptions {
        AttentionOptions {
            causal,
            block: 10,
            ..AttentionOptions::default()
        }
    }

    fn streaming(sink_blocks: usize, recent_blocks: usize) -> HeadKind {
        HeadKind::Streaming {
            sink_blocks,
            recent_blocks,
        }
    }

    /// The blocks of each row of a single head.
    fn rows(q_len: usize, k_len: usize, kind: HeadKind, causal: bool) -> Vec<Vec<usize>> {
        let shape = AttentionShape::try_new(1, 1, 1, q_len, k_len, 1).unwrap();
        let mask = mask_of_kinds(&shape, &[kind], None, &options(causal)).unwrap();
        (0..mask.q_blocks())
            .map(|row| mask.row(0, 0, row).collect())
            .collect()
    }

    #[test]
    fn sinks_and_recent_blocks_are_cut_to_what_a_row_reaches() {
        let window = streaming(1, 2);
        assert_eq!(
            rows(40, 40, window, true),
            [vec![0], vec![0, 1], vec![0, 1, 2], vec![0, 2, 3]]
        );
        // Without causality later sinks are reachable, and the window still ends where the query stands.
        assert_eq!(
            rows(30, 30, streaming(2, 1), false),
            [vec![0, 1], vec![0, 1], vec![0, 1, 2]]
        );
        assert_eq!(
            rows(30, 30, streaming(2, 1), true),
            [vec![0], vec![0, 1], vec![0, 1, 2]]
        );
    }

    #[test]
    fn counts_may_be_larger_than_any_row() {
        let whole = [vec![0], vec![0, 1], vec![0, 1, 2]];
        assert_eq!(rows(30, 30, streaming(0, usize::MAX), true), whole);
        assert_eq!(rows(30, 30, streaming(usize::MAX, 0), true), whole);
    }

    #[test]
    fn a_row_stands_where_its_last_query_does() {
        // Queries 0..15 stand at keys 20..35: rows end at keys 29 and 34.
        assert_eq!(rows(15, 35, streaming(0, 1), true), [vec![2], vec![3]]);
        // Rows end at keys -6, 4 and 9.
        assert_eq!(
            rows(25, 10, streaming(1, 1), true),
            [vec![], vec![0], vec![0]]
        );
        // The first stands before all keys: it has no recent block, and full attention still reaches the sink.
        assert_eq!(
            rows(25, 10, streaming(1, 1), false),
            [vec![0], vec![0], vec![0]]
        );
        assert_eq!(
            rows(25, 10, streaming(0, 1), false),
            [vec![], vec![0], vec![0]]
        );
    }

    #[test]
    fn a_sparse_head_takes_its_row_of_the_mask() {
        let shape = AttentionShape::try_new(2, 3, 1, 20, 30, 1).unwrap();
        let given = BlockMask::from_fn(2, 3, 2, 3, |b, h, i, j| (b + h + i + j) % 2 == 0).unwrap();
        let kinds = [HeadKind::Sparse, HeadKind::Dense, streaming(0, 1)];
        let mask = mask_of_kinds(&shape, &kinds, Some(&given), &options(false)).unwrap();
        for (item, row, column) in (0..12).map(|n| (n / 6, n / 3 % 2, n % 3)) {
            assert_eq!(
                mask.get(item, 0, row, column),
                given.get(item, 0, row, column)
            );
            assert!(mask.get(item, 1, row, column));
            assert_eq!(mask.get(item, 2, row, column), column == row + 1);
        }
    }

    #[test]
    fn kinds_that_make_no_sense_are_refused() {
        use AttentionError as E;
        let check = HeadKind::check_all;
        let (kinds, q_heads) = (1, 2);
        assert_eq!(
            check(&[HeadKind::Dense], 2, false),
            Err(E::HeadKinds { kinds, q_heads })
        );
        let (kinds, q_heads) = (2, 1);
        assert_eq!(
            check(&[HeadKind::Dense; 2], 1, false),
            Err(E::HeadKinds { kinds, q_heads })
        );
        let head = 1;
        assert_eq!(
            check(&[HeadKind::Dense, streaming(0, 0)], 2, false),
            Err(E::EmptyStreaming { head })
        );
        assert_eq!(
            check(&[HeadKind::Dense, HeadKind::Sparse], 2, false),
            Err(E::SparseWithoutMask { head })
        );
        assert_eq!(
            check(&[HeadKind::Dense, streaming(1, 0)], 2, true),
            Err(E::MaskWithoutSparse)
        );
        assert_eq!(check(&[HeadKind::Sparse, streaming(0, 1)], 2, true), Ok(()));
    }
}
