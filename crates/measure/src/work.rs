//! What a row has to do at least.

use std::iter::Sum;

use serde::Serialize;
use sparse_core::BlockMask;
use sparse_core::attention::AttentionShape;

/// Multiply-adds and bytes that an operation cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Multiply-adds over kept weights or attended pairs; exponentials and divisions are not counted.
    pub fmas: f64,
    /// Bytes of operands and results that are looked at, each once.
    pub bytes: f64,
    /// Bytes that pass before any of them is read again: those of one run, or of the runs that take copies of an operand by turns. They tell the
    /// cache that can hold them. Not in reports.
    #[serde(skip)]
    pub working_set: f64,
}

impl Work {
    /// `y [tokens, n_out] = x [tokens, k_in] w^T` where `weight_bytes` hold the kept share `density` of w, indices included; x is stored
    /// in `x_bytes` a number, y in f32.
    pub fn matmul(
        [tokens, n_out, k_in]: [usize; 3],
        density: f64,
        weight_bytes: usize,
        x_bytes: usize,
    ) -> Self {
        let (x, y) = (as_f64(tokens * k_in), as_f64(tokens * n_out));
        Self::once(
            y * as_f64(k_in) * density,
            as_f64(weight_bytes) + x * as_f64(x_bytes) + 4.0 * y,
        )
    }

    /// `dw = dy^T x` at the kept share `density` of `dw [n_out, k_in]`, whose `result_bytes` hold indices too; dy and x are stored in `element_bytes` a
    /// number.
    pub fn gradient(
        [tokens, n_out, k_in]: [usize; 3],
        density: f64,
        result_bytes: usize,
        element_bytes: usize,
    ) -> Self {
        let read = as_f64(tokens) * as_f64(n_out + k_in) * as_f64(element_bytes);
        Self::once(
            as_f64(tokens * n_out) * as_f64(k_in) * density,
            read + as_f64(result_bytes),
        )
    }

    /// Attention that looks at `attended`: two products of `head_dim` for each of its pairs. q, k and v are stored in `element_bytes` a number, output
    /// and log-sum-exp in f32. Keys and values that no query looks at are not read.
    pub fn attention(shape: AttentionShape, attended: Attended, element_bytes: usize) -> Self {
        let q = as_f64(shape.batch() * shape.q_heads() * shape.q_len());
        let head_dim = as_f64(shape.head_dim());
        let read = (q + 2.0 * attended.keys) * head_dim * as_f64(element_bytes);
        let written = 4.0 * q * (head_dim + 1.0);
        Self::once(2.0 * attended.pairs * head_dim, read + written)
    }

    /// Work whose next run reads the same bytes again.
    const fn once(fmas: f64, bytes: f64) -> Self {
        Self {
            fmas,
            bytes,
            working_set: bytes,
        }
    }

    /// The same where runs take turns with `copies` copies of weights, or of keys and values, of which each run looks at `bytes`.
    #[must_use]
    pub fn with_copies(self, copies: usize, bytes: usize) -> Self {
        let others = as_f64(copies.saturating_sub(1)) * as_f64(bytes);
        Self {
            working_set: self.bytes + others,
            ..self
        }
    }

    /// The same with a score beside the attention: its multiply-adds, and the keys of `key_bytes` that it alone looks at.
    #[must_use]
    pub fn with_score(self, fmas: f64, keys: f64, key_bytes: usize) -> Self {
        let bytes = keys * as_f64(key_bytes);
        Self {
            fmas: self.fmas + fmas,
            bytes: self.bytes + bytes,
            working_set: self.working_set + bytes,
        }
    }
}

/// Of several items, each of which reads its own operands once.
impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::once(0.0, 0.0), |sum, item| Self {
            fmas: sum.fmas + item.fmas,
            bytes: sum.bytes + item.bytes,
            working_set: sum.working_set + item.working_set,
        })
    }
}

/// What attention over a mask looks at, all heads together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attended {
    /// Pairs of a query and a key.
    pub pairs: f64,
    /// Keys of all heads of k and v.
    pub keys: f64,
}

impl Attended {
    /// Over the blocks of `mask`; of a causal problem the pairs of a block on the diagonal that lie in the future are left out. Query heads that share
    /// keys look at them once.
    pub fn of(shape: AttentionShape, mask: &BlockMask, block: usize, causal: bool) -> Self {
        let [batch, heads, q_blocks, k_blocks] = mask.shape();
        let mut pairs = 0;
        // Of every block of keys, those up to the last that somebody looks at.
        let mut keys = vec![0; batch * shape.kv_heads() * k_blocks];
        for (item, head) in (0..batch).flat_map(|item| (0..heads).map(move |head| (item, head))) {
            let of_kv_head = (item * shape.kv_heads() + shape.kv_head(head)) * k_blocks;
            for q_block in 0..q_blocks {
                let queries = q_block * block..((q_block + 1) * block).min(shape.q_len());
                for k_block in mask.row(item, head, q_block) {
                    let (first, end) =
                        (k_block * block, ((k_block + 1) * block).min(shape.k_len()));
                    for query in queries.clone() {
                        let seen = if causal {
                            shape.causal_keys(query)
                        } else {
                            end
                        };
                        let seen = seen.min(end).saturating_sub(first);
                        pairs += seen;
                        let most = &mut keys[of_kv_head + k_block];
                        *most = seen.max(*most);
                    }
                }
            }
        }
        Self {
            pairs: as_f64(pairs),
            keys: as_f64(keys.iter().sum()),
        }
    }

