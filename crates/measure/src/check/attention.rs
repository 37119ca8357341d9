//! Attention against the CPU reference, at queries spread over the sequence, others in each head.

use std::cell::LazyCell;

use sparse_core::attention::{
    AttentionError, AttentionOptions, AttentionShape, block_attention_of_queries,
};
use sparse_core::bounds::{attention_bounds, compare};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::{BlockMask, DType, Element, ShapeError, Tensor};

use super::finite::{NotFinite, are_finite, place_of};
use super::samples::{REFERENCE_TERMS, queries_of_head};
use super::sizes::expect_size;
use super::{CheckError, CheckedAttention};
use crate::OutputAndLse;

/// Samples of each head that are taken whatever they cost.
const LEAST_SAMPLES: usize = 4;

/// Error over bound of output and log-sum-exp, at as many queries of each head as the CPU can take. No number, sampled or not, may be NaN or
/// infinite where queries, keys and values are finite; a log-sum-exp may be minus infinity, that of no key.
///
/// # Errors
/// Where the operands make no attention problem, or `actual` is of another size.
pub fn attention<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    actual: &OutputAndLse,
) -> Result<CheckedAttention, CheckError> {
    sampled(inputs, mask, options, &actual.out, Some(&actual.lse))
}

fn sampled<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    out: &[f32],
    lse: Option<&[f32]>,
) -> Result<CheckedAttention, CheckError> {
    let [batch, heads, q_len, head_dim] = query_sizes(inputs)?;
    expect_size("an output", out, &[batch, heads, q_len, head_dim])?;
    if let Some(lse) = lse {
        expect_size("a log-sum-exp", lse, &[batch, heads, q_len])?;
    }
    let k_len = inputs.k.shape().get(2).copied().unwrap_or(0);
    let terms = batch * heads * k_len.max(1) * 2 * head_dim;
    let affordable = (REFERENCE_TERMS / terms.max(1)).max(LEAST_SAMPLES);
    at_queries(inputs, mask, options, out, lse, &|row| {
        queries_of_head([row, batch * heads], q_len, affordable)
    })
}

/// `batch`, `heads`, `q_len`, `head_dim`.
fn query_sizes<T: Element>(inputs: &AttentionInputs<T>) -> Result<[usize; 4], CheckError> {
    let shape = inputs.q.shape();
    shape.try_into().map_err(|_| CheckError::QuerySizes {
        shape: shape.to_vec(),
    })
}

/// The result at the queries `sampled` of each head, and whether all of it is finite; the sizes of `out` and `lse` have been checked.
fn at_queries<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    out: &[f32],
    lse: Option<&[f32]>,
    sampled: &dyn Fn(usize) -> Vec<usize>,
) -> Result<CheckedAttention, CheckError> {
    let sizes = query_sizes(inputs)?;
    let [batch, heads, q_len, head_dim] = sizes;
    let AttentionInputs { q, k, v } = inputs;
    // Whether the whole is a problem of attention: its heads alone do not tell.
    block_attention_of_queries(q, k, v, mask, options, &[])?;
    let shape = AttentionShape::of_qkv(q.shape(), k.shape(), v.shape());
    let shape = shape.map_err(AttentionError::from)?;
    let largest_value = largest(v);
    let mut ratio = 0.0_f64;
    for row in 0..batch * heads {
        let (item, head) = (row / heads, row % heads);
        let kv_row = item * shape.kv_heads() + shape.kv_head(head);
        let q = head_of(q, row, [q_len, head_dim])?;
        let [k, v] = [k, v].map(|of| head_of(of, kv_row, [shape.k_len(), head_dim]));
        let mask_head = options.mask_heads.head(&shape, head);
        let mask = mask.map(|mask| {
            let is_kept = |_, _, i, j| mask.get(item, mask_head, i, j);
            BlockMask::from_fn(1, 1, mask.q_blocks(), mask.k_blocks(), is_kept)
        });
        let own = options.with_own_masks();
        let queries = sampled(row);
        let mask = mask.transpose()?;
        let reference = block_attention_of_queries(&q, &k?, &v?, mask.as_ref(), &own, &queries)?;
        let bounds = attention_bounds(&reference, largest_value, DType::F32);
        let rows = queries.iter().map(|query| row * q_len + query);
        let numbers = rows
            .clone()
            .flat_map(|row| &out[row * head_dim..(row + 1) * head_dim])
            .map(|&x| f64::from(x));
        ratio = ratio.max(compare(numbers, &reference.out, &bounds.out).ratio);
        if let Some(lse) = lse {
            let lse = rows.map(|row| f64::from(lse[row]));
            ratio = ratio.max(compare(lse, &reference.lse, &bounds.lse).ratio);
        }
    }
    let not_finite = not_finite(inputs, sizes, out, lse.unwrap_or_default());
    Ok(CheckedAttention::new(ratio, not_finite))
}

