//! The three steps in a row.

use super::{
    ScoreReference, XAttentionError, XAttentionOptions, xattention_score, xattention_select,
};
use crate::attention::{AttentionOptions, AttentionReference, AttentionShape, block_attention};
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
/// let [k, v] = [2, 3].map(|seed| normal_tensor::<f32>(vec![1, 2, 100, 16], seed).unwrap());
/// let options = XAttentionOptions { block: 16, stride: 4, ..Default::default() };
/// let result = xattention(&q, &k, &v, &options)?;
/// assert_eq!(result.scores.scores.shape(), [1, 4, 7, 7]);
/// assert_eq!(result.attention.shape, [1, 4, 100, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn xattention<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
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
    /// share one, [`mask_of_query_heads`](super::XAttentionLayout::mask_of_query_heads) tells them apart.
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
