//! Block scores against the CPU reference, at block rows spread over all heads.

use sparse_core::bounds::{block_score_bounds, compare};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::{XAttentionError, XAttentionLayout, xattention_score};
use sparse_core::{Element, Tensor};

use super::finite::{NotFinite, are_finite, place_of};
use super::samples::{REFERENCE_TERMS, spread_out};
use super::score_rows::ScoreRow;
use super::sizes::{expect_shape, expect_size};
use super::{CheckError, CheckedAttention};

/// Samples that are taken whatever they cost.
const LEAST_SAMPLES: usize = 4;

/// Error over bound of the block scores in [`XAttentionLayout::score_shape`], at as many evenly spread block rows as the CPU can take. In the
/// others no score may be NaN or infinite where queries and keys are finite.
///
/// # Errors
/// Where `inputs` are not those of `layout`, `actual` is of another size, or a reference is no mass.
pub fn scores<T: Element>(
    inputs: &AttentionInputs<T>,
    layout: &XAttentionLayout,
    actual: &[f32],
) -> Result<CheckedAttention, CheckError> {
    let [.., q_blocks, _] = layout.mask_shape();
    let [batch, heads, score_rows, k_blocks] = layout.score_shape();
    let (shape, options) = (layout.shape(), layout.options());
    expect_shape("q", inputs.q.shape(), shape.q_shape())?;
    expect_shape("k", inputs.k.shape(), shape.kv_shape())?;
    expect_size("a score", actual, &layout.score_shape())?;
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
    let not_finite = not_finite(inputs, layout, actual);
    Ok(CheckedAttention::new(worst, not_finite))
}

/// The first score that is not finite where all queries and keys of its head are.
fn not_finite<T: Element>(
    inputs: &AttentionInputs<T>,
    layout: &XAttentionLayout,
    actual: &[f32],
) -> Option<NotFinite> {
    let shape = layout.shape();
    let is_finite = |tensor: &Tensor<T>, head: usize, heads: usize| {
        let len = tensor.data().len() / (shape.batch() * heads).max(1);
        are_finite(&tensor.data()[head * len..(head + 1) * len])
    };
    // Whether a head is, once somebody asks.
    let mut known = vec![None; shape.batch() * shape.q_heads()];
    let odd = actual.iter().enumerate().filter(|(_, x)| !x.is_finite());
    odd.map(|(at, &value)| NotFinite {
        what: "scores",
        place: place_of(at, layout.score_shape()),
        dimensions: 4,
        value,
    })
    .find(|found| {
        let [item, head, ..] = found.place;
        let q_head = item * shape.q_heads() + head;
        let kv_head = item * shape.kv_heads() + shape.kv_head(head);
        *known[q_head].get_or_insert_with(|| {
            is_finite(&inputs.q, q_head, shape.q_heads())
                && is_finite(&inputs.k, kv_head, shape.kv_heads())
        })
    })
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

#[cfg(test)]
mod tests {
    use sparse_core::attention::AttentionShape;
    use sparse_core::xattention::xattention;

    use super::super::fixture::{inputs, options, rounded};
    use super::*;

    #[test]
    fn wrong_scores_are_found() {
        let (inputs, options) = (inputs(), options());
        let whole = xattention(&inputs.q, &inputs.k, &inputs.v, &options).unwrap();
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let mut actual = rounded(whole.scores.scores.data());
        let ratio = |actual: &[f32]| scores(&inputs, &layout, actual).unwrap().ratio();
        assert!(ratio(&actual) <= 1.0);
        // A block above the diagonal, and one below.
        for at in [1, 7 * 6] {
            let before = actual[at];
            actual[at] += 0.01;
            assert!(ratio(&actual) > 1.0, "{at}");
            actual[at] = before;
        }
    }

    #[test]
    fn a_score_that_is_not_finite_is_wrong_unless_a_query_or_a_key_is_not() {
        let (mut inputs, options) = (inputs(), options());
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let mut actual = vec![0.0; 4 * 7 * 7];
        assert_eq!(not_finite(&inputs, &layout, &actual), None);
        // Head 2, row 3, block 1.
        actual[(2 * 7 + 3) * 7 + 1] = f32::NAN;
        let found = not_finite(&inputs, &layout, &actual).unwrap();
        let words = "scores[0, 2, 3, 1] is NaN, although all that it is computed from is finite";
        assert_eq!(found.to_string(), words);
        let checked = scores(&inputs, &layout, &actual).unwrap();
        assert_eq!(checked.ratio(), f64::INFINITY);
        assert_eq!(
            checked.fault("block scores").unwrap(),
            format!("block scores: {words}")
        );
        // The second head of keys, which query heads 2 and 3 read.
        let mut k = inputs.k.data().to_vec();
        k[(50 + 40) * 16] = f32::NAN;
        inputs.k = Tensor::new(vec![1, 2, 50, 16], k);
        assert_eq!(not_finite(&inputs, &layout, &actual), None);
    }

    #[test]
    fn operands_of_another_problem_are_refused() {
        let (inputs, options) = (inputs(), options());
        let shape = AttentionShape::of_qk(inputs.q.shape(), inputs.k.shape()).unwrap();
        let layout = options.layout(shape).unwrap();
        let few = scores(&inputs, &layout, &[0.0; 4 * 7 * 7 - 1]).unwrap_err();
        assert_eq!(
            few.to_string(),
            "a score of 195 numbers is not one of shape [1, 4, 7, 7]"
        );
        let refusal = |q: &Tensor<f32>, k: &Tensor<f32>| {
            let (q, k, v) = (q.clone(), k.clone(), inputs.v.clone());
            let others = AttentionInputs { q, k, v };
            let refused = scores(&others, &layout, &[0.0; 4 * 7 * 7]);
            refused.unwrap_err().to_string()
        };
        assert_eq!(
            refusal(&inputs.k, &inputs.k),
            "q has shape [1, 2, 50, 16], but that of the problem has [1, 4, 50, 16]"
        );
        assert_eq!(
            refusal(&inputs.q, &inputs.q),
            "k has shape [1, 4, 50, 16], but that of the problem has [1, 2, 50, 16]"
        );
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
}
