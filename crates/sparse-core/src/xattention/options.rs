//! What a caller may choose. Checked against a shape by [`XAttentionOptions::layout`].

use super::{Mode, XAttentionError};

/// The share of the estimated softmax mass that the selected blocks of a row must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// One share for all heads.
    Uniform(f64),
    /// One share per query head, the same in every batch item.
    PerHead(Vec<f64>),
}

impl Threshold {
    /// The share of query head `head`.
    ///
    /// # Panics
    /// Where there is no such head; [`XAttentionOptions::layout`] checks the count.
    #[track_caller]
    pub fn of_head(&self, head: usize) -> f64 {
        match self {
            Self::Uniform(threshold) => *threshold,
            Self::PerHead(thresholds) => thresholds[head],
        }
    }

    /// All shares, in head order.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Uniform(threshold) => std::slice::from_ref(threshold),
            Self::PerHead(thresholds) => thresholds,
        }
    }
}

impl From<f64> for Threshold {
    fn from(threshold: f64) -> Self {
        Self::Uniform(threshold)
    }
}

/// Options of XAttention.
///
/// ```
/// use sparse_core::xattention::XAttentionOptions;
/// let options = XAttentionOptions {
///     stride: 16,
///     n_recent: 2,
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
    /// Share of the estimated mass to keep, 0 to 1. Default 0.9.
    pub threshold: Threshold,
    /// Whether query `t` sees keys `<= t + k_len - q_len` only. Default true.
    pub causal: bool,
    /// Softmax scale, of the scores and of the attention. Default `None`: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Divides the scores' logits once more; above 1 it flattens the estimate. Default 1.
    pub norm: f64,
    /// Default [`Mode::Exact`].
    pub mode: Mode,
    /// Exact mode: this many first key blocks are always selected (where reachable). Causal attention selects
    /// block 0 in any case; for language models without causality 1 is a good choice. Default 0.
    pub n_sink: usize,
    /// Exact mode: this many key blocks, ending at the one where the row's last query stands, are always selected
    /// (where reachable). Causal attention selects the diagonal in any case. Default 0.
    pub n_recent: usize,
}

impl Default for XAttentionOptions {
    fn default() -> Self {
        Self {
            block: 128,
            stride: 8,
            threshold: Threshold::Uniform(0.9),
            causal: true,
            scale: None,
            norm: 1.0,
            mode: Mode::Exact,
            n_sink: 0,
            n_recent: 0,
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
        if let Some(scale) = self.scale.filter(|&scale| !is_factor(scale)) {
            return Err(E::Scale { scale });
        }
        if !is_factor(self.norm) {
            return Err(E::Norm { norm: self.norm });
        }
        if let Mode::Reference(reference) = self.mode {
            if let Some(chunk) = reference.chunk {
                validate_chunk(chunk, block)?;
            }
            let (n_sink, n_recent) = (self.n_sink, self.n_recent);
            if n_sink > 0 || n_recent > 0 {
                return Err(E::ForcedColumnsInReference { n_sink, n_recent });
            }
        }
        Ok(())
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
mod tests {
    use super::*;
    use crate::attention::AttentionShape;
    use crate::xattention::ReferenceOptions;
    use XAttentionError as E;

    fn with(change: impl FnOnce(&mut XAttentionOptions)) -> Result<(), XAttentionError> {
        let mut options = XAttentionOptions::default();
        change(&mut options);
        options.validate()
    }

    fn with_reference(change: impl FnOnce(&mut ReferenceOptions)) -> XAttentionOptions {
        let mut reference = ReferenceOptions::default();
        change(&mut reference);
        XAttentionOptions {
            mode: Mode::Reference(reference),
            ..XAttentionOptions::default()
        }
    }

    #[test]
    fn every_broken_rule_has_its_own_error() {
        assert_eq!(with(|_| ()), Ok(()));
        let max = XAttentionOptions::MAX_BLOCK;
        for block in [0, max + 1] {
            assert_eq!(with(|o| o.block = block), Err(E::Block { block, max }));
        }
        for stride in [0, 12, 256] {
            let block = 128;
            assert_eq!(
                with(|o| o.stride = stride),
                Err(E::Stride { stride, block })
            );
        }
        for threshold in [-0.1, 1.1, f64::INFINITY] {
            let expected = Err(E::Threshold { threshold });
            assert_eq!(with(|o| o.threshold = threshold.into()), expected);
            let per_head = Threshold::PerHead(vec![0.5, threshold]);
            assert_eq!(with(|o| o.threshold = per_head), expected);
        }
        assert!(matches!(
            with(|o| o.threshold = f64::NAN.into()),
            Err(E::Threshold { .. })
        ));
        for scale in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(with(|o| o.scale = Some(scale)), Err(E::Scale { scale }));
        }
        assert_eq!(with(|o| o.norm = 0.0), Err(E::Norm { norm: 0.0 }));
        let (n_sink, n_recent) = (1, 0);
        let forced = XAttentionOptions {
            n_sink,
            ..with_reference(|_| ())
        };
        assert_eq!(
            forced.validate(),
            Err(E::ForcedColumnsInReference { n_sink, n_recent })
        );
    }

    #[test]
    fn a_chunk_is_a_multiple_of_the_block_and_no_longer_than_a_sequence() {
        let block = 128;
        for chunk in [0, 64, 200] {
            let options = with_reference(|r| r.chunk = Some(chunk));
            assert_eq!(options.validate(), Err(E::Chunk { chunk, block }));
        }
        let max = XAttentionOptions::MAX_BLOCK;
        let chunk = max * 2;
        let options = with_reference(|r| r.chunk = Some(chunk));
        assert_eq!(options.validate(), Err(E::ChunkTooLong { chunk, max }));
        // The wrapper's chunk is a power of two; a block of 96 cannot divide it.
        let options = XAttentionOptions {
            block: 96,
            ..with_reference(|_| ())
        };
        let shape = AttentionShape::try_new(1, 1, 1, 100, 100, 8).unwrap();
        let (chunk, block) = (2048, 96);
        assert_eq!(options.layout(shape), Err(E::Chunk { chunk, block }));
    }

    #[test]
    fn options_must_fit_the_shape() {
        let shape = AttentionShape::try_new(1, 4, 1, 3000, 2000, 8).unwrap();
        let options = XAttentionOptions {
            threshold: Threshold::PerHead(vec![0.9; 3]),
            ..XAttentionOptions::default()
        };
        let (given, q_heads) = (3, 4);
        assert_eq!(
            options.layout(shape),
            Err(E::ThresholdCount { given, q_heads })
        );
        let (q_len, k_len, chunk) = (3000, 2000, 2048);
        assert_eq!(
            with_reference(|_| ()).layout(shape),
            Err(E::MoreQueryChunks {
                q_len,
                k_len,
                chunk
            })
        );
    }

    #[test]
    fn a_message_says_what_to_do() {
        assert_eq!(
            with(|o| o.stride = 12).unwrap_err().to_string(),
            "stride 12 does not divide block 128; give a divisor of the block, such as 8 or 16"
        );
    }
}
