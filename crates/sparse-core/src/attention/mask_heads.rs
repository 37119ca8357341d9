//! Whether query heads share a block mask.

use super::AttentionShape;

/// Whether a block mask has one head per query head, or one per key/value head that all query heads of its group (grouped-query attention) share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MaskHeads {
    /// `[batch, q_heads, query blocks, key blocks]`: every query head has a mask of its own.
    #[default]
    Query,
    /// `[batch, kv_heads, query blocks, key blocks]`: the query heads of a group attend to the same blocks, so that a kernel can load each key once for all
    /// of them.
    Key,
}

impl std::fmt::Display for MaskHeads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Key => "key",
        })
    }
}

impl MaskHeads {
    /// Query heads that follow one head of the mask, in a problem of `shape`.
    pub fn group_size(self, shape: &AttentionShape) -> usize {
        match self {
            Self::Query => 1,
            Self::Key => shape.q_heads() / shape.kv_heads(),
        }
    }

    /// The head of the mask that query head `q_head` follows.
    pub fn head(self, shape: &AttentionShape, q_head: usize) -> usize {
        q_head / self.group_size(shape)
    }
}
