//! Where q, k and v of a row come from.

use sparse_core::attention::{AttentionShape, AttentionShapeError, MaskHeads};
use sparse_core::synthetic::{AttentionInputs, PlantedAttention, PlantedError};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{Element, Tensor};

use crate::cli::Operation;
use crate::presets::AttentionCase;
use crate::tensors::Qkv;

/// Share of the causally reachable blocks that the planted structure needs.
pub const PLANTED_DENSITY: f64 = 0.15;
/// Of the planted inputs.
const SEED: u64 = 1;

impl AttentionCase {
    /// Causal attention over real tensors, with the usual block and threshold.
    pub fn of_real(operation: Operation, qkv: &Qkv) -> Self {
        let usual = XAttentionOptions::default();
        let shape = qkv.shape;
        Self {
            operation,
            model: "real q, k, v",
            batch: shape.batch(),
            heads: shape.q_heads(),
            kv_heads: shape.kv_heads(),
            q_len: shape.q_len(),
            k_len: shape.k_len(),
            head_dim: shape.head_dim(),
            dtype: qkv.dtype(),
            causal: usual.causal,
            block: usual.block,
            stride: 16,
            threshold: 0.9,
            top_k: None,
            mask_heads: MaskHeads::Query,
            dense: false,
        }
    }

    /// Its sizes, checked.
    ///
    /// # Errors
    /// Where they do not make an attention problem.
    pub fn attention_shape(&self) -> Result<AttentionShape, AttentionShapeError> {
        AttentionShape::try_new(
            self.batch,
            self.heads,
            self.kv_heads,
            self.q_len,
            self.k_len,
            self.head_dim,
        )
    }

    /// Its options.
    pub fn options(&self) -> XAttentionOptions {
        XAttentionOptions {
            block: self.block,
            stride: self.stride,
            threshold: self.threshold.into(),
            top_k: self.top_k,
            causal: self.causal,
            mask_heads: self.mask_heads,
            ..XAttentionOptions::default()
        }
    }
}

/// q, k and v with planted sinks, local windows, stripes and slashes.
///
/// # Errors
/// Where the head dimension has no room for them, or the tensors are too large.
pub fn planted<T: Element>(shape: AttentionShape) -> Result<AttentionInputs<T>, PlantedError> {
    planted_from(shape, SEED)
}

/// The same with other numbers for each seed.
///
/// # Errors
/// As [`planted`].
pub(super) fn planted_from<T: Element>(
    shape: AttentionShape,
    seed: u64,
) -> Result<AttentionInputs<T>, PlantedError> {
    PlantedAttention {
        shape,
        density: PLANTED_DENSITY,
        seed,
    }
    .generate()
}

/// The same with a pattern that needs a share `density` of the reachable blocks.
///
/// # Errors
/// As [`planted`]; where the density is no share.
pub fn planted_at<T: Element>(
    shape: AttentionShape,
    density: f64,
) -> Result<AttentionInputs<T>, PlantedError> {
    PlantedAttention {
        shape,
        density,
        seed: SEED,
    }
    .generate()
}

/// The first `tokens` tokens of every head; where there are fewer, they are repeated from the first on.
///
/// # Errors
/// Where a tensor has not four sizes, or no tokens at all.
pub fn of_length<T: Element>(
    inputs: &AttentionInputs<T>,
    tokens: usize,
) -> anyhow::Result<AttentionInputs<T>> {
    let resized = |tensor: &Tensor<T>| {
        let &[batch, heads, len, head_dim] = tensor.shape() else {
            anyhow::bail!("{:?} is not the shape of q, k or v", tensor.shape());
        };
        anyhow::ensure!(len > 0, "there are no tokens to repeat");
        let mut data = Vec::with_capacity(batch * heads * tokens * head_dim);
        for head in tensor.data().chunks(len * head_dim) {
            for token in 0..tokens {
                let start = token % len * head_dim;
                data.extend_from_slice(&head[start..start + head_dim]);
            }
        }
        Ok(Tensor::try_new(vec![batch, heads, tokens, head_dim], data)?)
    };
    Ok(AttentionInputs {
        q: resized(&inputs.q)?,
        k: resized(&inputs.k)?,
        v: resized(&inputs.v)?,
    })
}

#[cfg(test)]
mod tests {
    use sparse_core::BlockMask;
    use sparse_core::xattention::{xattention_score, xattention_select};

    use super::*;
    use crate::cli::PresetName;
    use crate::presets::{Case, SizeClass, cases};

    #[test]
    fn a_layer_is_cut_or_repeated() {
        let shape = AttentionShape::try_new(1, 2, 1, 3, 3, 16).unwrap();
        let three = planted::<f32>(shape).unwrap();
        let two = of_length(&three, 2).unwrap();
        assert_eq!(two.q.shape(), [1, 2, 2, 16]);
        assert_eq!(two.q.data()[32..64], three.q.data()[48..80]);
        let five = of_length(&three, 5).unwrap();
        assert_eq!(five.v.shape(), [1, 1, 5, 16]);
        assert_eq!(five.v.data()[48..80], three.v.data()[..32]);
    }

    #[test]
    fn the_planted_rows_of_the_quick_preset_are_at_most_a_fifth_dense() {
        let only = "xattention".parse().unwrap();
        let all = cases(PresetName::Quick, SizeClass::Software, &only);
        let [Case::Attention(case)] = &all[..] else {
            panic!("{all:?}");
        };
        let shape = case.attention_shape().unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        let options = case.options();
        let scores = xattention_score(&inputs.q, &inputs.k, &options)
            .unwrap()
            .scores;
        let mask = xattention_select(&scores, &options.layout(shape).unwrap()).unwrap();
        let reachable = super::super::quality::reachable(shape, case.block, case.causal).unwrap();
        let density = BlockMask::density_within(&mask, &reachable).unwrap();
        assert!((0.1..=0.2).contains(&density), "{density}");
    }
}
