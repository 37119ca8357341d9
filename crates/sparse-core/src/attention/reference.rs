//! Attention over the blocks of a mask, in f64: the formula, row by row.

use super::{AttentionError, AttentionOptions, AttentionShape, Dot, HeadRows, Token};
use crate::mask::BlockMask;
use crate::memory::room_for;
use crate::{Element, Tensor};

/// What attention gives, and what its error bounds need. `rows` is the number of query tokens computed.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionReference {
    /// `[batch, q_heads, rows, head_dim]`.
    pub shape: [usize; 4],
    /// Output, of that shape. Zero where a query has no key.
    pub out: Vec<f64>,
    /// `[batch, q_heads, rows]`: natural logarithm of the sum of `exp(logit)`; `-inf` where a query has no
    /// key, so that partial results merge.
    pub lse: Vec<f64>,
    /// `sum_j p_j |v_j|` per output: rounding errors of the weights and of the sum are proportional to it.
    pub magnitude: Vec<f64>,
    /// What of the magnitude rests on values that are subnormal in their storage type, which a device may read as zero; 0 for others.
    pub flushed: Vec<f64>,
    /// `[batch, q_heads, rows]`: the largest `scale sum_d |q_d k_d|` over the keys used: rounding errors of the
    /// logits, before any soft cap, are proportional to it.
    pub logit_magnitude: Vec<f64>,
    /// `[batch, q_heads, rows]`: the most that a logit, before any soft cap, rests on products with a factor that is subnormal in its storage
    /// type, `scale sum_d |q_d k_d|` over those; 0 where there are none.
    pub logit_flushed: Vec<f64>,
    /// `[batch, q_heads, rows]`: the number of keys used: rounding errors of the sums grow with it.
    pub keys: Vec<usize>,
    /// The soft cap of the logits: with one, their errors and differences are bounded by it too.
    pub soft_cap: Option<f64>,
}

/// Attention of q `[batch, q_heads, q_len, head_dim]` over k and v `[batch, kv_heads, k_len, head_dim]`.
///
/// `out[t] = sum_j p_j v[j]` with `p = softmax(scale <q[t], k[j]>)` over the keys `j` whose block the mask selects in the block
/// row of `t`, and, if causal, `j <= t + k_len - q_len`. Without a mask, over all keys (dense attention). With a soft cap `c` the softmax
/// is of `c tanh(scale <q[t], k[j]> / c)`. Per-head kinds are masks: [`mask_of_kinds`](super::mask_of_kinds). Each tensor may be of another storage
/// type, such as q of f32 with a cache of f16.
///
/// # Errors
/// [`AttentionError`], the first rule broken.
///
/// ```
/// use sparse_core::Tensor;
/// use sparse_core::attention::{AttentionOptions, block_attention};
/// let q = Tensor::new(vec![1, 1, 2, 1], vec![0.0_f32, 0.0]);
/// let v = Tensor::new(vec![1, 1, 2, 1], vec![1.0_f32, 3.0]);
/// let dense = block_attention(&q, &q, &v, None, &AttentionOptions::default())?;
/// // The first query sees one key, the second both, with equal weights.
/// assert_eq!(dense.out, [1.0, 2.0]);
/// assert_eq!(dense.lse, [0.0, 2.0_f64.ln()]);
/// # Ok::<(), sparse_core::attention::AttentionError>(())
/// ```
pub fn block_attention<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
) -> Result<AttentionReference, AttentionError> {
    let q_len = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape())?.q_len();
    attend(q, k, v, mask, options, 0..q_len)
}

/// As [`block_attention`], of the given query tokens only, in that order: a sample, where all would take too long.
///
/// # Errors
/// [`AttentionError`], the first rule broken.
pub fn block_attention_of_queries<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    queries: &[usize],
) -> Result<AttentionReference, AttentionError> {
    attend(q, k, v, mask, options, queries.iter().copied())
}

