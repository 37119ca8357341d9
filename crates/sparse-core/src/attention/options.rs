//! What a caller may choose.

use super::{AttentionError, AttentionShape, MaskHeads};
use crate::mask::BlockMask;

/// Options of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionOptions {
    /// Softmax scale. Default `None`: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Whether query `t` sees keys `<= t + k_len - q_len` only. Default true.
    pub causal: bool,
    /// Tokens of a block of the mask, of queries and of keys, at least 1; without a mask the result does not depend on it. Default 128.
    pub block: usize,
    /// Whether query heads share a mask. Default [`MaskHeads::Query`].
    pub mask_heads: MaskHeads,
    /// Soft cap `c`: a logit `z = scale <q, k>` becomes `c tanh(z / c)` before the softmax, so that none exceeds `c`. Default
    /// `None`: off.
    pub soft_cap: Option<f64>,
}

impl Default for AttentionOptions {
    fn default() -> Self {
        Self {
            scale: None,
            causal: true,
            block: 128,
            mask_heads: MaskHeads::Query,
            soft_cap: None,
        }
    }
}

impl AttentionOptions {
    /// Checks the options, and that `mask` is one of the problem.
    pub(crate) fn check(
        &self,
        shape: &AttentionShape,
        mask: Option<&BlockMask>,
    ) -> Result<(), AttentionError> {
        let block = self.block;
        if block == 0 {
            return Err(AttentionError::Block);
        }
        // Written so that NaN is refused.
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        if let Some(scale) = self.scale.filter(|scale| !positive(scale)) {
            return Err(AttentionError::Scale { scale });
        }
        if let Some(soft_cap) = self.soft_cap.filter(|cap| !positive(cap)) {
            return Err(AttentionError::SoftCap { soft_cap });
        }
        let expected = shape.mask_shape_by(block, self.mask_heads);
        match mask.map(BlockMask::shape) {
            Some(mask) if mask != expected => Err(AttentionError::MaskShape {
                mask,
                expected,
                block,
            }),
            _ => Ok(()),
        }
    }

    /// These options for a mask with one head per query head, as [`mask_of_kinds`](super::mask_of_kinds) makes it.
    #[must_use]
    pub fn with_own_masks(self) -> Self {
        Self {
            mask_heads: MaskHeads::Query,
            ..self
        }
    }

    /// The logit that goes into the softmax: `z`, or with a soft cap `c tanh(z / c)`.
    pub fn capped(&self, z: f64) -> f64 {
        self.soft_cap.map_or(z, |cap| cap * (z / cap).tanh())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_of_another_shape_is_refused() {
        let shape = AttentionShape::try_new(2, 3, 1, 200, 500, 1).unwrap();
        let options = AttentionOptions::default();
        let expected = [2, 3, 2, 4];
        let check = |mask: [usize; 4]| {
            let [batch, heads, q_blocks, k_blocks] = mask;
            let mask = BlockMask::dense(batch, heads, q_blocks, k_blocks).unwrap();
            options.check(&shape, Some(&mask))
        };
        assert_eq!(check(expected), Ok(()));
        let shared = AttentionOptions {
            mask_heads: MaskHeads::Key,
            ..options
        };
        let mask = BlockMask::dense(2, 1, 2, 4).unwrap();
        assert_eq!(shared.check(&shape, Some(&mask)), Ok(()));
        for axis in 0..4 {
            let mut mask = expected;
            mask[axis] += 1;
            let block = 128;
            let error = AttentionError::MaskShape {
                mask,
                expected,
                block,
            };
            assert_eq!(check(mask), Err(error));
        }
    }

    #[test]
    fn a_soft_cap_bounds_large_logits_and_keeps_small_ones() {
        let options = AttentionOptions {
            soft_cap: Some(30.0),
            ..AttentionOptions::default()
        };
        assert_eq!(options.capped(1e300), 30.0);
        assert_eq!(options.capped(-1e300), -30.0);
        assert!((options.capped(0.01) - 0.01).abs() < 1e-9);
        assert!((options.capped(15.0) - 30.0 * 0.5_f64.tanh()).abs() < 1e-12);
        assert_eq!(AttentionOptions::default().capped(1e300), 1e300);
    }
}
