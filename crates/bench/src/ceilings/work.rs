//! What a row has to do at least.

use sparse_core::BlockMask;
use sparse_core::attention::AttentionShape;

/// Multiply-adds and bytes that an operation cannot do without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Multiply-adds over kept weights or attended pairs; exponentials and divisions are not counted.
    pub fmas: f64,
    /// Bytes of all operands and results, each once.
    pub bytes: f64,
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
        Self {
            fmas: y * as_f64(k_in) * density,
            bytes: as_f64(weight_bytes) + x * as_f64(x_bytes) + 4.0 * y,
        }
    }

    /// Attention over `pairs` of a query and a key, all heads together: two products of `head_dim` each. q, k and v are stored in
    /// `element_bytes` a number, output and log-sum-exp in f32.
    pub fn attention(shape: AttentionShape, pairs: f64, element_bytes: usize) -> Self {
        let q = shape.batch() * shape.q_heads() * shape.q_len();
        let kv = 2 * shape.batch() * shape.kv_heads() * shape.k_len();
        let numbers = as_f64(q + kv) * as_f64(shape.head_dim());
        let results = as_f64(q) * as_f64(shape.head_dim() + 1);
        Self {
            fmas: 2.0 * pairs * as_f64(shape.head_dim()),
            bytes: numbers * as_f64(element_bytes) + 4.0 * results,
        }
    }

    /// The same with more multiply-adds: what a score costs beside the attention.
    #[must_use]
    pub fn with_more_fmas(self, fmas: f64) -> Self {
        Self {
            fmas: self.fmas + fmas,
            ..self
        }
    }
}

/// Pairs of a query and a key that attention over the blocks of `mask` looks at, all heads together; of a causal problem those of
/// a block on the diagonal that lie in the future are left out.
pub fn attended_pairs(shape: AttentionShape, mask: &BlockMask, block: usize, causal: bool) -> f64 {
    let [batch, heads, q_blocks, _] = mask.shape();
    let mut pairs = 0;
    for (item, head) in (0..batch).flat_map(|item| (0..heads).map(move |head| (item, head))) {
        for q_block in 0..q_blocks {
            let queries = q_block * block..((q_block + 1) * block).min(shape.q_len());
            for k_block in mask.row(item, head, q_block) {
                let (first, end) = (k_block * block, ((k_block + 1) * block).min(shape.k_len()));
                let seen = |query| {
                    if causal {
                        shape.causal_keys(query)
                    } else {
                        end
                    }
                };
                let of_query = |query| seen(query).min(end).saturating_sub(first);
                pairs += queries.clone().map(of_query).sum::<usize>();
            }
        }
    }
    as_f64(pairs)
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
    }

    #[test]
    fn pairs_in_the_future_are_not_counted() {
        let shape = AttentionShape::try_new(1, 2, 1, 5, 7, 4).unwrap();
        let all = BlockMask::dense(1, 2, 3, 4).unwrap();
        assert_eq!(attended_pairs(shape, &all, 2, false), 70.0);
        // Query t sees t + 3 keys.
        assert_eq!(attended_pairs(shape, &all, 2, true), 2.0 * 25.0);
        let one = BlockMask::from_fn(1, 2, 3, 4, |_, h, i, j| (h, i, j) == (1, 1, 2)).unwrap();
        // Queries 2 and 3 see 5 and 6 keys, of which the block holds keys 4 and 5.
        assert_eq!(attended_pairs(shape, &one, 2, true), 1.0 + 2.0);
    }

    #[test]
    fn attention_is_counted_by_hand() {
        let shape = AttentionShape::try_new(1, 2, 1, 3, 5, 4).unwrap();
        let work = Work::attention(shape, 30.0, 4).with_more_fmas(10.0);
        assert_eq!(work.fmas, 2.0 * 30.0 * 4.0 + 10.0);
        // q 24, k and v 40 numbers; out 24 and lse 6.
        assert_eq!(work.bytes, 4.0 * (24.0 + 40.0 + 24.0 + 6.0));
    }
}
