//! Which blocks the device selected, against every right choice by its own scores.

use sparse_core::BlockMask;
use sparse_core::bounds::selection_rounding;
use sparse_core::xattention::{BlockScores, XAttentionLayout};

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
    let scores = layout.shared_scores(&scores)?;
    let [batch, heads, q_blocks, k_blocks] = layout.mask_shape();
    // The scores are what they are: only the rounding of the sums and of the selection itself is forgiven.
    let tolerance = selection_rounding(layout);
    let mut wrong = 0;
    for at in 0..batch * heads * q_blocks {
        let (row, q_block) = (at / q_blocks, at % q_blocks);
        let (item, head) = (row / heads, row % heads);
        let chosen: Vec<bool> = (0..k_blocks)
            .map(|j| mask.get(item, head, q_block, j))
            .collect();
        let scores = scores.row(item, head, q_block);
        let place = [item, head, q_block];
        let choice = layout.check_choice(place, scores, &chosen, tolerance);
        wrong += usize::from(choice.is_err());
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use sparse_core::attention::AttentionShape;
    use sparse_core::xattention::{Mode, ReferenceOptions, XAttentionOptions, xattention};

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

    /// Wrong rows of a problem in blocks of a token whose rows, padding included, have these scores each; one list of blocks per query.
    fn wrong_rows_of(
        scores: &[f32],
        k_len: usize,
        chosen: &[&[usize]],
        options: &XAttentionOptions,
    ) -> usize {
        let shape = AttentionShape::try_new(1, 1, 1, chosen.len(), k_len, 1).unwrap();
        let options = XAttentionOptions {
            block: 1,
            stride: 1,
            ..options.clone()
        };
        let layout = options.layout(shape).unwrap();
        let is_chosen = |_, _, i: usize, j| chosen[i].contains(&j);
        let mask = BlockMask::from_fn(1, 1, chosen.len(), k_len, is_chosen).unwrap();
        let scores = scores.repeat(layout.score_shape()[2]);
        wrong_mask_rows(&scores, &mask, &layout).unwrap()
    }

    fn in_reference_mode(threshold: f64, causal: bool, chunk: usize) -> XAttentionOptions {
        XAttentionOptions {
            threshold: threshold.into(),
            causal,
            mode: Mode::Reference(ReferenceOptions {
                chunk: Some(chunk),
                ..ReferenceOptions::default()
            }),
            ..XAttentionOptions::default()
        }
    }

    /// What is forgiven is what the selection rounds, 2^-25 of the mass here, not what scores may be off by.
    #[test]
    fn a_block_of_a_ten_thousandth_of_the_mass_must_not_be_missing() {
        // Eight large blocks, one of a ten thousandth of the mass, which is needed to half of it, and 55 smaller ones.
        let mut scores = [5e-5_f32; 64];
        scores[..8].fill(0.125);
        scores[8] = 1e-4;
        let mass: f64 = scores.iter().map(|&x| f64::from(x)).sum();
        let threshold = (1.0 + 5e-5) / mass;
        let mut options = in_reference_mode(threshold, false, 1);
        let needed = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        for mode in [options.mode, Mode::Exact] {
            options.mode = mode;
            assert_eq!(wrong_rows_of(&scores, 64, &[&needed], &options), 0);
            assert_eq!(wrong_rows_of(&scores, 64, &[&needed[..8]], &options), 1);
        }
    }

    /// Where the mass is cut to multiples of 2^-31 of the largest, the smallest blocks may count or not.
    #[test]
    fn in_reference_mode_what_rounding_decides_is_right_either_way() {
        let all = in_reference_mode(1.0, false, 1);
        for least in [1.5e-12, 1e-20] {
            assert_eq!(wrong_rows_of(&[16.0, least], 2, &[&[0]], &all), 0);
            assert_eq!(wrong_rows_of(&[16.0, least], 2, &[&[0, 1]], &all), 0);
        }
        assert_eq!(wrong_rows_of(&[16.0, 1e-5], 2, &[&[0]], &all), 1);

        // The first block lacks 2^-33 and 2^-25 of the mass to hold half of it; five steps of 2^-31 are forgiven.
        let half = in_reference_mode(0.5, false, 1);
        let smallest = 2.0_f32.powi(-21);
        for (over, wrong) in [(2.0_f32.powi(-28), 0), (2.0_f32.powi(-20), 1)] {
            let scores = [8.0, 8.0 - smallest, smallest + over];
            assert_eq!(wrong_rows_of(&scores, 3, &[&[0, 1]], &half), 0);
            assert_eq!(wrong_rows_of(&scores, 3, &[&[0]], &half), wrong);
        }

        // The rows of the first chunk take a block more where anything is wanted.
        let scores = [0.25, 0.5, 0.125, 0.125];
        for (threshold, wrong) in [(1e-12, 0), (1e-3, 1)] {
            let little = in_reference_mode(threshold, true, 4);
            let with: [&[usize]; 3] = [&[0], &[0, 1], &[0, 1, 2]];
            assert_eq!(wrong_rows_of(&scores, 3, &with, &little), 0);
            let without: [&[usize]; 3] = [&[0], &[0, 1], &[0, 2]];
            assert_eq!(wrong_rows_of(&scores, 3, &without, &little), wrong);
        }
    }
}
