//! Results of the device against the CPU reference, at samples spread over the problem.

use serde::Serialize;
use sparse_core::attention::{AttentionOptions, block_attention_of_queries};
use sparse_core::bounds::{attention_bounds, block_score_bounds, compare, selection_tolerance};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::{
    BlockScores, ScoreReference, XAttentionError, XAttentionLayout, xattention_score,
    xattention_select,
};
use sparse_core::{BlockMask, DType, Element, Tensor};

use super::score_rows::ScoreRow;
use crate::device::OutputAndLse;
use crate::measure::spread_out;
use crate::words::counted;

/// Multiply-adds that one CPU reference may take.
const REFERENCE_TERMS: usize = 1 << 26;
/// Samples that are taken whatever they cost.
const LEAST_SAMPLES: usize = 4;

/// Largest errors over their bounds; right where all are at most 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Checks {
    /// Output and log-sum-exp of dense attention.
    pub dense: Option<f64>,
    /// Output and log-sum-exp over the mask.
    pub sparse: Option<f64>,
    /// Output and log-sum-exp of the plan that may go dense.
    pub policy: Option<f64>,
    /// Block scores.
    pub scores: Option<f64>,
    /// Rows of the mask that are no right choice by the scores that the device made it from.
    pub wrong_mask_rows: Option<usize>,
}

impl Checks {
    /// The largest of all, infinite where a row of the mask is wrong.
    pub fn worst(&self) -> f64 {
        let errors = [self.dense, self.sparse, self.policy, self.scores]
            .into_iter()
            .flatten();
        match self.wrong_mask_rows {
            Some(rows) if rows > 0 => f64::INFINITY,
            _ => errors.fold(0.0, f64::max),
        }
    }

    /// What is wrong, a text for each check that failed.
    pub fn faults(&self) -> Vec<String> {
        let errors = [
            ("dense attention", self.dense),
            ("attention over the mask", self.sparse),
            ("attention as the policy decided", self.policy),
            ("block scores", self.scores),
        ];
        let mut faults: Vec<String> = errors
            .into_iter()
            .filter_map(|(what, ratio)| Some((what, ratio?)))
            .filter(|(_, ratio)| ratio.is_nan() || *ratio > 1.0)
            .map(|(what, ratio)| format!("{what}: the largest error is {ratio} times its bound"))
            .collect();
        if let Some(rows @ 1..) = self.wrong_mask_rows {
            let rows = counted(rows, "row");
            faults.push(format!("{rows} of the mask: no right choice by the scores"));
        }
        faults
    }
}

/// Error over bound of output and log-sum-exp, at as many evenly spread queries as the CPU can take.
pub(crate) fn attention<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    actual: &OutputAndLse,
) -> anyhow::Result<f64> {
    sampled(inputs, mask, options, &actual.out, Some(&actual.lse))
}

