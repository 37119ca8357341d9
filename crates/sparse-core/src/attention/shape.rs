//! Sizes of one attention problem, checked once.

use super::{Alignment, AttentionShapeError, MaskHeads};

/// The longest sequence that attention accepts, in tokens: positions, padded lengths and their sums then fit 32 bits.
pub const MAX_TOKENS: usize = 1 << 30;

/// The most query heads that attention accepts, those of all batch items together: what is kept for each of them then fits in memory, however
/// few tokens there are.
pub const MAX_HEADS: usize = 1 << 24;

/// Sizes of one attention problem: q `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`.
///
/// Query head `h` uses key/value head [`kv_head(h)`](Self::kv_head). In causal attention the sequences end together:
/// query `t` sees the keys `<= t + k_len - q_len`, so that a q which is the tail of k (chunked prefill) is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    batch: usize,
    q_heads: usize,
    kv_heads: usize,
    q_len: usize,
    k_len: usize,
    head_dim: usize,
}

impl AttentionShape {
    /// Checks the sizes. `batch`, `q_len` and `k_len` may be zero.
    ///
    /// # Errors
    /// `Heads`, `EmptyHead`, `TooLong`, `TooLarge` or `TooManyHeads` of [`AttentionShapeError`].
    pub fn try_new(
        batch: usize,
        q_heads: usize,
        kv_heads: usize,
        q_len: usize,
        k_len: usize,
        head_dim: usize,
    ) -> Result<Self, AttentionShapeError> {
        if q_heads == 0 || kv_heads == 0 || !q_heads.is_multiple_of(kv_heads) {
            return Err(AttentionShapeError::Heads { q_heads, kv_heads });
        }
        if head_dim == 0 {
            return Err(AttentionShapeError::EmptyHead);
        }
        let tokens = q_len.max(k_len);
        if tokens > MAX_TOKENS {
            return Err(AttentionShapeError::TooLong { tokens });
        }
        let shape = Self {
            batch,
            q_heads,
            kv_heads,
            q_len,
            k_len,
            head_dim,
        };
        // q is the largest in heads; with the longer length it bounds every tensor.
        [batch, q_heads, tokens, head_dim]
            .iter()
            .try_fold(8_usize, |bytes, &n| bytes.checked_mul(n.max(1)))
            .ok_or(AttentionShapeError::TooLarge(shape))?;
        // This does not overflow, as that did not. Without items something may still be kept for each head of one.
        if batch.max(1) * q_heads > MAX_HEADS {
            return Err(AttentionShapeError::TooManyHeads { batch, q_heads });
        }
        Ok(shape)
    }

    /// The problem of q `[batch, q_heads, q_len, head_dim]` and k `[batch, kv_heads, k_len, head_dim]`.
    ///
    /// # Errors
    /// [`AttentionShapeError`], the first rule that the shapes break.
    pub fn of_qk(q: &[usize], k: &[usize]) -> Result<Self, AttentionShapeError> {
        let &[batch, q_heads, q_len, head_dim] = q else {
            return Err(rank_error("q", q));
        };
        let &[k_batch, kv_heads, k_len, k_dim] = k else {
            return Err(rank_error("k", k));
        };
        if batch != k_batch {
            return Err(AttentionShapeError::Batch {
                q: batch,
                k: k_batch,
            });
        }
        if head_dim != k_dim {
            return Err(AttentionShapeError::HeadDim {
                q: head_dim,
                k: k_dim,
            });
        }
        Self::try_new(batch, q_heads, kv_heads, q_len, k_len, head_dim)
    }

    /// As [`AttentionShape::of_qk`], with v, which must be shaped as k.
    ///
    /// # Errors
    /// [`AttentionShapeError`], the first rule that the shapes break.
    pub fn of_qkv(q: &[usize], k: &[usize], v: &[usize]) -> Result<Self, AttentionShapeError> {
        let shape = Self::of_qk(q, k)?;
        if v.len() != 4 {
            return Err(rank_error("v", v));
        }
        if k != v {
            return Err(AttentionShapeError::ValueShape {
                k: k.to_vec(),
                v: v.to_vec(),
            });
        }
        Ok(shape)
    }