/// Head `row` of all items as a tensor of its own.
fn head_of<T: Element>(
    tensor: &Tensor<T>,
    row: usize,
    [tokens, head_dim]: [usize; 2],
) -> Result<Tensor<T>, ShapeError> {
    let len = tokens * head_dim;
    let data = tensor.data()[row * len..(row + 1) * len].to_vec();
    Tensor::try_new(vec![1, 1, tokens, head_dim], data)
}

/// The first number that is not finite where the query and all keys and values of its head are. `lse` may be empty.
fn not_finite<T: Element>(
    inputs: &AttentionInputs<T>,
    [batch, heads, q_len, head_dim]: [usize; 4],
    out: &[f32],
    lse: &[f32],
) -> Option<NotFinite> {
    let AttentionInputs { q, k, v } = inputs;
    let is_odd_out = |(_, x): &(usize, &f32)| !x.is_finite();
    let is_odd_lse = |(_, x): &(usize, &f32)| !x.is_finite() && **x != f32::NEG_INFINITY;
    let odd_outs = out.iter().enumerate().filter(is_odd_out);
    let odd_lses = lse.iter().enumerate().filter(is_odd_lse);
    let odd_outs = odd_outs.map(|(at, &value)| NotFinite {
        what: "out",
        place: place_of(at, [batch, heads, q_len, head_dim]),
        dimensions: 4,
        value,
    });
    let odd_lses = odd_lses.map(|(at, &value)| {
        let [_, item, head, query] = place_of(at, [1, batch, heads, q_len]);
        NotFinite {
            what: "lse",
            place: [item, head, query, 0],
            dimensions: 3,
            value,
        }
    });
    // Most results have no such number, and nobody looks through the operands.
    let kv_heads = k.shape().get(1).copied().unwrap_or(0).max(1);
    let kv_len = k.data().len() / (batch * kv_heads).max(1);
    let finite_kv = LazyCell::new(|| {
        let of = |row: usize| row * kv_len..(row + 1) * kv_len;
        let rows = 0..batch * kv_heads;
        rows.map(|row| are_finite(&k.data()[of(row)]) && are_finite(&v.data()[of(row)]))
            .collect::<Vec<bool>>()
    });
    odd_outs.chain(odd_lses).find(|found| {
        let [item, head, query, _] = found.place;
        let start = ((item * heads + head) * q_len + query) * head_dim;
        let kv_row = item * kv_heads + head * kv_heads / heads;
        finite_kv[kv_row] && are_finite(&q.data()[start..start + head_dim])
    })
}

/// Error over bound of the output of dense attention alone, for those who give no log-sum-exp.
///
/// # Errors
/// Where the operands make no attention problem, or `out` is of another size.
pub fn attention_output<T: Element>(
    inputs: &AttentionInputs<T>,
    options: &AttentionOptions,
    out: &[f32],
) -> Result<CheckedAttention, CheckError> {
    sampled(inputs, None, options, out, None)
}

