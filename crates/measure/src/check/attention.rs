//! Attention against the CPU reference, at queries spread over the sequence.

use sparse_core::attention::{AttentionOptions, block_attention_of_queries};
use sparse_core::bounds::{attention_bounds, compare};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::{BlockMask, DType, Element, Tensor};

use super::CheckError;
use super::samples::{REFERENCE_TERMS, spread_out};
use super::sizes::expect_size;
use crate::OutputAndLse;

/// Samples that are taken whatever they cost.
const LEAST_SAMPLES: usize = 4;

/// Error over bound of output and log-sum-exp, at as many evenly spread queries as the CPU can take.
///
/// # Errors
/// Where the operands make no attention problem, or `actual` is of another size.
pub fn attention<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    actual: &OutputAndLse,
) -> Result<f64, CheckError> {
    sampled(inputs, mask, options, &actual.out, Some(&actual.lse))
}

fn sampled<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    out: &[f32],
    lse: Option<&[f32]>,
) -> Result<f64, CheckError> {
    let &[batch, heads, q_len, head_dim] = inputs.q.shape() else {
        let shape = inputs.q.shape().to_vec();
        return Err(CheckError::QuerySizes { shape });
    };
    expect_size("an output", out, &[batch, heads, q_len, head_dim])?;
    if let Some(lse) = lse {
        expect_size("a log-sum-exp", lse, &[batch, heads, q_len])?;
    }
    let k_len = inputs.k.shape().get(2).copied().unwrap_or(0);
    let terms = batch * heads * k_len.max(1) * 2 * head_dim;
    let affordable = (REFERENCE_TERMS / terms.max(1)).max(LEAST_SAMPLES);
    let queries = spread_out(q_len, affordable);
    let AttentionInputs { q, k, v } = inputs;
    let reference = block_attention_of_queries(q, k, v, mask, options, &queries)?;
    let bounds = attention_bounds(&reference, largest(v), DType::F32);
    let rows = (0..batch * heads).flat_map(|head| queries.iter().map(move |t| head * q_len + t));
    let numbers = rows
        .clone()
        .flat_map(|row| &out[row * head_dim..(row + 1) * head_dim])
        .map(|&x| f64::from(x));
    let ratio = compare(numbers, &reference.out, &bounds.out).ratio;
    let Some(lse) = lse else {
        return Ok(ratio);
    };
    let lse = rows.map(|row| f64::from(lse[row]));
    Ok(ratio.max(compare(lse, &reference.lse, &bounds.lse).ratio))
}

/// Error over bound of the output of dense attention alone, for those who give no log-sum-exp.
///
/// # Errors
/// Where the operands make no attention problem, or `out` is of another size.
pub fn attention_output<T: Element>(
    inputs: &AttentionInputs<T>,
    options: &AttentionOptions,
    out: &[f32],
) -> Result<f64, CheckError> {
    sampled(inputs, None, options, out, None)
}

fn largest<T: Element>(tensor: &Tensor<T>) -> f64 {
    let magnitudes = tensor.data().iter().map(|x| f64::from(x.to_f32()).abs());
    magnitudes.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::block_attention;
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
        let ratio =
            |mask, actual: &OutputAndLse| attention(&inputs, mask, &options, actual).unwrap();
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
