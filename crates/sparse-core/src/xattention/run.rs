//! The three steps in a row.

use std::borrow::Cow;

use super::{
    ScoreReference, XAttentionError, XAttentionLayout, XAttentionOptions, xattention_score,
    xattention_select,
};
use crate::attention::{
    AttentionOptions, AttentionReference, AttentionShape, HeadKind, MaskHeads, block_attention,
    mask_of_kinds,
};
use crate::mask::BlockMask;
use crate::{Element, Tensor};

/// What [`xattention`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct XAttentionReference {
    /// The estimate.
    pub scores: ScoreReference,
    /// The blocks selected, `[batch, mask heads, q_blocks, k_blocks]`.
    pub mask: BlockMask,
    /// Attention over them.
    pub attention: AttentionReference,
}

/// Scores, selects, and attends: q `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`.
///
/// # Errors
/// [`XAttentionError`], the first rule broken.
///
/// ```
/// use sparse_core::synthetic::normal_tensor;
/// use sparse_core::xattention::{XAttentionOptions, xattention};
/// let q = normal_tensor::<f32>(vec![1, 4, 100, 16], 1)?;
/// let [k, v] = [2, 3].map(|seed| normal_tensor(vec![1, 2, 100, 16], seed).unwrap());
/// let options = XAttentionOptions { block: 16, stride: 4, ..Default::default() };
/// let result = xattention(&q, &k, &v, &options)?;
/// assert_eq!(result.scores.scores.shape(), [1, 4, 7, 7]);
/// assert_eq!(result.attention.shape, [1, 4, 100, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn xattention<T: Element>(
    q: &Tensor<T>,
    k: &Tensor<T>,
    v: &Tensor<T>,
    options: &XAttentionOptions,
) -> Result<XAttentionReference, XAttentionError> {
    let shape = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape())?;
    let scores = xattention_score(q, k, options)?;
    let layout = options.layout(shape)?;
    let mask = xattention_select(&scores.scores, &layout)?;
    let attention = {
        let of_heads = layout.mask_of_query_heads(&mask)?;
        let options = options.attention().with_own_masks();
        block_attention(q, k, v, Some(&of_heads), &options)?
    };
    Ok(XAttentionReference {
        scores,
        mask,
        attention,
    })
}

impl XAttentionOptions {
    /// The options of the attention that follows scoring and selection. The kinds of heads are in the mask where each query head has its own; where they
    /// share one, [`XAttentionLayout::mask_of_query_heads`] tells them apart.
    pub fn attention(&self) -> AttentionOptions {
        AttentionOptions {
            scale: self.scale,
            causal: self.causal,
            block: self.block,
            mask_heads: self.mask_heads,
            soft_cap: self.soft_cap,
        }
    }
}

impl XAttentionLayout {
    /// The blocks that each query head attends to, `[batch, q_heads, q_blocks, k_blocks]`, by a `mask` of [`XAttentionLayout::mask_shape`]: itself where
    /// each query head has its own.
    ///
    /// # Errors
    /// [`XAttentionError::Attention`] where the mask is not one of this layout, or cannot be built.
    pub fn mask_of_query_heads<'a>(
        &self,
        mask: &'a BlockMask,
    ) -> Result<Cow<'a, BlockMask>, XAttentionError> {
        let (shape, options) = (self.shape(), self.options());
        let attention = options.attention();
        attention.check(&shape, Some(mask))?;
        if options.mask_heads == MaskHeads::Query {
            return Ok(Cow::Borrowed(mask));
        }
        let kinds: Vec<HeadKind> = (0..shape.q_heads())
            .map(|head| options.kind_of_head(head))
            .collect();
        // A mask of heads none of which is sparse is not read.
        let mask = options.any_sparse().then_some(mask);
        Ok(Cow::Owned(mask_of_kinds(&shape, &kinds, mask, &attention)?))
    }
}