fn attend<Q: Element, K: Element, V: Element>(
    q: &Tensor<Q>,
    k: &Tensor<K>,
    v: &Tensor<V>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    queries: impl ExactSizeIterator<Item = usize> + Clone,
) -> Result<AttentionReference, AttentionError> {
    let shape = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape())?;
    options.check(&shape, mask)?;
    let q_len = shape.q_len();
    if let Some(query) = queries.clone().find(|&query| query >= q_len) {
        return Err(AttentionError::Query { query, q_len });
    }
    let scale = options.scale.unwrap_or_else(|| shape.default_scale());
    let [batch, q_heads, _, head_dim] = shape.q_shape();
    let count = queries.len();
    // A sample may list a query any number of times.
    let [rows, outputs] = [1, head_dim].map(|n| {
        [batch, q_heads, count]
            .iter()
            .fold(n, |product: usize, &n| product.saturating_mul(n))
    });
    let what = || {
        format!("the attention of {batch} x {q_heads} heads x {count} queries x {head_dim} numbers")
    };
    let remedy = "ask for fewer queries at a time";
    let mut reference = AttentionReference {
        shape: [batch, q_heads, count, head_dim],
        out: room_for(outputs, what, remedy)?,
        lse: room_for(rows, what, remedy)?,
        magnitude: room_for(outputs, what, remedy)?,
        flushed: room_for(outputs, what, remedy)?,
        logit_magnitude: room_for(rows, what, remedy)?,
        logit_flushed: room_for(rows, what, remedy)?,
        keys: room_for(rows, what, remedy)?,
        soft_cap: options.soft_cap,
    };
    for item in 0..batch {
        for head in 0..q_heads {
            let q = HeadRows::new(q, item, head);
            let k = HeadRows::new(k, item, shape.kv_head(head));
            let v = HeadRows::new(v, item, shape.kv_head(head));
            for query in queries.clone() {
                let visible = if options.causal {
                    shape.causal_keys(query)
                } else {
                    shape.k_len()
                };
                let selected = mask.map(|mask| {
                    let head = options.mask_heads.head(&shape, head);
                    mask.row(item, head, query / options.block)
                });
                let keys: Vec<usize> = match selected {
                    None => (0..visible).collect(),
                    Some(blocks) => blocks
                        .flat_map(|j| j * options.block..((j + 1) * options.block).min(visible))
                        .collect(),
                };
                reference.push_query(q.token(query), &k, &v, &keys, scale, options);
            }
        }
    }
    Ok(reference)
}

