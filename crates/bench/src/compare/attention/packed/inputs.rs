//! The items of a row: their sizes, their tensors, and all of them packed.

use std::ops::Range;

use sparse_core::attention::{PackedShape, Packing};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Element, Tensor};
use sparse_gpu::{AttentionTypes, Error, Gpu, Policy, VarlenXAttention};
use sparse_measure::OutputAndLse;

use super::super::source::planted_from;
use crate::device::GpuPackedQkv;
use crate::presets::PackedCase;

impl PackedCase {
    /// Its sizes, checked.
    ///
    /// # Errors
    /// Where they do not make an attention problem.
    pub fn packed_shape(&self) -> anyhow::Result<PackedShape> {
        let (queries, keys): (Vec<_>, Vec<_>) = self.lengths.iter().copied().unzip();
        Ok(PackedShape::try_new(
            self.heads,
            self.kv_heads,
            self.head_dim,
            Packing::of_lengths(&queries)?,
            Packing::of_lengths(&keys)?,
        )?)
    }

    /// What it is decided by.
    pub fn policy(&self, gpu: &Gpu) -> Policy {
        match self.auto {
            true => Policy::auto(gpu),
            false => Policy::Sparse,
        }
    }

    /// Its options: all heads are sparse.
    pub fn options(&self) -> XAttentionOptions {
        XAttentionOptions {
            block: self.block,
            stride: self.stride,
            threshold: self.threshold.into(),
            causal: self.causal,
            mask_heads: self.mask_heads,
            ..XAttentionOptions::default()
        }
    }

    /// Its problem under a policy, with results in f32.
    ///
    /// # Errors
    /// As [`PackedCase::packed_shape`].
    pub fn problem(&self, policy: Policy) -> anyhow::Result<VarlenXAttention> {
        Ok(VarlenXAttention {
            policy,
            types: AttentionTypes {
                out: DType::F32,
                ..AttentionTypes::all(self.dtype)
            },
            ..VarlenXAttention::new(self.packed_shape()?, self.options())
        })
    }
}

/// Planted q, k and v of all items, in GPU memory.
///
/// # Errors
/// Where the items make no attention problem, a head dimension has no room for a pattern, or the tensors do not fit.
pub fn upload_packed<T: Element>(gpu: &Gpu, case: &PackedCase) -> anyhow::Result<GpuPackedQkv> {
    Ok(PackedInputs::<T>::planted(case)?.upload(gpu)?)
}

/// q, k and v of each item, `[1, heads, tokens, head_dim]`.
#[derive(Clone, Debug)]
pub(super) struct PackedInputs<T> {
    pub(super) shape: PackedShape,
    pub(super) items: Vec<AttentionInputs<T>>,
}

impl<T: Element> PackedInputs<T> {
    /// Planted ones, other numbers in each item: one that reads another's must not pass for right.
    pub(super) fn planted(case: &PackedCase) -> anyhow::Result<Self> {
        let shape = case.packed_shape()?;
        let items = shape.item_shapes().zip(1..);
        let items = items.map(|(shape, seed)| planted_from(shape, seed));
        let items = items.collect::<Result<_, _>>()?;
        Ok(Self { shape, items })
    }

    /// All items one after the other, in GPU memory.
    pub(super) fn upload(&self, gpu: &Gpu) -> Result<GpuPackedQkv, Error> {
        let (q_shape, kv_shape) = (self.shape.q_shape(), self.shape.kv_shape());
        let items = || self.items.iter();
        GpuPackedQkv::upload(
            gpu,
            [
                &packed(q_shape, items().map(|item| &item.q)),
                &packed(kv_shape, items().map(|item| &item.k)),
                &packed(kv_shape, items().map(|item| &item.v)),
            ],
        )
    }
}

/// Items `[1, heads, tokens, head_dim]` as the tensor `[tokens, heads, head_dim]` of all of them.
fn packed<'a, T: Element>(
    shape: [usize; 3],
    items: impl Iterator<Item = &'a Tensor<T>>,
) -> Tensor<T> {
    let [_, heads, head_dim] = shape;
    let mut data = Vec::with_capacity(shape.iter().product());
    for item in items {
        let tokens = item.data().len() / (heads * head_dim).max(1);
        for token in 0..tokens {
            for head in 0..heads {
                let first = (head * tokens + token) * head_dim;
                data.extend_from_slice(&item.data()[first..first + head_dim]);
            }
        }
    }
    Tensor::new(shape.to_vec(), data)
}

/// The results of each item, one head after the other, of `[tokens, heads, head_dim]` and `[heads, tokens]` of all of them.
pub(super) fn results_of_items(shape: &PackedShape, all: &OutputAndLse) -> Vec<OutputAndLse> {
    let [total, heads, head_dim] = shape.q_shape();
    let of_item = |tokens: Range<usize>| {
        let rows = || (0..heads).flat_map(|head| tokens.clone().map(move |token| (head, token)));
        OutputAndLse {
            out: rows()
                .flat_map(|(head, token)| {
                    let first = (token * heads + head) * head_dim;
                    all.out[first..first + head_dim].iter().copied()
                })
                .collect(),
            lse: rows()
                .map(|(head, token)| all.lse[head * total + token])
                .collect(),
        }
    };
    shape.q().ranges().map(of_item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_before_heads_in_packed_tensors_and_behind_them_in_items() {
        // Items of two tokens and of one, two heads of one number: head, token, item.
        let items = [
            Tensor::new(vec![1, 2, 2, 1], vec![0.0_f32, 10.0, 100.0, 110.0]),
            Tensor::new(vec![1, 2, 1, 1], vec![1.0, 101.0]),
        ];
        let all = packed([3, 2, 1], items.iter());
        assert_eq!(all.data(), [0.0, 100.0, 10.0, 110.0, 1.0, 101.0]);
        let tokens = Packing::of_lengths(&[2, 1]).unwrap();
        let shape = PackedShape::try_new(2, 2, 1, tokens.clone(), tokens).unwrap();
        let results = OutputAndLse {
            out: all.data().to_vec(),
            lse: vec![0.0, 10.0, 1.0, 100.0, 110.0, 101.0],
        };
        for (item, results) in items.iter().zip(results_of_items(&shape, &results)) {
            assert_eq!(results.out, item.data());
            assert_eq!(results.lse, item.data());
        }
    }
}