fn sampled<T: Element>(
    inputs: &AttentionInputs<T>,
    mask: Option<&BlockMask>,
    options: &AttentionOptions,
    out: &[f32],
    lse: Option<&[f32]>,
) -> anyhow::Result<f64> {
    let &[batch, heads, q_len, head_dim] = inputs.q.shape() else {
        anyhow::bail!("q has shape {:?}, not four sizes", inputs.q.shape());
    };
    anyhow::ensure!(
        out.len() == batch * heads * q_len * head_dim,
        "an output of {} numbers is not one of shape {:?}",
        out.len(),
        inputs.q.shape()
    );
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
pub(super) fn output<T: Element>(
    inputs: &AttentionInputs<T>,
    options: &AttentionOptions,
    out: &[f32],
) -> anyhow::Result<f64> {
    sampled(inputs, None, options, out, None)
}

fn largest<T: Element>(tensor: &Tensor<T>) -> f64 {
    let magnitudes = tensor.data().iter().map(|x| f64::from(x.to_f32()).abs());
    magnitudes.fold(0.0, f64::max)
}

/// Error over bound of the block scores `[batch, heads, q_blocks, k_blocks]`, at as many evenly spread block rows as the CPU can take.
pub(crate) fn scores<T: Element>(
    inputs: &AttentionInputs<T>,
    layout: &XAttentionLayout,
    actual: &[f32],
) -> anyhow::Result<f64> {
    let [batch, heads, q_blocks, _] = layout.mask_shape();
    let [_, _, score_rows, k_blocks] = layout.score_shape();
    let (shape, options) = (layout.shape(), layout.options());
    let terms = k_blocks * options.block * options.block / options.stride * shape.head_dim();
    let affordable = (REFERENCE_TERMS / terms.max(1)).max(LEAST_SAMPLES);
    let mut worst = 0.0_f64;
    for at in spread_out(batch * heads * q_blocks, affordable) {
        let (row, q_block) = (at / q_blocks, at % q_blocks);
        let place = [row / heads, row % heads, q_block];
        let start = (row * score_rows + q_block) * k_blocks;
        let actual = actual[start..start + k_blocks]
            .iter()
            .map(|&x| f64::from(x));
        // What the row may not look at has no mass.
        let (mut expected, mut bounds) = (vec![0.0; k_blocks], vec![0.0; k_blocks]);
        let is_scored = options.is_sparse(place[1]);
        let row = is_scored
            .then(|| ScoreRow::cut(&inputs.q, &inputs.k, layout, place))
            .transpose()?;
        if let Some(row) = row.flatten() {
            let reference = xattention_score(&row.q, &row.k, &row.options)
                .map_err(|error| at_place(error, place))?;
            let seen = reference.scores.row(0, 0, 0);
            expected[..seen.len()].copy_from_slice(seen);
            let own = block_score_bounds(&reference, layout);
            bounds[..seen.len()].copy_from_slice(&own[..seen.len()]);
        }
        worst = worst.max(compare(actual, &expected, &bounds).ratio);
    }
    Ok(worst)
}

/// The error of a row that was cut out, with the place that the row has in the whole.
fn at_place(error: XAttentionError, place: [usize; 3]) -> XAttentionError {
    let [item, head, q_block] = place;
    match error {
        XAttentionError::NotAMass { position, value } => XAttentionError::NotAMass {
            position: [item, head, q_block, position[3]],
            value,
        },
        error => error,
    }
}

/// Rows of `mask` that are no right choice by `scores [batch, heads, q_blocks, k_blocks]`, which it was made from. Every row is checked.
pub(super) fn wrong_mask_rows(
    scores: &[f32],
    mask: &BlockMask,
    layout: &XAttentionLayout,
) -> anyhow::Result<usize> {
    let data = scores.iter().map(|&x| f64::from(x)).collect();
    let scores = BlockScores::try_new(layout.score_shape(), data)?;
    let expected = xattention_select(&scores, layout)?;
    let [batch, heads, q_blocks, k_blocks] = layout.mask_shape();
    // The scores are what they are: only the rounding of the selection itself is forgiven.
    let [_, _, score_rows, _] = layout.score_shape();
    let exact = ScoreReference {
        logit_magnitude: vec![0.0; batch * heads * score_rows],
        logit_flushed: vec![0.0; batch * heads * score_rows],
        scores,
    };
    let tolerance = selection_tolerance(&exact, layout);
    let mut wrong = 0;
    for at in 0..batch * heads * q_blocks {
        let (row, q_block) = (at / q_blocks, at % q_blocks);
        let (item, head) = (row / heads, row % heads);
        if mask
            .row(item, head, q_block)
            .eq(expected.row(item, head, q_block))
        {
            continue;
        }
        // In Reference mode there is one right answer; in Exact mode another one may be as right where two sums tie.
        let is_choice = layout.reference().is_none() && layout.options().is_sparse(head) && {
            let chosen: Vec<bool> = (0..k_blocks)
                .map(|j| mask.get(item, head, q_block, j))
                .collect();
            let scores = exact.scores.row(item, head, q_block);
            let tolerance = tolerance[row * score_rows + q_block];
            layout
                .exact_row(item, head, q_block)
                .check_choice(scores, &chosen, tolerance)
                .is_ok()
        };
        wrong += usize::from(!is_choice);
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::{AttentionShape, block_attention};
    use sparse_core::synthetic::normal_tensor;
    use sparse_core::xattention::{XAttentionOptions, xattention};

    use super::*;

    fn inputs() -> AttentionInputs<f32> {
        let tensor = |heads, seed| normal_tensor(vec![1, heads, 50, 16], seed).unwrap();
        AttentionInputs {
            q: tensor(4, 1),
            k: tensor(2, 2),
            v: tensor(2, 3),
        }
    }

    fn options() -> XAttentionOptions {
        XAttentionOptions {
            block: 8,
            stride: 4,
            threshold: 0.7.into(),
            ..XAttentionOptions::default()
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "results of the device are f32"
    )]
    fn rounded(values: &[f64]) -> Vec<f32> {
        values.iter().map(|&x| x as f32).collect()
    }

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
    fn wrong_scores_and_wrong_rows_are_found() {
        let (inputs, options) = (inputs(), options());
        let whole = xattention(&inputs.q, &inputs.k, &inputs.v, &options).unwrap();
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let mut actual = rounded(whole.scores.scores.data());
        assert!(scores(&inputs, &layout, &actual).unwrap() <= 1.0);
        assert_eq!(wrong_mask_rows(&actual, &whole.mask, &layout).unwrap(), 0);
        let all = BlockMask::dense(1, 4, 7, 7).unwrap();
        assert!(wrong_mask_rows(&actual, &all, &layout).unwrap() > 20);
        // A block above the diagonal, and one below.
        for at in [1, 7 * 6] {
            let before = actual[at];
            actual[at] += 0.01;
            assert!(scores(&inputs, &layout, &actual).unwrap() > 1.0, "{at}");
            actual[at] = before;
        }
    }

    #[test]
    fn a_score_that_is_no_mass_is_named_by_its_place_in_the_whole() {
        let mut inputs = inputs();
        // Token 40 of the second key head, which query heads 2 and 3 read.
        let mut k = inputs.k.data().to_vec();
        k[(50 + 40) * 16] = f32::NAN;
        inputs.k = Tensor::new(vec![1, 2, 50, 16], k);
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options().layout(shape).unwrap();
        let error = scores(&inputs, &layout, &[0.0; 4 * 7 * 7]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("at [0, 2, 5, 0]"), "{message}");
    }

    #[test]
    fn the_worst_check_counts() {
        let checks = Checks {
            dense: Some(0.2),
            sparse: Some(0.4),
            policy: None,
            scores: Some(0.1),
            wrong_mask_rows: Some(0),
        };
        assert_eq!(checks.worst(), 0.4);
        assert!(checks.faults().is_empty());
        let wrong = Checks {
            wrong_mask_rows: Some(1),
            ..checks
        };
        assert_eq!(wrong.worst(), f64::INFINITY);
        let all = Checks {
            dense: Some(1.5),
            policy: Some(f64::NAN),
            ..wrong
        };
        assert_eq!(
            all.faults(),
            [
                "dense attention: the largest error is 1.5 times its bound",
                "attention as the policy decided: the largest error is NaN times its bound",
                "1 row of the mask: no right choice by the scores"
            ]
        );
    }
}
