//! Block scores by antidiagonal means, in f64.

use super::{BlockScores, Mode, Pooling, XAttentionError, XAttentionLayout, XAttentionOptions};
use crate::attention::{AttentionShape, Dot, HeadRows};
use crate::memory::room_for;
use crate::{Element, OutOfMemory, Tensor};

/// What helps where there is no memory for the groups of a row.
const LARGER_STRIDE_SMALLER_CHUNK: &str =
    "give a larger stride, or a smaller chunk in Reference mode";

/// What [`xattention_score`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreReference {
    /// The scores.
    pub scores: BlockScores,
    /// Per block row `[batch, q_heads, q_blocks]`, the largest `scale / (norm n) sum |q_d k_d|` of a group pair in it: rounding errors of
    /// a kernel's logits are proportional to it.
    pub logit_magnitude: Vec<f64>,
    /// As many, the most that a logit rests on products with a factor that is subnormal in its storage type, which a device may read as zero:
    /// `scale / (norm n) sum |q_d k_d|` over those; 0 where there are none.
    pub logit_flushed: Vec<f64>,
}

/// Scores every block of q `[batch, q_heads, q_len, head_dim]` against k `[batch, kv_heads, k_len, head_dim]`.
///
/// With groups of `S = stride` consecutive tokens, the logit of query group `i` and key group `j` is the mean of the
/// scaled logits on the antidiagonal of their `S x S` square,
/// `A[i,j] = scale / (norm n) sum_s <q[iS + S-1-s], k[jS + s]>`. `P[i,:]` is the softmax of `A[i,:]` over the key groups that
/// group `i` may see, and the score of a block is the sum of `P` over its groups.
///
/// Exact mode: the sum runs over the `n` pairs of real tokens. Reference mode: both lengths are padded with zeros
/// to a multiple of the chunk, `n = S` always, padded keys take their share of the mass, and padded query groups have none. Causal attention lets up to
/// `S-1` future tokens into the score of a group's own diagonal in both modes; the attention itself is exactly causal. A soft cap is left
/// out: it keeps the order of logits. Heads that are not [sparse](crate::attention::HeadKind::Sparse) score 0 everywhere.
///
/// # Errors
/// [`XAttentionError`] for shapes or options that break a rule, or where q or k is not finite.
///
/// ```
/// use sparse_core::{Tensor, xattention::{XAttentionOptions, xattention_score}};
/// let q = Tensor::new(vec![1, 1, 4, 1], vec![1.0_f32, 2.0, 0.0, 0.0]);
/// let k = Tensor::new(vec![1, 1, 4, 1], vec![3.0_f32, 1.0, 0.0, 0.0]);
/// let options = XAttentionOptions { block: 2, stride: 2, scale: Some(1.0), ..Default::default() };
/// let scores = xattention_score(&q, &k, &options)?;
/// // Rows: the first block sees itself only; the second has zero queries and sees both blocks alike.
/// assert_eq!(scores.scores.data(), [1.0, 0.0, 0.5, 0.5]);
/// # Ok::<(), sparse_core::xattention::XAttentionError>(())
/// ```
pub fn xattention_score<Q: Element, K: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    options: &XAttentionOptions,
) -> Result<ScoreReference, XAttentionError> {
    let shape = AttentionShape::of_qk(q.shape(), k.shape())?;
    let layout = options.layout(shape)?;
    let [batch, q_heads, q_blocks, k_blocks] = layout.score_shape();
    let mut data = layout.new_scores()?;
    let (mut logit_magnitude, mut logit_flushed) = (Vec::new(), Vec::new());
    for item in 0..batch {
        for head in 0..q_heads {
            let q_head = HeadRows::new(q, item, head);
            let k_head = HeadRows::new(k, item, shape.kv_head(head));
            let start = data.len();
            data.resize(start + q_blocks * k_blocks, 0.0);
            if !options.is_sparse(head) {
                logit_magnitude.resize(logit_magnitude.len() + q_blocks, 0.0);
                logit_flushed.resize(logit_flushed.len() + q_blocks, 0.0);
                continue;
            }
            let largest = head_scores(&q_head, &k_head, &layout, &mut data[start..])?;
            logit_magnitude.extend(largest.iter().map(|logit| logit.magnitude));
            logit_flushed.extend(largest.iter().map(|logit| logit.flushed));
        }
    }
    Ok(ScoreReference {
        scores: BlockScores::try_new(layout.score_shape(), data)?,
        logit_magnitude,
        logit_flushed,
    })
}

