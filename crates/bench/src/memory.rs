//! What XAttention holds in device memory, counted from its plan.

use serde::Serialize;
use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;
use sparse_gpu::{AttentionTypes, Error, Gpu, XAttention};

/// Bytes at one length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MemoryRow {
    /// Query and key tokens.
    pub length: usize,
    /// Of q, k, v, output and log-sum-exps.
    pub tensor_bytes: u64,
    /// Of the block scores.
    pub score_bytes: u64,
    /// Of the mask.
    pub mask_bytes: u64,
    /// Of everything else that the steps of the plan hold.
    pub scratch_bytes: u64,
    /// All of these.
    pub total_bytes: u64,
    /// `(total / total before)^(1 / log2(length / length before))`: 2 is linear growth, 4 quadratic. Nothing in the first row.
    pub growth: Option<f64>,
    /// The same of everything but the tensors.
    pub growth_beside_tensors: Option<f64>,
    /// What is never held: all scores of groups against groups, in f32.
    pub group_scores_bytes: u64,
}

impl MemoryRow {
    /// Plans XAttention and counts; the plan is gone afterwards. `before` is the row of the length before.
    ///
    /// # Errors
    /// Where planning fails, for want of memory too.
    pub fn of(
        gpu: &Gpu,
        shape: AttentionShape,
        options: &XAttentionOptions,
        dtype: DType,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let plan = gpu.plan_blocking(&XAttention {
            types: AttentionTypes::all(dtype),
            ..XAttention::new(shape, options.clone())
        })?;
        let score_bytes = plan.scores().map_or(0, |scores| scores.buffer().size());
        let mask_bytes = plan.mask().map_or(0, |mask| mask.buffer().size());
        let elements = |shape: &[usize]| shape.iter().map(|&size| size as u64).product::<u64>();
        let (q_shape, kv_shape) = (shape.q_shape(), shape.kv_shape());
        let tensor_bytes = dtype.bytes() as u64 * 2 * (elements(&q_shape) + elements(&kv_shape))
            + 4 * elements(&q_shape[..3]);
        let plan_bytes = plan.explain().scratch_bytes;
        let total_bytes = tensor_bytes + plan_bytes;
        let groups = |tokens: usize| tokens.div_ceil(options.stride);
        let row = Self {
            length: shape.k_len(),
            tensor_bytes,
            score_bytes,
            mask_bytes,
            scratch_bytes: plan_bytes - score_bytes - mask_bytes,
            total_bytes,
            growth: None,
            growth_beside_tensors: None,
            group_scores_bytes: 4 * elements(&[
                shape.batch(),
                shape.q_heads(),
                groups(shape.q_len()),
                groups(shape.k_len()),
            ]),
        };
        Ok(row.after(before))
    }

    /// With its growth since `before`.
    fn after(self, before: Option<&Self>) -> Self {
        let growth = |bytes: &dyn Fn(&Self) -> u64| {
            let before = before?;
            per_doubling(
                [before.length as u64, self.length as u64],
                [bytes(before), bytes(&self)],
            )
        };
        Self {
            growth: growth(&|row| row.total_bytes),
            growth_beside_tensors: growth(&|row| row.total_bytes - row.tensor_bytes),
            ..self
        }
    }
}

/// The factor per doubling of the length; nothing where the length is the same or there are no bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "a factor with a few digits is what is wanted"
)]
fn per_doubling([length_before, length]: [u64; 2], [before, now]: [u64; 2]) -> Option<f64> {
    let doublings = (length as f64 / length_before as f64).log2();
    let factor = (now as f64 / before as f64).powf(1.0 / doublings);
    factor.is_finite().then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_per_doubling() {
        assert_eq!(per_doubling([1024, 2048], [10, 20]), Some(2.0));
        assert_eq!(per_doubling([1024, 4096], [10, 160]), Some(4.0));
        assert_eq!(per_doubling([1024, 1024], [10, 20]), None);
        assert_eq!(per_doubling([1024, 2048], [0, 20]), None);
    }
}
