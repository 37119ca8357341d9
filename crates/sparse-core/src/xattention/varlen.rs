//! XAttention of packed sequences: item by item.

use super::{
    XAttentionError, XAttentionLayout, XAttentionOptions, XAttentionReference, xattention,
};
use crate::attention::{PackedShape, unpack};
use crate::{Element, Tensor};

impl XAttentionOptions {
    /// The layout of each item of packed sequences, in order. Thresholds, kinds of heads and counts are the same in all; blocks, groups and chunks count from an
    /// item's own first token. Forced blocks are `[items, mask heads, q_blocks, k_blocks]` with room for the longest item, as [`PackedShape::mask_shape_by`] has it;
    /// each layout holds its own.
    ///
    /// # Errors
    /// [`XAttentionError`], the first rule broken; of an item [`XAttentionError::Item`].
    pub fn packed_layouts(
        &self,
        shape: &PackedShape,
    ) -> Result<Vec<XAttentionLayout>, XAttentionError> {
        self.validate()?;
        let unforced = Self {
            forced: None,
            ..self.clone()
        };
        if shape.q().items() == 0 {
            // What all items share is checked even so.
            unforced.layout(shape.longest())?;
        }
        let forced = match &self.forced {
            Some(forced) => {
                let (given, expected) = (
                    forced.shape(),
                    shape.mask_shape_by(self.block, self.mask_heads),
                );
                if given != expected {
                    return Err(XAttentionError::ForcedShape { given, expected });
                }
                shape.unpack_mask(forced, self.block, self.mask_heads)?
            }
            None => Vec::new(),
        };
        let mut forced = forced.into_iter();
        let layout_of = |(item, shape)| {
            let options = Self {
                forced: forced.next(),
                ..unforced.clone()
            };
            options
                .layout(shape)
                .map_err(|error| XAttentionError::of_item(item, error))
        };
        shape.item_shapes().enumerate().map(layout_of).collect()
    }
}

