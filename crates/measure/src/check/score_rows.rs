//! One block row of the scores as a problem of its own, small enough for the CPU at any length.

use sparse_core::attention::MaskHeads;
use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionLayout, XAttentionOptions};
use sparse_core::{Element, ShapeError, Tensor};

/// The queries of one block row of one head and the keys that they may look at. Block row 0 of its scores are those of the row.
#[derive(Debug)]
pub(super) struct ScoreRow<T> {
    /// `[1, 1, tokens, head_dim]`.
    pub(super) q: Tensor<T>,
    /// `[1, 1, tokens, head_dim]`.
    pub(super) k: Tensor<T>,
    /// The options of the whole problem, made to fit.
    pub(super) options: XAttentionOptions,
}

impl<T: Element> ScoreRow<T> {
    /// Block row `q_block` of head `head` of item `item`; nothing where its queries see no key.
    pub(super) fn cut(
        q: &Tensor<T>,
        k: &Tensor<T>,
        layout: &XAttentionLayout,
        [item, head, q_block]: [usize; 3],
    ) -> Result<Option<Self>, ShapeError> {
        let shape = layout.shape();
        let options = layout.options();
        let block = options.block;
        let first = q_block * block;
        let end = (first + block).min(shape.q_len());
        let (queries, keys, mode) = match layout.reference() {
            Some(reference) => {
                // With a chunk of one block the diagonal lies where the padded lengths of the whole put it.
                let [.., all_blocks] = layout.score_shape();
                let blocks = if options.causal {
                    q_block + 1 + reference.block_offset
                } else {
                    all_blocks
                };
                let mode = Mode::Reference(ReferenceOptions {
                    chunk: Some(block),
                    ..reference.options
                });
                (first..end, blocks.min(all_blocks) * block, mode)
            }
            None if options.causal => {
                // The last group of keys is whole, or cut as in the whole problem, and the diagonal stays: bottom right.
                let keys = shape
                    .causal_keys(end - 1)
                    .next_multiple_of(options.stride)
                    .min(shape.k_len());
                if shape.causal_keys(end - 1) == 0 {
                    return Ok(None);
                }
                let queries_after = keys + shape.q_len() - shape.k_len();
                (first..queries_after, keys, Mode::Exact)
            }
            None => (first..end, shape.k_len(), Mode::Exact),
        };
        if keys == 0 {
            return Ok(None);
        }
        let q_row = item * shape.q_heads() + head;
        let k_row = item * shape.kv_heads() + shape.kv_head(head);
        Ok(Some(Self {
            q: rows(
                q,
                q_row * shape.q_len() + queries.start,
                queries.len(),
                queries.len(),
            )?,
            k: rows(k, k_row * shape.k_len(), keys.min(shape.k_len()), keys)?,
            options: XAttentionOptions {
                mode,
                // Scores depend on neither.
                threshold: XAttentionOptions::default().threshold,
                forced: None,
                head_kinds: None,
                mask_heads: MaskHeads::Query,
                ..options.clone()
            },
        }))
    }
}

/// `count` rows of `head_dim` from row `first` of a tensor, and zeros up to `padded` rows.
fn rows<T: Element>(
    tensor: &Tensor<T>,
    first: usize,
    count: usize,
    padded: usize,
) -> Result<Tensor<T>, ShapeError> {
    let head_dim = tensor.shape().last().copied().unwrap_or(0);
    let mut data = tensor.data()[first * head_dim..(first + count) * head_dim].to_vec();
    data.resize(padded * head_dim, T::ZERO);
    Tensor::try_new(vec![1, 1, padded, head_dim], data)
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::AttentionShape;
    use sparse_core::synthetic::normal_tensor;
    use sparse_core::xattention::xattention_score;

    use super::*;

    /// Every block row computed alone equals that row of the whole.
    fn assert_rows(q_len: usize, k_len: usize, options: &XAttentionOptions) {
        let q: Tensor<f32> = normal_tensor(vec![2, 4, q_len, 6], 1).unwrap();
        let k: Tensor<f32> = normal_tensor(vec![2, 2, k_len, 6], 2).unwrap();
        let shape = AttentionShape::of_qk(q.shape(), k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let whole = xattention_score(&q, &k, options).unwrap().scores;
        let [batch, heads, ..] = layout.score_shape();
        let [.., q_blocks, _] = layout.mask_shape();
        for at in 0..batch * heads * q_blocks {
            let place = [at / q_blocks / heads, at / q_blocks % heads, at % q_blocks];
            let expected = whole.row(place[0], place[1], place[2]);
            let case = format!("{q_len} x {k_len} {options:?} {place:?}");
            let Some(row) = ScoreRow::cut(&q, &k, &layout, place).unwrap() else {
                assert!(expected.iter().all(|score| *score == 0.0), "{case}");
                continue;
            };
            let alone = xattention_score(&row.q, &row.k, &row.options)
                .unwrap()
                .scores;
            let alone = alone.row(0, 0, 0);
            for (j, expected) in expected.iter().enumerate() {
                let actual = alone.get(j).copied().unwrap_or(0.0);
                assert!(
                    (actual - expected).abs() < 1e-12,
                    "{case} {j}: {actual} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_row_alone_has_the_scores_that_it_has_in_the_whole() {
        for (q_len, k_len) in [(32, 32), (37, 37), (21, 50), (50, 21), (5, 40), (40, 5)] {
            for causal in [true, false] {
                let exact = XAttentionOptions {
                    block: 8,
                    stride: 4,
                    causal,
                    ..XAttentionOptions::default()
                };
                assert_rows(q_len, k_len, &exact);
                if q_len <= k_len {
                    let mode = Mode::Reference(ReferenceOptions {
                        chunk: Some(16),
                        ..ReferenceOptions::default()
                    });
                    assert_rows(q_len, k_len, &XAttentionOptions { mode, ..exact });
                }
            }
        }
    }
}
