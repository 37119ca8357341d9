//! The wanted share of the mass, for all heads or for each.

/// The share of the estimated softmax mass that the selected blocks of a row must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// One share for all heads.
    Uniform(f64),
    /// One share per head of the mask, the same in every batch item: per query head, or per key/value head where
    /// [`mask_heads`](super::XAttentionOptions::mask_heads) is [`MaskHeads::Key`](crate::attention::MaskHeads::Key).
    PerHead(Vec<f64>),
}

impl Threshold {
    /// The share of head `head` of the mask.
    ///
    /// # Panics
    /// Where there is no such head; [`super::XAttentionOptions::layout`] checks the count.
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