/// Adds the scores of one head to `scores [q_blocks, k_blocks]`; returns the largest magnitudes of the logits of each block row.
fn head_scores(
    q: &HeadRows,
    k: &HeadRows,
    layout: &XAttentionLayout,
    scores: &mut [f64],
) -> Result<Vec<Dot>, OutOfMemory> {
    let [_, _, q_blocks, k_blocks] = layout.score_shape();
    let per_block = layout.groups_per_block();
    let mut largest = vec![Dot::default(); q_blocks];
    // A chunk of Reference mode may have many times more groups than the keys fill.
    let k_groups = layout.k_groups();
    let what = || format!("the logits of {k_groups} key groups");
    let mut logits: Vec<Option<Dot>> = room_for(k_groups, what, LARGER_STRIDE_SMALLER_CHUNK)?;
    let mut shares = room_for(k_groups, what, LARGER_STRIDE_SMALLER_CHUNK)?;
    for q_group in 0..layout.q_groups() {
        let q_block = q_group / per_block;
        let allowed = 0..layout.allowed_k_groups(q_group);
        logits.clear();
        logits.extend(allowed.map(|k_group| group_logit(q, k, q_group, k_group, layout)));
        set_shares(&mut shares, &logits, layout);
        for (k_group, share) in shares.iter().enumerate() {
            scores[q_block * k_blocks + k_group / per_block] += share;
        }
        let largest = &mut largest[q_block];
        for logit in logits.iter().flatten() {
            largest.magnitude = largest.magnitude.max(logit.magnitude);
            largest.flushed = largest.flushed.max(logit.flushed);
        }
    }
    Ok(largest)
}

/// `A[i,j]`; nothing where the two groups have no pair of real tokens.
fn group_logit(
    q: &HeadRows,
    k: &HeadRows,
    q_group: usize,
    k_group: usize,
    layout: &XAttentionLayout,
) -> Option<Dot> {
    let stride = layout.options().stride;
    let pooling = layout
        .reference()
        .map_or(Pooling::Inverse, |r| r.options.pooling);
    let mut sum = Dot::default();
    let mut pairs = 0_u32;
    for s in 0..stride {
        let q_token = q_group * stride
            + match pooling {
                Pooling::Inverse => stride - 1 - s,
                Pooling::Slash => s,
            };
        let k_token = k_group * stride + s;
        if q_token < layout.shape().q_len() && k_token < layout.shape().k_len() {
            sum.add(Dot::of(q.token(q_token), k.token(k_token)));
            pairs += 1;
        }
    }
    let divisor = match layout.options().mode {
        Mode::Exact if pairs == 0 => return None,
        Mode::Exact => f64::from(pairs),
        #[expect(clippy::cast_precision_loss, reason = "a stride is at most 2^30")]
        Mode::Reference(_) => stride as f64,
    };
    Some(sum.times(layout.scale() / (layout.options().norm * divisor)))
}