    /// Share of the pairs of `dense` attention; all of them where there are none.
    pub fn share_of(self, dense: Self) -> f64 {
        if self.pairs == dense.pairs {
            1.0
        } else {
            self.pairs / dense.pairs
        }
    }
}

/// Of several items.
impl Sum for Attended {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        let nothing = Self {
            pairs: 0.0,
            keys: 0.0,
        };
        items.fold(nothing, |sum, item| Self {
            pairs: sum.pairs + item.pairs,
            keys: sum.keys + item.keys,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of numbers or of bytes, whose share of a time is shown with three digits"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_counted_by_hand() {
        // Half of 4 x 6 weights as f16, 3 tokens in f16.
        let work = Work::matmul([3, 4, 6], 0.5, 24, 2);
        assert_eq!(work.fmas, 36.0);
        assert_eq!(work.bytes, 24.0 + 36.0 + 48.0);
        assert_eq!(work.working_set, work.bytes);
    }

    #[test]
    fn a_gradient_is_counted_by_hand() {
        // Half of 4 x 6 weights, 3 tokens: dy has 12 numbers and x 18, each of two bytes.
        let work = Work::gradient([3, 4, 6], 0.5, 50, 2);
        assert_eq!((work.fmas, work.bytes), (36.0, 60.0 + 50.0));
        assert_eq!(work.working_set, work.bytes);
    }

    #[test]
    fn runs_that_take_copies_by_turns_pass_over_all_of_them() {
        let work = Work::matmul([3, 4, 6], 0.5, 24, 2).with_copies(5, 24);
        assert_eq!(work.bytes, 108.0);
        assert_eq!(work.working_set, 5.0 * 24.0 + 36.0 + 48.0);
    }

    #[test]
    fn pairs_in_the_future_and_keys_that_nobody_looks_at_are_not_counted() {
        let shape = AttentionShape::try_new(1, 2, 1, 5, 7, 4).unwrap();
        let of = |mask: &BlockMask, causal| {
            let Attended { pairs, keys } = Attended::of(shape, mask, 2, causal);
            (pairs, keys)
        };
        let all = BlockMask::dense(1, 2, 3, 4).unwrap();
        assert_eq!(of(&all, false), (70.0, 7.0));
        // Query t sees t + 3 keys.
        assert_eq!(of(&all, true), (2.0 * 25.0, 7.0));
        let one = BlockMask::from_fn(1, 2, 3, 4, |_, h, i, j| (h, i, j) == (1, 1, 2)).unwrap();
        // Queries 2 and 3 see 5 and 6 keys, of which the block holds keys 4 and 5.
        assert_eq!(of(&one, true), (1.0 + 2.0, 2.0));
        // Both heads share their keys; query 0 sees three of them, of which the second block holds one.
        let first = BlockMask::from_fn(1, 2, 3, 4, |_, _, i, j| (i, j) == (0, 1)).unwrap();
        assert_eq!(of(&first, true), (2.0 * (1.0 + 2.0), 2.0));
        // Heads with keys of their own look at them each. Query t sees t + 2 keys: the second block's other key lies in the future of both queries.
        let own = AttentionShape::try_new(1, 2, 2, 5, 6, 4).unwrap();
        let blocks = BlockMask::from_fn(1, 2, 3, 3, |_, _, i, j| (i, j) == (0, 1)).unwrap();
        let seen = Attended::of(own, &blocks, 2, true);
        assert_eq!((seen.pairs, seen.keys), (2.0, 2.0));
        let whole = Attended::of(shape, &all, 2, true);
        assert_eq!(
            Attended::of(shape, &one, 2, true).share_of(whole),
            3.0 / 50.0
        );
        assert_eq!(whole.share_of(whole), 1.0);
    }

    #[test]
    fn attention_is_counted_by_hand() {
        let shape = AttentionShape::try_new(1, 2, 1, 3, 5, 4).unwrap();
        let attended = Attended {
            pairs: 30.0,
            keys: 2.0,
        };
        let work = Work::attention(shape, attended, 4);
        assert_eq!(work.fmas, 2.0 * 30.0 * 4.0);
        // q 24 numbers, k and v 8 each of the 20 they have; out 24 and lse 6.
        assert_eq!(work.bytes, 4.0 * (24.0 + 16.0 + 24.0 + 6.0));
        let scored = work.with_score(10.0, 3.0, 16);
        assert_eq!(
            (scored.fmas, scored.bytes),
            (work.fmas + 10.0, work.bytes + 48.0)
        );
    }

    #[test]
    fn items_add_up() {
        let shape = |q_len, k_len| AttentionShape::try_new(1, 2, 1, q_len, k_len, 4).unwrap();
        let [three, one] = [(30.0, 2.0), (14.0, 7.0)].map(|(pairs, keys)| Attended { pairs, keys });
        let sum: Attended = [three, one].into_iter().sum();
        assert_eq!((sum.pairs, sum.keys), (44.0, 9.0));
        let items = [(shape(3, 5), three), (shape(1, 7), one)];
        let work: Work = items
            .map(|(shape, attended)| Work::attention(shape, attended, 4))
            .into_iter()
            .sum();
        // Four queries of two heads, nine keys and values.
        assert_eq!(work.fmas, 2.0 * 44.0 * 4.0);
        assert_eq!(work.bytes, 4.0 * (32.0 + 72.0 + 32.0 + 8.0));
        assert_eq!(work.working_set, work.bytes);
        let none: Work = std::iter::empty().sum();
        assert_eq!((none.fmas, none.bytes, none.working_set), (0.0, 0.0, 0.0));
    }
}