fn largest<T: Element>(tensor: &Tensor<T>) -> f64 {
    let magnitudes = tensor.data().iter().map(|x| f64::from(x.to_f32()).abs());
    magnitudes.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::{MaskHeads, block_attention};
    use sparse_core::xattention::xattention;

    use super::super::fixture::{inputs, options, rounded};
    use super::*;

    #[test]
    fn rounded_references_pass_and_a_wrong_element_does_not() {
        let (inputs, options) = (inputs(), options());
        let AttentionInputs { q, k, v } = &inputs;
        let whole = xattention(q, k, v, &options).unwrap();
        let options = options.attention();
        let right = OutputAndLse {
            out: rounded(&whole.attention.out),
            lse: rounded(&whole.attention.lse),
        };
        let ratio = |mask, actual: &OutputAndLse| {
            attention(&inputs, mask, &options, actual).unwrap().ratio()
        };
        assert!(ratio(Some(&whole.mask), &right) <= 1.0);
        // Without its mask it is another problem.
        assert!(ratio(None, &right) > 1.0);
        let dense = block_attention(q, k, v, None, &options).unwrap();
        let mut wrong = OutputAndLse {
            out: rounded(&dense.out),
            lse: rounded(&dense.lse),
        };
        assert!(ratio(None, &wrong) <= 1.0);
        wrong.lse[49] += 0.01;
        assert!(ratio(None, &wrong) > 1.0);
        wrong.lse[49] = right.lse[49];
        wrong.out[0] = f32::NAN;
        assert_eq!(ratio(None, &wrong), f64::INFINITY);
    }

    #[test]
    fn query_heads_that_share_a_mask_are_checked_over_it() {
        let (inputs, mut options) = (inputs(), options());
        options.mask_heads = MaskHeads::Key;
        let AttentionInputs { q, k, v } = &inputs;
        let whole = xattention(q, k, v, &options).unwrap();
        let right = OutputAndLse {
            out: rounded(&whole.attention.out),
            lse: rounded(&whole.attention.lse),
        };
        let options = options.attention();
        let check = |mask: &BlockMask| attention(&inputs, Some(mask), &options, &right);
        assert!(check(&whole.mask).unwrap().ratio() <= 1.0);
        // The masks of the two key heads, exchanged.
        let other = BlockMask::from_fn(1, 2, 7, 7, |_, head, i, j| {
            whole.mask.get(0, 1 - head, i, j)
        });
        assert!(check(&other.unwrap()).unwrap().ratio() > 1.0);
        let of_query_heads = BlockMask::dense(1, 4, 7, 7).unwrap();
        assert!(check(&of_query_heads).is_err());
    }

    /// Six of 50 queries of each of four heads are sampled.
    #[test]
    fn a_few_wrong_queries_of_all_heads_are_found_wherever_they_are() {
        let (inputs, options) = (inputs(), options().attention());
        let AttentionInputs { q, k, v } = &inputs;
        let whole = block_attention(q, k, v, None, &options).unwrap();
        let (right, lse) = (rounded(&whole.out), rounded(&whole.lse));
        let ratio = |out: &[f32]| {
            let sampled = |row| queries_of_head([row, 4], 50, 6);
            let checked = at_queries(&inputs, None, &options, out, Some(&lse), &sampled);
            checked.unwrap().ratio()
        };
        assert!(ratio(&right) <= 1.0);
        for first in 0..=46 {
            let mut wrong = right.clone();
            for head in 0..4 {
                wrong[(head * 50 + first) * 16..][..4 * 16].fill(9.0);
            }
            assert!(ratio(&wrong) > 1.0, "{first}");
        }
    }

    /// Queries 0, 24 and 49 of 50 are sampled.
    #[test]
    fn a_number_that_is_not_finite_is_wrong_wherever_it_is() {
        let (mut inputs, options) = (inputs(), options().attention());
        let AttentionInputs { q, k, v } = &inputs;
        let whole = block_attention(q, k, v, None, &options).unwrap();
        let right = OutputAndLse {
            out: rounded(&whole.out),
            lse: rounded(&whole.lse),
        };
        let check = |inputs: &_, actual: &OutputAndLse| {
            let OutputAndLse { out, lse } = actual;
            at_queries(inputs, None, &options, out, Some(lse), &|_| vec![0, 24, 49]).unwrap()
        };
        assert!(check(&inputs, &right).ratio() <= 1.0);
        // Head 3, query 17.
        let row = 3 * 50 + 17;
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut wrong = right.clone();
            wrong.out[row * 16 + 5] = value;
            let checked = check(&inputs, &wrong);
            let fault = format!(
                "dense: out[0, 3, 17, 5] is {value}, although all that it is computed from is finite"
            );
            assert_eq!(checked.fault("dense"), Some(fault));
            assert_eq!(checked.ratio(), f64::INFINITY);
        }
        let mut wrong = right.clone();
        wrong.lse[row] = f32::NAN;
        let fault = check(&inputs, &wrong).fault("dense").unwrap();
        assert!(fault.starts_with("dense: lse[0, 3, 17] is NaN"), "{fault}");
        // What a query without keys has.
        wrong.lse[row] = f32::NEG_INFINITY;
        assert!(check(&inputs, &wrong).ratio() <= 1.0);

        // What an infinite key of the second head may give to query heads 2 and 3, and not to the others.
        wrong.out[row * 16 + 5] = f32::NAN;
        let mut keys = inputs.k.data().to_vec();
        keys[(50 + 49) * 16] = f32::INFINITY;
        inputs.k = Tensor::new(vec![1, 2, 50, 16], keys);
        let found = |actual: &OutputAndLse| not_finite(&inputs, [1, 4, 50, 16], &actual.out, &[]);
        assert_eq!(found(&wrong), None);
        wrong.out[(50 + 17) * 16] = f32::NAN;
        assert_eq!(found(&wrong).unwrap().place, [0, 1, 17, 0]);
    }

    #[test]
    fn results_of_another_size_are_refused() {
        let (inputs, options) = (inputs(), options());
        let attention = |out: usize, lse: usize| {
            let actual = OutputAndLse {
                out: vec![0.0; out],
                lse: vec![0.0; lse],
            };
            let checked = attention(&inputs, None, &options.attention(), &actual);
            checked.unwrap_err().to_string()
        };
        let right = 4 * 50 * 16;
        assert_eq!(
            attention(right - 1, 4 * 50),
            "an output of 3199 numbers is not one of shape [1, 4, 50, 16]"
        );
        assert_eq!(
            attention(right, 4 * 50 - 1),
            "a log-sum-exp of 199 numbers is not one of shape [1, 4, 50]"
        );
    }
}