/// XAttention of packed sequences: q `[q.total(), q_heads, head_dim]`, k and v `[k.total(), kv_heads, head_dim]`, all heads of a token side by side. Gives one
/// result per item, what [`xattention()`] gives for it alone; [`PackedShape::pack_masks`] makes one mask of theirs.
///
/// `options.forced` has room for the longest item, as [`XAttentionOptions::packed_layouts`] says.
///
/// # Errors
/// [`XAttentionError`], the first rule broken; of an item [`XAttentionError::Item`].
///
/// ```
/// use sparse_core::attention::{PackedShape, Packing};
/// use sparse_core::synthetic::normal_tensor;
/// use sparse_core::xattention::{XAttentionOptions, varlen_xattention};
/// let lengths = Packing::of_lengths(&[100, 33])?;
/// let shape = PackedShape::try_new(4, 2, 16, lengths.clone(), lengths)?;
/// let q = normal_tensor::<f32>(shape.q_shape().to_vec(), 1)?;
/// let [k, v] = [2, 3].map(|seed| normal_tensor::<f32>(shape.kv_shape().to_vec(), seed).unwrap());
/// let options = XAttentionOptions { block: 16, stride: 4, ..Default::default() };
/// let items = varlen_xattention(&q, &k, &v, &shape, &options)?;
/// assert_eq!(items[1].mask.shape(), [1, 4, 3, 3]);
/// assert_eq!(items[1].attention.shape, [1, 4, 33, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn varlen_xattention<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
    shape: &PackedShape,
    options: &XAttentionOptions,
) -> Result<Vec<XAttentionReference>, XAttentionError> {
    let layouts = options.packed_layouts(shape)?;
    let items = unpack(q, k, v, shape)?.zip(layouts).enumerate();
    items
        .map(|(item, ((q, k, v), layout))| {
            xattention(&q, &k, &v, layout.options())
                .map_err(|error| XAttentionError::of_item(item, error))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{HeadKind, MaskHeads, Packing};
    use crate::mask::BlockMask;
    use crate::synthetic::normal_tensor;
    use crate::xattention::{Mode, ReferenceOptions, Threshold};

    fn packing(lengths: &[usize]) -> Packing {
        Packing::of_lengths(lengths).unwrap()
    }

    fn options() -> XAttentionOptions {
        XAttentionOptions {
            block: 4,
            stride: 2,
            threshold: Threshold::Uniform(0.6),
            ..XAttentionOptions::default()
        }
    }

    /// Items with and without tokens, keys with room behind them.
    fn shape() -> PackedShape {
        let keys = Packing::try_new(vec![0, 12, 12, 19, 40]).unwrap();
        let keys = keys.with_lengths(&[9, 0, 7, 21]).unwrap();
        PackedShape::try_new(4, 2, 3, packing(&[9, 2, 0, 6]), keys).unwrap()
    }

    #[test]
    fn items_are_what_they_are_alone() {
        let shape = shape();
        let tensor = |shape: [usize; 3], seed| normal_tensor::<f32>(shape.to_vec(), seed).unwrap();
        let q = tensor(shape.q_shape(), 1);
        let [k, v] = [2, 3].map(|seed| tensor(shape.kv_shape(), seed));
        let [items, heads, rows, columns] = shape.mask_shape_by(4, MaskHeads::Key);
        let scattered = |b, h, i, j| (b * 7 + h * 3 + i * 5 + j * 2) % 4 == 0;
        let forced = BlockMask::from_fn(items, heads, rows, columns, scattered).unwrap();
        let window = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: 1,
        };
        let options = XAttentionOptions {
            mask_heads: MaskHeads::Key,
            forced: Some(forced),
            head_kinds: Some(vec![
                HeadKind::Sparse,
                window,
                HeadKind::Dense,
                HeadKind::Sparse,
            ]),
            ..options()
        };
        let results = varlen_xattention(&q, &k, &v, &shape, &options).unwrap();
        assert_eq!(results.len(), 4);
        // Item 3 by hand: tokens 11..17 of q, 19..40 of k and v, of which each has all heads.
        let own = |x: &Tensor<f32>, tokens: std::ops::Range<usize>, heads: usize| {
            let row = |head: usize, token: usize| {
                let first = (token * heads + head) * 3;
                x.data()[first..first + 3].to_vec()
            };
            let all = (0..heads).flat_map(|head| tokens.clone().flat_map(move |t| row(head, t)));
            Tensor::new(vec![1, heads, tokens.len(), 3], all.collect())
        };
        let alone = XAttentionOptions {
            forced: Some(
                BlockMask::from_fn(1, 2, 2, 6, |_, h, i, j| scattered(3, h, i, j)).unwrap(),
            ),
            ..options.clone()
        };
        let expected = xattention(
            &own(&q, 11..17, 4),
            &own(&k, 19..40, 2),
            &own(&v, 19..40, 2),
            &alone,
        );
        assert_eq!(results[3], expected.unwrap());
        let masks: Vec<_> = results.into_iter().map(|result| result.mask).collect();
        assert_eq!(masks[1].shape(), [1, 2, 1, 0]);
        let packed = shape.pack_masks(&masks, 4, MaskHeads::Key).unwrap();
        assert_eq!(
            shape.unpack_mask(&packed, 4, MaskHeads::Key).unwrap(),
            masks
        );
    }

    #[test]
    fn refusals_name_the_item() {
        let refused = |options: XAttentionOptions, shape: &PackedShape| {
            options.packed_layouts(shape).unwrap_err().to_string()
        };
        let reference = XAttentionOptions {
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(8),
                ..ReferenceOptions::default()
            }),
            ..options()
        };
        let text = refused(reference, &shape());
        assert!(
            text.starts_with("item 1: 2 query tokens fill more chunks of 8 than 0 key tokens do"),
            "{text}"
        );
        let forced = XAttentionOptions {
            forced: Some(BlockMask::dense(1, 4, 3, 6).unwrap()),
            ..options()
        };
        let text = refused(forced, &shape());
        assert!(
            text.contains("[1, 4, 3, 6]") && text.contains("[4, 4, 3, 6]"),
            "{text}"
        );
        let none = PackedShape::try_new(4, 2, 3, packing(&[]), packing(&[])).unwrap();
        assert_eq!(options().packed_layouts(&none), Ok(Vec::new()));
        let thresholds = XAttentionOptions {
            threshold: Threshold::PerHead(vec![0.5; 3]),
            ..options()
        };
        let text = refused(thresholds.clone(), &none);
        assert!(text.starts_with("3 thresholds for 4 query heads"), "{text}");
        let text = refused(thresholds, &shape());
        assert!(
            text.starts_with("item 0: 3 thresholds for 4 query heads"),
            "{text}"
        );
        let block = XAttentionOptions {
            block: 0,
            ..options()
        };
        assert!(refused(block, &shape()).starts_with("block is 0"));
    }
}