    /// One item of the same heads with other lengths, neither of them longer than the longer one of this shape.
    pub(super) fn of_item(&self, q_len: usize, k_len: usize) -> Self {
        Self {
            batch: 1,
            q_len,
            k_len,
            ..*self
        }
    }

    /// Independent items.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Query heads of an item.
    pub fn q_heads(&self) -> usize {
        self.q_heads
    }

    /// Key/value heads of an item.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Query tokens.
    pub fn q_len(&self) -> usize {
        self.q_len
    }

    /// Key tokens.
    pub fn k_len(&self) -> usize {
        self.k_len
    }

    /// Elements of one token in one head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// The key/value head that query head `q_head` uses.
    pub fn kv_head(&self, q_head: usize) -> usize {
        q_head / (self.q_heads / self.kv_heads)
    }

    /// `[batch, q_heads, q_len, head_dim]`.
    pub fn q_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.q_len, self.head_dim]
    }

    /// `[batch, kv_heads, k_len, head_dim]`, of k and of v.
    pub fn kv_shape(&self) -> [usize; 4] {
        [self.batch, self.kv_heads, self.k_len, self.head_dim]
    }

    /// `[batch, q_heads, query blocks, key blocks]` of a block mask. 0 blocks where `block` is 0.
    pub fn mask_shape(&self, block: usize) -> [usize; 4] {
        let blocks = |tokens: usize| match block {
            0 => 0,
            block => tokens.div_ceil(block),
        };
        let (q_blocks, k_blocks) = (blocks(self.q_len), blocks(self.k_len));
        [self.batch, self.q_heads, q_blocks, k_blocks]
    }

    /// [`AttentionShape::mask_shape`] of a mask with these heads.
    ///
    /// ```
    /// use sparse_core::attention::{AttentionShape, MaskHeads};
    /// let shape = AttentionShape::try_new(1, 8, 2, 1, 4096, 128)?;
    /// assert_eq!(shape.mask_shape_by(128, MaskHeads::Query), [1, 8, 1, 32]);
    /// assert_eq!(shape.mask_shape_by(128, MaskHeads::Key), [1, 2, 1, 32]);
    /// # Ok::<(), sparse_core::attention::AttentionShapeError>(())
    /// ```
    pub fn mask_shape_by(&self, block: usize, heads: MaskHeads) -> [usize; 4] {
        let [batch, q_heads, q_blocks, k_blocks] = self.mask_shape(block);
        [batch, q_heads / heads.group_size(self), q_blocks, k_blocks]
    }

    /// `1 / sqrt(head_dim)`, the softmax scale where the caller gives none.
    pub fn default_scale(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "head dimensions are far below 2^53"
        )]
        let head_dim = self.head_dim as f64;
        head_dim.sqrt().recip()
    }

    /// How many keys query `token` sees under causality: `token + 1 + k_len - q_len`, cut to `0..=k_len`.
    pub fn causal_keys(&self, token: usize) -> usize {
        let end = self.alignment().position(token.saturating_add(1));
        end.min(self.k_len)
    }

    /// How queries and keys stand to each other.
    pub(crate) fn alignment(&self) -> Alignment {
        Alignment {
            q_len: self.q_len,
            k_len: self.k_len,
        }
    }
}

