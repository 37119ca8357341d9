//! Where queries stand among the keys: the sequences end together.

use std::ops::Range;

/// A sequence of queries and one of keys that end together: query `t` stands at key position `t + k_len - q_len`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alignment {
    /// Query tokens.
    pub(crate) q_len: usize,
    /// Key tokens.
    pub(crate) k_len: usize,
}

/// Where the queries of a block row stand among the key blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRow {
    /// The block of the first query; 0 where that stands before all keys.
    pub(crate) start: usize,
    /// One past the block of the last query; 0 where that stands before all keys.
    pub(crate) end: usize,
    /// Key blocks before this one hold a key that some query of the row may see.
    pub(crate) reachable: usize,
}

impl Alignment {
    /// The key position of query `token`; 0 where that lies before all keys. Of the token behind the last query it is `k_len`.
    pub(crate) fn position(self, token: usize) -> usize {
        match self.k_len.checked_sub(self.q_len) {
            Some(ahead) => token.saturating_add(ahead),
            None => token.saturating_sub(self.q_len - self.k_len),
        }
    }

    /// The key positions at which the queries of row `row` of `tokens` each stand; positions before the first key are cut off, so the range
    /// is empty for a row that stands before all keys. Past the last row it is empty too, and ends where that one does.
    pub(crate) fn positions(self, row: usize, tokens: usize) -> Range<usize> {
        let first = row.saturating_mul(tokens).min(self.q_len);
        let end = first.saturating_add(tokens).min(self.q_len);
        self.position(first)..self.position(end)
    }

    /// The same in blocks of `block` tokens, which is not 0.
    pub(crate) fn block_row(self, row: usize, block: usize, causal: bool) -> BlockRow {
        let positions = self.positions(row, block);
        let end = positions.end.div_ceil(block);
        BlockRow {
            start: positions.start / block,
            end,
            reachable: if causal {
                end
            } else {
                self.k_len.div_ceil(block)
            },
        }
    }
}

impl BlockRow {
    /// Whether `block` is one of the first `sinks`, or of the `recent` ones that end where the row's last query stands.
    pub(crate) fn is_sink_or_recent(&self, block: usize, sinks: usize, recent: usize) -> bool {
        block < sinks || (block < self.end && self.end - block <= recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_where_their_queries_do() {
        let positions = |q_len, k_len, row| Alignment { q_len, k_len }.positions(row, 10);
        // More keys, as many, and more queries: the last rows are not full.
        assert_eq!([0, 1].map(|row| positions(15, 35, row)), [20..30, 30..35]);
        assert_eq!([0, 1].map(|row| positions(15, 15, row)), [0..10, 10..15]);
        assert_eq!(
            [0, 1, 2].map(|row| positions(25, 10, row)),
            [0..0, 0..5, 5..10]
        );
        // Past the last row, and without queries.
        assert_eq!(
            [2, usize::MAX].map(|row| positions(15, 35, row)),
            [35..35, 35..35]
        );
        assert_eq!(positions(0, 7, 0), 7..7);
        // Sequences as long as a grid may ask for.
        let longest = positions(usize::MAX, usize::MAX, usize::MAX / 10);
        assert_eq!(longest, usize::MAX / 10 * 10..usize::MAX);
    }

    #[test]
    fn a_row_reaches_the_block_of_its_last_query_and_without_causality_all() {
        let row = |row, causal| {
            let alignment = Alignment {
                q_len: 25,
                k_len: 38,
            };
            alignment.block_row(row, 10, causal)
        };
        let (start, end) = (1, 3);
        let reachable = 3;
        assert_eq!(
            row(0, true),
            BlockRow {
                start,
                end,
                reachable
            }
        );
        let reachable = 4;
        assert_eq!(
            row(0, false),
            BlockRow {
                start,
                end,
                reachable
            }
        );
        let kept = |sinks, recent| {
            let is = |&block: &usize| row(0, true).is_sink_or_recent(block, sinks, recent);
            (0..5).filter(is).collect::<Vec<_>>()
        };
        assert_eq!(kept(0, 1), [2]);
        assert_eq!(kept(1, 1), [0, 2]);
        assert_eq!(kept(4, usize::MAX), [0, 1, 2, 3]);
    }
}
