//! Which blocks the device selected, against every right choice by its own scores.

use sparse_core::BlockMask;
use sparse_core::bounds::selection_tolerance;
use sparse_core::xattention::{BlockScores, ScoreReference, XAttentionLayout, xattention_select};

use super::CheckError;
use super::sizes::expect_shape;

/// Rows of `mask` that are no right choice by `scores`, in [`XAttentionLayout::score_shape`], which it was made from. Every row is checked.
///
/// # Errors
/// Where `mask` or `scores` are of another size than those of `layout`, or a score is no mass.
pub fn wrong_mask_rows(
    scores: &[f32],
    mask: &BlockMask,
    layout: &XAttentionLayout,
) -> Result<usize, CheckError> {
    expect_shape("the mask", &mask.shape(), layout.mask_shape())?;
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
    use sparse_core::attention::AttentionShape;
    use sparse_core::xattention::xattention;

    use super::super::fixture::{inputs, options, rounded};
    use super::*;

    #[test]
    fn wrong_rows_are_found() {
        let (inputs, options) = (inputs(), options());
        let whole = xattention(&inputs.q, &inputs.k, &inputs.v, &options).unwrap();
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let actual = rounded(whole.scores.scores.data());
        assert_eq!(wrong_mask_rows(&actual, &whole.mask, &layout).unwrap(), 0);
        let all = BlockMask::dense(1, 4, 7, 7).unwrap();
        assert!(wrong_mask_rows(&actual, &all, &layout).unwrap() > 20);
    }

    #[test]
    fn a_mask_of_another_problem_is_refused() {
        let (inputs, options) = (inputs(), options());
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let small = BlockMask::dense(1, 4, 7, 6).unwrap();
        let refused = wrong_mask_rows(&[0.0; 4 * 7 * 7], &small, &layout).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the mask has shape [1, 4, 7, 6], but that of the problem has [1, 4, 7, 7]"
        );
    }
}