fn rank_error(tensor: &'static str, shape: &[usize]) -> AttentionShapeError {
    AttentionShapeError::Rank {
        tensor,
        shape: shape.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_rule_has_its_own_error() {
        use AttentionShapeError as E;
        let q = [1, 4, 10, 64];
        type Case<'a> = (&'a [usize], &'a [usize], &'a [usize], E);
        let cases: [Case<'_>; 9] = [
            (
                &[4, 10, 64],
                &[1, 4, 10, 64],
                &[1, 4, 10, 64],
                rank_error("q", &[4, 10, 64]),
            ),
            (&q, &[10, 64], &[10, 64], rank_error("k", &[10, 64])),
            (&q, &[1, 2, 9, 64], &[9, 64], rank_error("v", &[9, 64])),
            (
                &q,
                &[2, 4, 10, 64],
                &[2, 4, 10, 64],
                E::Batch { q: 1, k: 2 },
            ),
            (
                &q,
                &[1, 4, 10, 32],
                &[1, 4, 10, 32],
                E::HeadDim { q: 64, k: 32 },
            ),
            (&[2, 4, 10, 64], &q, &q, E::Batch { q: 2, k: 1 }),
            (&[1, 4, 10, 32], &q, &q, E::HeadDim { q: 32, k: 64 }),
            (
                &q,
                &[1, 3, 10, 64],
                &[1, 3, 10, 64],
                E::Heads {
                    q_heads: 4,
                    kv_heads: 3,
                },
            ),
            (
                &q,
                &[1, 2, 9, 64],
                &[1, 2, 8, 64],
                E::ValueShape {
                    k: vec![1, 2, 9, 64],
                    v: vec![1, 2, 8, 64],
                },
            ),
        ];
        for (q, k, v, expected) in cases {
            assert_eq!(AttentionShape::of_qkv(q, k, v), Err(expected));
        }
        assert_eq!(AttentionShape::try_new(1, 1, 1, 1, 1, 0), Err(E::EmptyHead));
        assert_eq!(
            AttentionShape::try_new(1, 1, 0, 1, 1, 1),
            Err(E::Heads {
                q_heads: 1,
                kv_heads: 0
            })
        );
        assert_eq!(
            AttentionShape::try_new(1, 1, 1, 1, MAX_TOKENS + 1, 1),
            Err(E::TooLong {
                tokens: MAX_TOKENS + 1
            })
        );
        let error = AttentionShape::try_new(usize::MAX, 1, 1, 3, 4, 2).unwrap_err();
        assert!(matches!(error, E::TooLarge(_)));
        assert_eq!(
            error.to_string(),
            format!(
                "q of {} items x 1 heads x 3 tokens x 2 numbers, or k of 4 tokens, has more elements than this machine can address; \
                 split the batch or the sequence",
                usize::MAX
            )
        );
        assert!(AttentionShape::try_new(1, 1, 1, MAX_TOKENS, MAX_TOKENS, 1).is_ok());
        // Without tokens all tensors are empty, and any number of heads takes no memory.
        let heads = usize::try_from(u32::MAX).unwrap();
        for (batch, q_heads) in [(1, heads), (0, heads), (heads, 1), (1 << 12, (1 << 12) + 1)] {
            assert_eq!(
                AttentionShape::of_qk(&[batch, q_heads, 0, 16], &[batch, 1, 0, 16]),
                Err(E::TooManyHeads { batch, q_heads })
            );
        }
        assert_eq!(
            AttentionShape::try_new(3, heads, 1, 0, 0, 16)
                .unwrap_err()
                .to_string(),
            "3 batch items of 4294967295 query heads are more than the 16777216 heads in all that attention accepts; split the batch or the heads"
        );
        assert!(AttentionShape::try_new(1 << 12, 1 << 12, 1, 0, 0, 16).is_ok());
        // An empty batch does not hide sizes that overflow.
        for (batch, heads) in [(usize::MAX, 1), (0, usize::MAX)] {
            assert!(matches!(
                AttentionShape::try_new(batch, heads, heads, 1, 1, 2),
                Err(E::TooLarge(_))
            ));
        }
    }

    #[test]
    fn causality_aligns_the_ends() {
        let keys = |q_len, k_len, token| {
            AttentionShape::try_new(1, 1, 1, q_len, k_len, 1)
                .unwrap()
                .causal_keys(token)
        };
        assert_eq!([keys(4, 4, 0), keys(4, 4, 3)], [1, 4]);
        assert_eq!([keys(2, 5, 0), keys(2, 5, 1)], [4, 5]);
        assert_eq!([keys(2, 5, 2), keys(2, 5, usize::MAX)], [5, 5]);
        assert_eq!(keys(5, 2, 9), 2);
        assert_eq!(
            [keys(5, 2, 0), keys(5, 2, 2), keys(5, 2, 3), keys(5, 2, 4)],
            [0, 0, 1, 2]
        );
    }

    #[test]
    fn query_heads_share_key_heads_in_order() {
        let shape = AttentionShape::try_new(1, 6, 2, 1, 1, 1).unwrap();
        let heads: Vec<_> = (0..6).map(|h| shape.kv_head(h)).collect();
        assert_eq!(heads, [0, 0, 0, 1, 1, 1]);
    }
}
