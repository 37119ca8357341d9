//! What decides about the blocks of a head, in words.

use std::fmt::{Display, Formatter};

use sparse_core::attention::HeadKind;
use sparse_core::xattention::XAttentionLayout;
use sparse_gpu::profile::head_kind_words;

/// How the blocks of one head are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// A share of the estimated mass.
    Threshold(f64),
    /// A count for every row.
    TopK(usize),
    /// Without an estimate.
    Kind(HeadKind),
}

impl Rule {
    /// Of query head `head`.
    pub(super) fn of(layout: &XAttentionLayout, head: usize) -> Self {
        let options = layout.options();
        let mask_head = options.mask_heads.head(&layout.shape(), head);
        match (options.kind_of_head(head), options.top_k) {
            (HeadKind::Sparse, None) => Self::Threshold(options.threshold.of_head(mask_head)),
            (HeadKind::Sparse, Some(count)) => Self::TopK(count),
            (kind, _) => Self::Kind(kind),
        }
    }

    pub(super) fn threshold(self) -> Option<f64> {
        match self {
            Self::Threshold(threshold) => Some(threshold),
            _ => None,
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Threshold(threshold) => write!(f, "threshold {threshold:.3}"),
            Self::TopK(1) => f.write_str("1 block a row"),
            Self::TopK(count) => write!(f, "{count} blocks a row"),
            Self::Kind(kind) => f.write_str(&head_kind_words(*kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::{AttentionShape, MaskHeads};
    use sparse_core::xattention::{Threshold, XAttentionOptions};

    use super::*;

    fn words<const HEADS: usize>(options: &XAttentionOptions) -> [String; HEADS] {
        let shape = AttentionShape::try_new(1, HEADS, HEADS / 2, 200, 200, 16).unwrap();
        let layout = options.layout(shape).unwrap();
        std::array::from_fn(|head| Rule::of(&layout, head).to_string())
    }

    #[test]
    fn query_heads_of_a_mask_have_its_threshold() {
        let options = XAttentionOptions {
            threshold: Threshold::PerHead(vec![0.5, 0.75]),
            mask_heads: MaskHeads::Key,
            ..XAttentionOptions::default()
        };
        let [low, high] = ["threshold 0.500", "threshold 0.750"];
        assert_eq!(words(&options), [low, low, high, high]);
    }

    #[test]
    fn the_kind_of_a_head_comes_before_count_and_threshold() {
        let mut options = XAttentionOptions {
            head_kinds: Some(vec![HeadKind::Sparse, HeadKind::Dense]),
            ..XAttentionOptions::default()
        };
        assert_eq!(words(&options), ["threshold 0.900", "dense"]);
        options.top_k = Some(8);
        assert_eq!(words(&options), ["8 blocks a row", "dense"]);
        assert_eq!(Rule::TopK(8).threshold(), None);
    }
}
