//! Ranges of query heads whose operands can be bound at once.

use std::ops::Range;

use crate::window::longest_that_fits;

/// Bytes of one head of each operand. Heads are numbered through the batch: query head `h` uses key head `h / heads_per_key_head`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadBytes {
    /// Of q, the output (or what stands for it), the log-sum-exps, a mask of query heads: the largest.
    pub(crate) query: u64,
    /// Of k, v: the larger.
    pub(crate) key: u64,
    /// Of a mask of key heads.
    pub(crate) key_mask: u64,
    pub(crate) heads_per_key_head: usize,
}

impl HeadBytes {
    /// The key heads that a range of query heads uses.
    pub(crate) fn key_heads(&self, heads: &Range<usize>) -> Range<usize> {
        let shared = self.heads_per_key_head;
        heads.start / shared..heads.end.div_ceil(shared)
    }

    fn fits(&self, heads: &Range<usize>, limit: u64) -> bool {
        heads.len() as u64 * self.query <= limit
            && self.key_heads(heads).len() as u64 * self.key.max(self.key_mask) <= limit
    }

    /// Cuts `heads` query heads into the longest ranges that fit `limit`, all but the last of a multiple of `step`. None where not even
    /// `step` heads fit.
    pub(crate) fn slices(
        &self,
        heads: usize,
        step: usize,
        limit: u64,
    ) -> Option<Vec<Range<usize>>> {
        let mut slices = Vec::new();
        let mut begin = 0;
        while begin < heads {
            let range = |steps: usize| begin..(begin + steps * step).min(heads);
            let steps = (heads - begin).div_ceil(step);
            let longest = longest_that_fits(steps, |steps| self.fits(&range(steps), limit));
            if longest == 0 {
                return None;
            }
            let slice = range(longest);
            begin = slice.end;
            slices.push(slice);
        }
        Some(slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: HeadBytes = HeadBytes {
        query: 10,
        key: 20,
        key_mask: 0,
        heads_per_key_head: 3,
    };

    #[test]
    fn slices_are_as_long_as_both_limits_allow() {
        let all = 0..12;
        assert_eq!(BYTES.slices(12, 1, 1000), Some(vec![all]));
        // Queries limit.
        assert_eq!(BYTES.slices(8, 1, 35), Some(vec![0..3, 3..6, 6..8]));
        // Keys limit: a range that starts inside a group needs one key head more.
        assert_eq!(
            BYTES.slices(12, 1, 40),
            Some(vec![0..4, 4..8, 8..12]),
            "four query heads, two key heads"
        );
        let long = HeadBytes { query: 1, ..BYTES };
        assert_eq!(long.slices(12, 1, 40), Some(vec![0..6, 6..12]));
        assert_eq!(long.slices(12, 4, 40), Some(vec![0..4, 4..8, 8..12]));
        assert_eq!(BYTES.slices(0, 1, 1), Some(vec![]));
    }

    #[test]
    fn masks_of_key_heads_count_once_for_a_group() {
        let masked = HeadBytes {
            key_mask: 30,
            ..BYTES
        };
        let all = 0..6;
        assert_eq!(masked.slices(6, 1, 60), Some(vec![all]));
        assert_eq!(masked.slices(6, 1, 59), Some(vec![0..3, 3..6]));
    }

    #[test]
    fn a_head_that_does_not_fit_has_no_slices() {
        assert_eq!(BYTES.slices(4, 1, 19), None);
        assert_eq!(BYTES.slices(3, 2, 20), Some(vec![0..2, 2..3]));
        assert_eq!(
            BYTES.slices(6, 2, 20),
            None,
            "heads 2 and 3 have two key heads"
        );
    }
}
