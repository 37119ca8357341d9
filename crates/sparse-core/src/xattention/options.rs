//! What a caller may choose. Checked against a shape by [`XAttentionOptions::layout`].

use super::{Mode, Threshold, XAttentionError};
use crate::attention::{AttentionError, HeadKind, MaskHeads};
use crate::mask::BlockMask;

/// Options of XAttention.
///
/// ```
/// use sparse_core::xattention::XAttentionOptions;
/// let options = XAttentionOptions {
///     stride: 16,
///     recent_blocks: 2,
///     ..XAttentionOptions::default()
/// };
/// assert_eq!((options.block, options.causal), (128, true));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XAttentionOptions {
    /// Tokens of a block, of queries and of keys. Default 128.
    pub block: usize,
    /// Tokens of a group, must divide `block`. The estimate costs `1 / (2 stride)` of dense attention. Default 8,
    /// the authors' more careful choice; 16 halves the estimate's cost and is hardly worse on real models.
    pub stride: usize,
    /// Share of the estimated mass to keep, 0 to 1; of no effect where `top_k` is given. Default 0.9.
    pub threshold: Threshold,
    /// Exact mode: every row gets this many blocks instead of a share of the mass: the forced ones, all of them, and then those of the
    /// highest scores, lower index first among equals. A row that can reach fewer gets these. Default `None`.
    pub top_k: Option<usize>,
    /// Whether query `t` sees keys `<= t + k_len - q_len` only. Default true.
    pub causal: bool,
    /// Softmax scale, of the scores and of the attention. Default `None`: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Soft cap `c` of the attention: its logits `z` become `c tanh(z / c)`. The scores, which only rank blocks, go without. Default
    /// `None`: off.
    pub soft_cap: Option<f64>,
    /// One kind per query head, the same in every batch item. Only [`HeadKind::Sparse`] heads are scored and selected from; the mask of
    /// the others holds the blocks that their kind means, as far as they are reachable (unless they share it, see `mask_heads`), and their scores are 0. Default `None`: all sparse.
    pub head_kinds: Option<Vec<HeadKind>>,
    /// Whether query heads share a mask. With [`MaskHeads::Key`] the heads of a group (grouped-query attention) attend to the same blocks, so that the kernel
    /// for few queries loads each key once for all of them, where all heads are sparse: blocks are selected from the sum of the scores of the group's sparse heads, and a threshold per head is one
    /// per key/value head. Only sparse heads follow the mask; where a group has none, it holds the blocks that any of their kinds means. Default
    /// [`MaskHeads::Query`]. (Yuan et al., Native Sparse Attention, arXiv 2502.11089, section 3.3.2.)
    pub mask_heads: MaskHeads,
    /// Divides the scores' logits once more; above 1 it flattens the estimate. Default 1.
    pub norm: f64,
    /// Default [`Mode::Exact`].
    pub mode: Mode,
    /// Exact mode: this many first key blocks are always selected by sparse heads (where reachable). Causal attention selects
    /// block 0 in any case; for language models without causality 1 is a good choice. Default 0.
    pub sink_blocks: usize,
    /// Exact mode: this many key blocks, ending at the one where the row's last query stands, are always selected
    /// by sparse heads (where reachable). Causal attention selects the diagonal in any case. Default 0.
    pub recent_blocks: usize,
    /// Blocks of sparse heads that are always selected besides, `[batch, mask heads, q_blocks, k_blocks]` as [`XAttentionLayout::mask_shape`] has it: the union
    /// of a pattern of the caller's, such as [`BlockMask::sliding_window`], with what the scores select. In Exact mode they are forced blocks
    /// like the others: their mass counts, and those that a row cannot reach are left out. In Reference mode they are added to the finished
    /// selection, whatever it is. Those of other heads have no effect, and where no head is sparse they are refused. For a pattern alone no scores are needed: give it to the attention as its mask. Default `None`.
    ///
    /// [`XAttentionLayout::mask_shape`]: super::XAttentionLayout::mask_shape
    pub forced: Option<BlockMask>,
}

