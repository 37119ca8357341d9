//! What attention over a mask has to do at least, and what it can gain at best.

use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BlockMask, Element};
use sparse_measure::{Attended, Ideal, Work};

/// What attention over each of the masks looks at.
pub(super) fn looked_at(
    shape: AttentionShape,
    options: &XAttentionOptions,
    masks: [&BlockMask; 2],
) -> [Attended; 2] {
    masks.map(|mask| Attended::of(shape, mask, options.block, options.causal))
}

/// What attention over `kept` has to do at least, where dense attention looks at `all`, and the score that `ideal` counts.
pub(super) fn work<T: Element>(
    shape: AttentionShape,
    ideal: Ideal,
    kept: Attended,
    all: Attended,
) -> Work {
    let of = |attended| Work::attention(shape, attended, T::DTYPE.bytes());
    // A score looks at every key of its heads, and at no value.
    let keys = (ideal.scored() * all.keys - kept.keys).max(0.0);
    let key_bytes = shape.head_dim() * T::DTYPE.bytes();
    of(kept).with_score(ideal.beside() * of(all).fmas, keys, key_bytes)
}

/// What attention over kept blocks can gain at best, with the score of the heads that have one where it belongs to what is timed.
#[expect(clippy::cast_precision_loss, reason = "a number of heads")]
pub(super) fn ideal(shape: AttentionShape, options: &XAttentionOptions, scored: bool) -> Ideal {
    if !scored {
        return Ideal::Kept;
    }
    let heads = shape.q_heads();
    let sparse = (0..heads).filter(|&head| options.is_sparse(head)).count();
    Ideal::Xattention {
        stride: options.stride,
        scored: sparse as f64 / heads.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::HeadKind;

    use super::*;

    #[test]
    fn only_sparse_heads_cost_a_score() {
        let shape = AttentionShape::try_new(1, 4, 1, 80, 80, 16).unwrap();
        let mut options = XAttentionOptions::default();
        let all = Ideal::Xattention {
            stride: 8,
            scored: 1.0,
        };
        assert_eq!(ideal(shape, &options, true), all);
        assert_eq!(ideal(shape, &options, false), Ideal::Kept);
        let mut kinds = vec![HeadKind::Dense; 4];
        kinds[2] = HeadKind::Sparse;
        options.head_kinds = Some(kinds);
        let one = Ideal::Xattention {
            stride: 8,
            scored: 0.25,
        };
        assert_eq!(ideal(shape, &options, true), one);
    }
}
