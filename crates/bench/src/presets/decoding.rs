//! Attention of few queries over many keys: a model that writes its text token by token, and one that checks four drafted tokens at once.

use sparse_core::DType;
use sparse_core::attention::MaskHeads;

use super::case::{AttentionCase, Case, SizeClass};
use crate::cli::Operation;

/// Query heads that share keys.
const GROUP: usize = 4;
/// Tokens of a block of the mask.
const BLOCK: usize = 128;

/// Dense and at three densities, as a line of the report wants, with a mask for every query head and for every key head, and several queries at one of
/// these.
pub(super) fn cases(class: SizeClass) -> Vec<Case> {
    let (query, key) = (MaskHeads::Query, MaskHeads::Key);
    let mut all = vec![decoding(class, 1, None, query)];
    for heads in [query, key] {
        all.extend([0.5, 0.25, 0.1].map(|density| decoding(class, 1, Some(density), heads)));
    }
    all.push(decoding(class, 4, None, query));
    all.extend([query, key].map(|heads| decoding(class, 4, Some(0.25), heads)));
    all
}

/// So many queries over the blocks with the most of their attention, a share `density` of all, or over all of them. Heads, their grouping and their
/// dimensions are those of Llama-3 8B, fewer on slow adapters; keys and values are stored in f16, as caches keep them.
pub(super) fn decoding(
    class: SizeClass,
    queries: usize,
    density: Option<f64>,
    mask_heads: MaskHeads,
) -> Case {
    let (k_len, kv_heads) = match class {
        SizeClass::Software => (4096, 2),
        SizeClass::Integrated => (8192, 4),
        SizeClass::Discrete => (8192, 8),
    };
    Case::Attention(AttentionCase {
        operation: Operation::BlockAttention,
        model: "Llama-3 8B, decoding",
        batch: 1,
        heads: GROUP * kv_heads,
        kv_heads,
        q_len: queries,
        k_len,
        head_dim: 128,
        dtype: DType::F16,
        causal: true,
        block: BLOCK,
        stride: 16,
        threshold: 0.9,
        top_k: density.map(|density| share_of(k_len / BLOCK, density)),
        mask_heads,
        dense: density.is_none(),
    })
}

/// So many of `blocks` that are a share `density` of them, rounded to the nearest.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "dozens of blocks"
)]
fn share_of(blocks: usize, density: f64) -> usize {
    (blocks as f64 * density).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_few_and_densities_are_those_asked_for() {
        for (class, blocks) in [
            (SizeClass::Software, [16, 8, 3]),
            (SizeClass::Integrated, [32, 16, 6]),
            (SizeClass::Discrete, [32, 16, 6]),
        ] {
            let rows: Vec<_> = cases(class)
                .into_iter()
                .map(|case| match case {
                    Case::Attention(row) => {
                        assert_eq!(row.dense, row.top_k.is_none());
                        (row.q_len, row.top_k, row.mask_heads)
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            let (query, key) = (MaskHeads::Query, MaskHeads::Key);
            assert_eq!(rows[0], (1, None, query));
            assert_eq!(rows[1..4], blocks.map(|kept| (1, Some(kept), query)));
            assert_eq!(rows[4..7], blocks.map(|kept| (1, Some(kept), key)));
            let quarter = Some(blocks[1]);
            assert_eq!(
                rows[7..],
                [(4, None, query), (4, quarter, query), (4, quarter, key)]
            );
        }
    }
}