impl Default for XAttentionOptions {
    fn default() -> Self {
        Self {
            block: 128,
            stride: 8,
            threshold: Threshold::Uniform(0.9),
            top_k: None,
            causal: true,
            scale: None,
            soft_cap: None,
            head_kinds: None,
            mask_heads: MaskHeads::Query,
            norm: 1.0,
            mode: Mode::Exact,
            sink_blocks: 0,
            recent_blocks: 0,
            forced: None,
        }
    }
}

impl XAttentionOptions {
    /// The largest block and chunk.
    pub const MAX_BLOCK: usize = crate::attention::MAX_TOKENS;

    /// Checks every rule that does not depend on the tensors' shapes.
    ///
    /// # Errors
    /// [`XAttentionError`], the first rule broken.
    pub fn validate(&self) -> Result<(), XAttentionError> {
        use XAttentionError as E;
        let (block, stride, max) = (self.block, self.stride, Self::MAX_BLOCK);
        if block == 0 || block > max {
            return Err(E::Block { block, max });
        }
        if stride == 0 || !block.is_multiple_of(stride) {
            return Err(E::Stride { stride, block });
        }
        // Written so that NaN is refused.
        let is_share = |threshold: &f64| (0.0..=1.0).contains(threshold);
        if let Some(&threshold) = self.threshold.values().iter().find(|t| !is_share(t)) {
            return Err(E::Threshold { threshold });
        }
        let is_factor = |x: f64| x.is_finite() && x > 0.0;
        if self.top_k == Some(0) {
            return Err(E::TopK);
        }
        if let Some(scale) = self.scale.filter(|&scale| !is_factor(scale)) {
            return Err(E::Scale { scale });
        }
        if let Some(soft_cap) = self.soft_cap.filter(|&cap| !is_factor(cap)) {
            return Err(AttentionError::SoftCap { soft_cap }.into());
        }
        if !is_factor(self.norm) {
            return Err(E::Norm { norm: self.norm });
        }
        if let Mode::Reference(reference) = self.mode {
            if let Some(chunk) = reference.chunk {
                validate_chunk(chunk, block)?;
            }
            let (sink_blocks, recent_blocks) = (self.sink_blocks, self.recent_blocks);
            if sink_blocks > 0 || recent_blocks > 0 {
                return Err(E::ForcedColumnsInReference {
                    sink_blocks,
                    recent_blocks,
                });
            }
            if let Some(top_k) = self.top_k {
                return Err(E::TopKInReference { top_k });
            }
        }
        Ok(())
    }

    /// The kind of query head `head`.
    ///
    /// # Panics
    /// Where there is no such head; [`XAttentionOptions::layout`] checks the count.
    #[track_caller]
    pub fn kind_of_head(&self, head: usize) -> HeadKind {
        let kinds = self.head_kinds.as_ref();
        kinds.map_or(HeadKind::Sparse, |kinds| kinds[head])
    }

    /// Whether query head `head` is scored and selected from.
    ///
    /// # Panics
    /// As [`XAttentionOptions::kind_of_head`].
    #[track_caller]
    pub fn is_sparse(&self, head: usize) -> bool {
        self.kind_of_head(head) == HeadKind::Sparse
    }

    /// Whether any head is.
    pub fn any_sparse(&self) -> bool {
        let kinds = self.head_kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&HeadKind::Sparse))
    }
}

pub(super) fn validate_chunk(chunk: usize, block: usize) -> Result<(), XAttentionError> {
    let max = XAttentionOptions::MAX_BLOCK;
    if chunk > max {
        return Err(XAttentionError::ChunkTooLong { chunk, max });
    }
    if chunk == 0 || !chunk.is_multiple_of(block) {
        return Err(XAttentionError::Chunk { chunk, block });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
