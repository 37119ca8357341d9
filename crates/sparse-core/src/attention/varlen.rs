//! Attention over packed sequences, in f64: item by item.

use std::ops::Range;

use super::{
    AttentionError, AttentionOptions, AttentionReference, AttentionShape, AttentionShapeError,
    HeadKind, PackedShape, block_attention, mask_of_kinds,
};
use crate::mask::BlockMask;
use crate::{Element, Tensor};

/// Attention over packed sequences: q `[q.total(), q_heads, head_dim]`, k and v `[k.total(), kv_heads, head_dim]`, all heads of a token side
/// by side. Gives one result per item, what [`block_attention`] gives for it alone.
///
/// `mask` has the shape [`PackedShape::mask_shape_by`] of `options.mask_heads`; `kinds` as [`mask_of_kinds`] takes them.
///
/// # Errors
/// [`AttentionError`], the first rule broken.
///
/// ```
/// use sparse_core::Tensor;
/// use sparse_core::attention::{AttentionOptions, PackedShape, Packing, varlen_attention};
/// // Two items of two tokens and one, one head of one dimension.
/// let packing = Packing::of_lengths(&[2, 1])?;
/// let shape = PackedShape::try_new(1, 1, 1, packing.clone(), packing)?;
/// let x = Tensor::new(vec![3, 1, 1], vec![0.0_f32; 3]);
/// let v = Tensor::new(vec![3, 1, 1], vec![1.0_f32, 3.0, 10.0]);
/// let items = varlen_attention(&x, &x, &v, &shape, None, None, &AttentionOptions::default())?;
/// assert_eq!(items[0].out, [1.0, 2.0]);
/// assert_eq!(items[1].out, [10.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn varlen_attention<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
    shape: &PackedShape,
    kinds: Option<&[HeadKind]>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
) -> Result<Vec<AttentionReference>, AttentionError> {
    let items = unpack(q, k, v, shape)?;
    let block = options.block;
    let masks = match mask {
        Some(mask) => shape.unpack_mask(mask, block, options.mask_heads)?,
        None => Vec::new(),
    };
    items
        .enumerate()
        .map(|(item, (q, k, v))| {
            let mask = masks.get(item);
            let Some(kinds) = kinds else {
                return block_attention(&q, &k, &v, mask, options);
            };
            let of_item = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape())?;
            let mask = mask_of_kinds(&of_item, kinds, mask, options)?;
            block_attention(&q, &k, &v, Some(&mask), &options.with_own_masks())
        })
        .collect()
}

/// q, k and v of an item.
type Qkv<Q, K, V> = (Tensor<Q>, Tensor<K>, Tensor<V>);

/// The packed tensors, checked, as tensors `[1, heads, tokens, head_dim]` of each item.
pub(crate) fn unpack<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
    shape: &PackedShape,
) -> Result<impl Iterator<Item = Qkv<Q, K, V>>, AttentionShapeError> {
    for (tensor, actual, expected) in [
        ("q", q.shape(), shape.q_shape()),
        ("k", k.shape(), shape.kv_shape()),
        ("v", v.shape(), shape.kv_shape()),
    ] {
        if actual != expected {
            let shape = actual.to_vec();
            return Err(AttentionShapeError::Packed {
                tensor,
                shape,
                expected,
            });
        }
    }
    let items = shape.q().ranges().zip(shape.k().ranges());
    Ok(items.map(move |(queries, keys)| (heads(q, &queries), heads(k, &keys), heads(v, &keys))))
}

/// Some tokens of `[tokens, heads, head_dim]` as `[1, heads, tokens, head_dim]`.
fn heads<T: Element>(packed: &Tensor<T>, tokens: &Range<usize>) -> Tensor<T> {
    let [_, heads, dim] = [0, 1, 2].map(|axis| packed.shape()[axis]);
    let mut data = Vec::with_capacity(heads * tokens.len() * dim);
    for head in 0..heads {
        for token in tokens.clone() {
            let first = (token * heads + head) * dim;
            data.extend_from_slice(&packed.data()[first..first + dim]);
        }
    }
    Tensor::new(vec![1, heads, tokens.len(), dim], data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Packing;

    #[test]
    fn items_are_what_they_are_alone() {
        let packing = |lengths: &[usize]| Packing::of_lengths(lengths).unwrap();
        let shape =
            PackedShape::try_new(2, 1, 2, packing(&[0, 3, 2]), packing(&[4, 2, 5])).unwrap();
        let numbers = |n: usize, seed: usize| -> Vec<f32> {
            let number = |i| ((i * 7 + seed) % 13) as f32 - 6.0;
            (0..n).map(number).collect()
        };
        let q = Tensor::new(vec![5, 2, 2], numbers(20, 1));
        let k = Tensor::new(vec![11, 1, 2], numbers(22, 5));
        let v = Tensor::new(vec![11, 1, 2], numbers(22, 8));
        let options = AttentionOptions {
            block: 2,
            ..AttentionOptions::default()
        };
        let mask = BlockMask::from_fn(3, 2, 2, 3, |b, h, i, j| (b + h + i + j) % 3 > 0).unwrap();
        let run = |mask| varlen_attention(&q, &k, &v, &shape, None, mask, &options).unwrap();
        for mask in [None, Some(&mask)] {
            let items = run(mask);
            assert!(items[0].out.is_empty());
            // Item 2 by hand: tokens 3 and 4 of q, one head after the other; tokens 6.. of k and v.
            let d = q.data();
            let own_q = [&d[12..14], &d[16..18], &d[14..16], &d[18..20]].concat();
            let own_q = Tensor::new(vec![1, 2, 2, 2], own_q);
            let own = |x: &Tensor<f32>| Tensor::new(vec![1, 1, 5, 2], x.data()[12..].to_vec());
            let own_mask =
                mask.map(|_| BlockMask::from_fn(1, 2, 1, 3, |_, h, i, j| (2 + h + i + j) % 3 > 0));
            let own_mask = own_mask.transpose().unwrap();
            let alone = block_attention(&own_q, &own(&k), &own(&v), own_mask.as_ref(), &options);
            assert_eq!(items[2], alone.unwrap());
        }
    }

    #[test]
    fn wrong_shapes_are_named() {
        let packing = Packing::of_lengths(&[2]).unwrap();
        let shape = PackedShape::try_new(2, 1, 4, packing.clone(), packing).unwrap();
        let good = |heads| Tensor::new(vec![2, heads, 4], vec![0.0_f32; 8 * heads]);
        let run = |q, mask| {
            let options = AttentionOptions::default();
            varlen_attention(&q, &good(1), &good(1), &shape, None, mask, &options)
                .unwrap_err()
                .to_string()
        };
        assert!(run(good(1), None).starts_with("q has shape [2, 1, 4]; these packed"));
        let mask = BlockMask::from_fn(1, 2, 1, 2, |_, _, _, _| true).unwrap();
        assert!(run(good(2), Some(&mask)).starts_with("the mask has shape [1, 2, 1, 2]"));
    }
}