impl AttentionReference {
    /// Appends one query over `keys`.
    fn push_query(
        &mut self,
        q: Token<'_>,
        k: &HeadRows,
        v: &HeadRows,
        keys: &[usize],
        scale: f64,
        options: &AttentionOptions,
    ) {
        let dots: Vec<Dot> = keys.iter().map(|&key| Dot::of(q, k.token(key))).collect();
        let logits = dots.iter().map(|dot| options.capped(scale * dot.value));
        let max = logits.clone().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logits.map(|logit| (logit - max).exp()).collect();
        let total: f64 = weights.iter().sum();

        let start = self.out.len();
        let end = start + q.values.len();
        self.out.resize(end, 0.0);
        self.magnitude.resize(end, 0.0);
        self.flushed.resize(end, 0.0);
        for (&key, weight) in keys.iter().zip(&weights) {
            let p = weight / total;
            let v = v.token(key);
            let out = self.out[start..].iter_mut();
            let magnitude = self.magnitude[start..].iter_mut();
            for ((out, magnitude), v) in out.zip(magnitude).zip(v.values) {
                *out += p * v;
                *magnitude += p * v.abs();
            }
            if v.any_subnormal {
                let flushed = self.flushed[start..].iter_mut().zip(v.values);
                for (flushed, &value) in flushed.filter(|&(_, &value)| v.is_flushed(value)) {
                    *flushed += p * value.abs();
                }
            }
        }
        // Without keys: ln(0) + (-inf) = -inf.
        self.lse.push(total.ln() + max);
        let magnitudes = dots.iter().map(|dot| scale * dot.magnitude);
        self.logit_magnitude.push(magnitudes.fold(0.0, f64::max));
        let flushed = dots.iter().map(|dot| scale * dot.flushed);
        self.logit_flushed.push(flushed.fold(0.0, f64::max));
        self.keys.push(keys.len());
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::attention::MaskHeads;

    fn column(values: &[f32]) -> Tensor<f32> {
        Tensor::new(vec![1, 1, values.len(), 1], values.to_vec())
    }

    fn options(causal: bool, block: usize) -> AttentionOptions {
        AttentionOptions {
            scale: Some(1.0),
            causal,
            block,
            mask_heads: MaskHeads::Query,
            soft_cap: None,
        }
    }

    #[test]
    fn magnitudes_are_sums_of_absolute_values() {
        let q = Tensor::new(vec![1, 1, 1, 2], vec![1.0_f32, -2.0]);
        let k = Tensor::new(vec![1, 1, 2, 2], vec![4.0_f32, 2.0, 0.0, 0.0]);
        let v = Tensor::new(vec![1, 1, 2, 2], vec![1.0_f32, 3.0, -1.0, 5.0]);
        let result = block_attention(&q, &k, &v, None, &options(false, 1)).unwrap();
        // Both logits are 0, so both weights are 1/2.
        assert_eq!(result.out, [0.0, 4.0]);
        assert_eq!(result.magnitude, [1.0, 4.0]);
        assert_eq!(result.logit_magnitude, [8.0]);
        assert_eq!(result.lse, [2.0_f64.ln()]);
        assert_eq!(
            (result.flushed, result.logit_flushed),
            (vec![0.0; 2], vec![0.0])
        );
    }

    #[test]
    fn what_rests_on_subnormal_numbers_is_counted() {
        // 2^-15, subnormal in f16.
        let small = f16::from_bits(1 << 9);
        let halves = |numbers: [f32; 4]| {
            let numbers = numbers.map(|x| if x == 0.0 { small } else { f16::from_f32(x) });
            Tensor::new(vec![1, 1, 2, 2], numbers.to_vec())
        };
        let q = halves([0.0, 1.0, 2.0, 4.0]);
        let (k, v) = (halves([-8.0, 1.0, 0.0, 1.0]), halves([0.0, 3.0, 0.0, 0.0]));
        let options = AttentionOptions {
            scale: Some(0.5),
            ..options(false, 1)
        };
        let result = block_attention(&q, &k, &v, None, &options).unwrap();
        let small = small.to_f64();
        // Of query 0 the first key has half of 8 times that, of query 1 the second half of twice.
        assert_eq!(result.logit_flushed, [4.0 * small, small]);
        // Both first values of each weight, and the last one.
        assert_eq!([result.flushed[0], result.flushed[2]], [small; 2]);
        for (row, first) in [(0, 1), (1, 3)] {
            let p = (result.out[first] - small) / (3.0 - small);
            let expected = (1.0 - p) * small;
            assert!(
                (result.flushed[first] - expected).abs() < 1e-12,
                "row {row}"
            );
        }
    }

    #[test]
    fn every_tensor_has_a_storage_type_of_its_own() {
        let small = f16::from_bits(1 << 9);
        let halves = |first| Tensor::new(vec![1, 1, 2, 1], vec![first, f16::from_f32(1.0)]);
        let (q, wide) = (column(&[8.0, 8.0]), column(&[small.to_f32(), 1.0]));
        let options = options(false, 1);
        let cached = block_attention(&q, &halves(small), &wide, None, &options).unwrap();
        assert_eq!(cached.logit_flushed, [8.0 * small.to_f64(); 2]);
        assert_eq!(cached.flushed, [0.0; 2]);
        let values = block_attention(&q, &wide, &halves(small), None, &options).unwrap();
        assert_eq!(values.logit_flushed, [0.0; 2]);
        assert!(values.flushed[0] > 0.0);
        assert_eq!(cached.out, values.out);
    }

    #[test]
    fn a_soft_cap_acts_on_scaled_logits() {
        // Scaled dot products 0 and 2, capped at 2: 0 and 2 tanh(1).
        let (q, k) = (column(&[1.0]), column(&[0.0, 4.0]));
        let capped = AttentionOptions {
            scale: Some(0.5),
            soft_cap: Some(2.0),
            ..options(false, 1)
        };
        let result = block_attention(&q, &k, &column(&[0.0, 1.0]), None, &capped).unwrap();
        let weight = (2.0 * 1.0_f64.tanh()).exp();
        assert!((result.out[0] - weight / (1.0 + weight)).abs() < 1e-15);
        assert!((result.lse[0] - (1.0 + weight).ln()).abs() < 1e-15);
        assert_eq!(result.logit_magnitude, [2.0], "of the uncapped logits");
    }

    #[test]
    fn a_query_without_blocks_gives_zero_and_minus_infinity() {
        let x = column(&[1.0, 2.0, 3.0]);
        let mask = BlockMask::from_fn(1, 1, 2, 2, |_, _, i, _| i == 0).unwrap();
        let result = block_attention(&x, &x, &x, Some(&mask), &options(false, 2)).unwrap();
        assert_eq!(result.out[2], 0.0);
        assert_eq!(result.lse[2], f64::NEG_INFINITY);
        assert_eq!(result.magnitude[2], 0.0);
        assert!(result.lse[..2].iter().all(|lse| lse.is_finite()));
    }

    #[test]
    fn sampled_queries_are_the_same_rows_in_the_order_asked_for() {
        let x = column(&[1.0, -2.0, 3.0, 0.5]);
        let all = block_attention(&x, &x, &x, None, &options(true, 2)).unwrap();
        let some =
            block_attention_of_queries(&x, &x, &x, None, &options(true, 2), &[3, 1]).unwrap();
        assert_eq!(some.shape, [1, 1, 2, 1]);
        assert_eq!(some.out, [all.out[3], all.out[1]]);
        assert_eq!(some.lse, [all.lse[3], all.lse[1]]);
    }

    #[test]
    fn every_broken_rule_has_its_own_error() {
        let x = column(&[1.0, 2.0, 3.0]);
        let mask = BlockMask::from_fn(1, 1, 2, 1, |_, _, _, _| true).unwrap();
        let run = |mask, options, queries: &[usize]| {
            block_attention_of_queries(&x, &x, &x, mask, &options, queries).unwrap_err()
        };
        assert_eq!(run(None, options(true, 0), &[]), AttentionError::Block);
        let (query, q_len) = (3, 3);
        assert_eq!(
            run(None, options(true, 2), &[0, 3]),
            AttentionError::Query { query, q_len }
        );
        let bad_scale = AttentionOptions {
            scale: Some(-1.0),
            ..options(true, 2)
        };
        assert_eq!(
            run(None, bad_scale, &[]),
            AttentionError::Scale { scale: -1.0 }
        );
        for soft_cap in [0.0, -1.0, f64::INFINITY] {
            let bad = AttentionOptions {
                soft_cap: Some(soft_cap),
                ..options(true, 2)
            };
            assert_eq!(run(None, bad, &[]), AttentionError::SoftCap { soft_cap });
        }
        assert_eq!(
            run(Some(&mask), options(true, 2), &[]).to_string(),
            "the mask has shape [1, 1, 2, 1] (batch, heads, query blocks, key blocks); with blocks of 2 tokens this \
             problem needs [1, 1, 2, 2]"
        );
    }
}