/// Softmax of a row of `A`, or its plain `exp` where Reference mode asks for that. A pair of groups without logit has share 0.
fn set_shares(shares: &mut Vec<f64>, row: &[Option<Dot>], layout: &XAttentionLayout) {
    let softmax = layout.reference().is_none_or(|r| r.options.softmax);
    let max = if softmax {
        let logits = row.iter().flatten().map(|a| a.value);
        logits.fold(f64::NEG_INFINITY, f64::max)
    } else {
        0.0
    };
    let weight = |a: &Option<Dot>| a.map_or(0.0, |a| (a.value - max).exp());
    shares.clear();
    shares.extend(row.iter().map(weight));
    let total = shares.iter().sum::<f64>();
    if softmax && total != 0.0 {
        for share in shares {
            *share /= total;
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::attention::HeadKind;
    use crate::xattention::{ReferenceOptions, Threshold};

    #[test]
    fn a_hostile_chunk_is_an_error() {
        let q = Tensor::new(vec![1, 1, 2, 1], vec![1.0_f32; 2]);
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(XAttentionOptions::MAX_BLOCK),
                ..ReferenceOptions::default()
            }),
            ..XAttentionOptions::default()
        };
        let error = xattention_score(&q, &q, &options).unwrap_err();
        assert!(matches!(error, XAttentionError::OutOfMemory(_)));
        assert_eq!(
            error.to_string(),
            "there is no memory for scores of shape [1, 1, 1073741824, 1073741824], 9223372036854775808 bytes; give a larger \
             block, or a smaller chunk in Reference mode"
        );
        // Of enough heads they are too many to count.
        let heads = 1 << 14;
        let q = Tensor::new(vec![1, heads, 2, 1], vec![1.0_f32; 2 * heads]);
        let shape = [1, heads, 1 << 30, 1 << 30];
        assert_eq!(
            xattention_score(&q, &q, &options),
            Err(XAttentionError::ScoresTooLarge { shape })
        );
    }

    fn blocks_of_one_group() -> XAttentionOptions {
        XAttentionOptions {
            block: 2,
            stride: 2,
            scale: Some(1.0),
            norm: 2.0,
            ..XAttentionOptions::default()
        }
    }

    #[test]
    fn the_logit_magnitude_is_the_largest_of_a_block_row() {
        // Query blocks of one group; group 0 sees key group 0, group 1 sees both.
        let q = Tensor::new(vec![1, 1, 4, 1], vec![1.0_f32, -2.0, 3.0, 4.0]);
        let k = Tensor::new(vec![1, 1, 4, 1], vec![5.0_f32, -6.0, 1.0, 1.0]);
        let options = blocks_of_one_group();
        let result = xattention_score(&q, &k, &options).unwrap();
        // Row 0: (|-2 * 5| + |1 * -6|) / (2 * 2); row 1: (|4 * 5| + |3 * -6|) / (2 * 2).
        assert_eq!(result.logit_magnitude, [4.0, 9.5]);
        // One block of both groups, the larger first.
        let q = Tensor::new(vec![1, 1, 4, 1], vec![3.0_f32, 4.0, 1.0, -2.0]);
        let whole = XAttentionOptions {
            block: 4,
            ..options
        };
        let result = xattention_score(&q, &k, &whole).unwrap();
        assert_eq!(result.logit_magnitude, [9.5]);
        assert_eq!(result.logit_flushed, [0.0]);
    }

    #[test]
    fn logits_that_rest_on_subnormal_numbers_are_counted_in_their_block_row() {
        // 2^-15, subnormal in f16. Query blocks of one group; group 1 sees both key groups.
        let small = f16::from_bits(1 << 9);
        let tokens = |numbers: [f32; 4]| {
            let numbers = numbers.map(|x| if x == 0.0 { small } else { f16::from_f32(x) });
            Tensor::new(vec![1, 1, 4, 1], numbers.to_vec())
        };
        let options = blocks_of_one_group();
        let (q, k) = (tokens([1.0, 1.0, 0.0, 4.0]), tokens([1.0, 6.0, 0.0, 1.0]));
        let result = xattention_score(&q, &k, &options).unwrap();
        let small = small.to_f64();
        // Row 1: with the first keys 6 times a quarter, with the second ones a quarter of 4 times and of once.
        assert_eq!(result.logit_flushed, [0.0, 1.5 * small]);
        let result = xattention_score(&q, &tokens([1.0, 4.0, 0.0, 1.0]), &options).unwrap();
        assert_eq!(result.logit_flushed, [0.0, 1.25 * small]);
    }

    #[test]
    fn logits_beyond_the_range_of_exp_have_shares() {
        let q = Tensor::new(vec![1, 1, 2, 1], vec![1000.0_f32, -1000.0]);
        let k = Tensor::new(vec![1, 1, 2, 1], vec![5.0_f32, 5.0]);
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            scale: Some(1.0),
            ..XAttentionOptions::default()
        };
        let result = xattention_score(&q, &k, &options).unwrap();
        assert_eq!(result.scores.data(), [1.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn heads_that_are_not_scored_keep_their_rows() {
        let q = Tensor::new(vec![1, 2, 2, 1], vec![1.0_f32, 2.0, 3.0, 4.0]);
        let k = Tensor::new(vec![1, 1, 2, 1], vec![1.0_f32, -2.0]);
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            scale: Some(1.0),
            head_kinds: Some(vec![HeadKind::Dense, HeadKind::Sparse]),
            ..XAttentionOptions::default()
        };
        let result = xattention_score(&q, &k, &options).unwrap();
        assert_eq!(result.logit_magnitude, [0.0, 0.0, 3.0, 8.0]);
        assert_eq!(result.logit_flushed, [0.0; 4]);
        assert_eq!(result.scores.data()[..4], [0.0; 4]);
        assert_eq!(result.scores.row(0, 1, 0), [1.0, 0.0]);
    }

    #[test]
    fn a_nan_in_q_is_reported_where_it_hits() {
        let mut q = Tensor::new(vec![1, 2, 4, 1], vec![1.0_f32; 8]);
        let k = q.clone();
        q.data_mut()[6] = f32::NAN;
        let options = XAttentionOptions {
            block: 2,
            stride: 2,
            threshold: Threshold::Uniform(0.5),
            ..XAttentionOptions::default()
        };
        let error = xattention_score(&q, &k, &options).unwrap_err();
        assert!(
            matches!(
                error,
                XAttentionError::NotAMass {
                    position: [0, 1, 1, 0],
                    ..
                }
            ),
            "{error}"
        );
    }
}
