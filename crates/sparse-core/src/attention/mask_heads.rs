//! Whose heads a block mask has.

use super::AttentionShape;

/// Whose heads a block mask has: those of the queries, or those of the keys, of which query heads that share keys share the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MaskHeads {
    /// `[batch, q_heads, query blocks, key blocks]`: every query head has a mask of its own.
    #[default]
    Query,
    /// `[batch, kv_heads, query blocks, key blocks]`: the query heads of a key head attend to the same blocks, so that a kernel can read each key once
    /// for all of them.
    Key,
}

impl MaskHeads {
    /// Query heads that follow one head of the mask, in a problem of `shape`.
    pub fn query_heads(self, shape: &AttentionShape) -> usize {
        match self {
            Self::Query => 1,
            Self::Key => shape.q_heads() / shape.kv_heads(),
        }
    }

    /// The head of the mask that query head `q_head` follows.
    pub fn head(self, shape: &AttentionShape, q_head: usize) -> usize {
        q_head / self.query_heads(shape)
    }

    /// [`AttentionShape::mask_shape`], with these heads: blocks of `block` tokens.
    ///
    /// ```
    /// use sparse_core::attention::{AttentionShape, MaskHeads};
    /// let shape = AttentionShape::try_new(1, 8, 2, 1, 4096, 128)?;
    /// assert_eq!(MaskHeads::Query.mask_shape(&shape, 128), [1, 8, 1, 32]);
    /// assert_eq!(MaskHeads::Key.mask_shape(&shape, 128), [1, 2, 1, 32]);
    /// # Ok::<(), sparse_core::attention::AttentionShapeError>(())
    /// ```
    pub fn mask_shape(self, shape: &AttentionShape, block: usize) -> [usize; 4] {
        let [batch, q_heads, q_blocks, k_blocks] = shape.mask_shape(block);
        [batch, q_heads / self.query_heads(shape), q_blocks, k_blocks]
    }
}
