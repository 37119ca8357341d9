//! How much of the attention a mask keeps, and what leaving out the rest costs.

use serde::Serialize;
use sparse_core::attention::AttentionShape;
use sparse_core::{BlockGrid, BlockMask, MaskError};
use sparse_measure::OutputAndLse;

/// Attention over a mask, as both kernels on the device computed it, compared with dense attention.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Share of the blocks that causal (or full) attention can reach which is kept. The record has it too.
    #[serde(skip)]
    pub density: f64,
    /// The same for each head, heads of the first item first.
    pub density_per_head: Vec<f64>,
    /// `|out - dense out| / |dense out|` in the Euclidean norm.
    pub relative_l2_error: f64,
    /// The same for each head.
    pub relative_l2_error_per_head: Vec<f64>,
    /// Mean over the queries of the softmax mass that lies on kept keys, `exp(lse - dense lse)`.
    pub kept_mass: f64,
    /// The same for each head.
    pub kept_mass_per_head: Vec<f64>,
}

/// The blocks that attention without a mask visits.
pub(crate) fn reachable(
    shape: AttentionShape,
    block: usize,
    causal: bool,
) -> Result<BlockMask, MaskError> {
    let grid = BlockGrid {
        batch: shape.batch(),
        heads: shape.q_heads(),
        q_len: shape.q_len(),
        k_len: shape.k_len(),
        block,
    };
    if causal {
        BlockMask::causal(&grid)
    } else {
        BlockMask::dense(grid.batch, grid.heads, grid.q_blocks()?, grid.k_blocks()?)
    }
}

impl Quality {
    /// Compares `sparse`, over `mask`, with `dense`, over the blocks `reachable`.
    pub(crate) fn of(
        shape: AttentionShape,
        mask: &BlockMask,
        reachable: &BlockMask,
        sparse: &OutputAndLse,
        dense: &OutputAndLse,
    ) -> Result<Self, MaskError> {
        let kept = mask.intersection(reachable)?;
        let [batch, heads, q_len, head_dim] = shape.q_shape();
        let of_heads = |count: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..batch * heads)
                .map(|head| count(head / heads, head % heads))
                .collect()
        };
        let density_per_head = of_heads(&|item, head| {
            ratio(
                as_f64(kept.count_of_head(item, head)),
                as_f64(reachable.count_of_head(item, head)),
            )
        });
        let head_size = q_len * head_dim;
        let squares: Vec<[f64; 2]> = (0..batch * heads)
            .map(|head| {
                let range = head * head_size..(head + 1) * head_size;
                squares(&sparse.out[range.clone()], &dense.out[range])
            })
            .collect();
        let all = squares
            .iter()
            .fold([0.0; 2], |sum, s| [sum[0] + s[0], sum[1] + s[1]]);
        let error = |[difference, norm]: [f64; 2]| ratio(difference.sqrt(), norm.sqrt());
        Ok(Self {
            density: mask.density_within(reachable)?,
            density_per_head,
            relative_l2_error: error(all),
            relative_l2_error_per_head: squares.into_iter().map(error).collect(),
            kept_mass: kept_mass(&sparse.lse, &dense.lse),
            kept_mass_per_head: (0..batch * heads)
                .map(|head| {
                    let range = head * q_len..(head + 1) * q_len;
                    kept_mass(&sparse.lse[range.clone()], &dense.lse[range])
                })
                .collect(),
        })
    }
}

/// Sums of the squares of `a - b` and of `b`.
fn squares(a: &[f32], b: &[f32]) -> [f64; 2] {
    let pairs = a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    pairs.fold([0.0; 2], |[difference, norm], (a, b)| {
        [difference + (a - b) * (a - b), norm + b * b]
    })
}

/// Queries that see no key at all have no mass to keep.
fn kept_mass(sparse: &[f32], dense: &[f32]) -> f64 {
    let seeing = sparse
        .iter()
        .zip(dense)
        .filter(|(_, dense)| **dense > f32::NEG_INFINITY);
    let (sum, count) = seeing.fold((0.0, 0), |(sum, count), (&sparse, &dense)| {
        (
            sum + (f64::from(sparse) - f64::from(dense)).exp(),
            count + 1,
        )
    });
    ratio(sum, as_f64(count))
}

/// `part / whole`, 0 where both are.
fn ratio(part: f64, whole: f64) -> f64 {
    if part == 0.0 { 0.0 } else { part / whole }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of blocks and of queries, far below 2^52"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(heads: usize, len: usize) -> AttentionShape {
        AttentionShape::try_new(1, heads, 1, len, len, 1).unwrap()
    }

    #[test]
    fn every_number_is_that_of_its_definition() {
        // Two heads, two blocks of one token; head 1 leaves out block 0 of its second row.
        let shape = shape(2, 2);
        let all = reachable(shape, 1, true).unwrap();
        assert_eq!(all.count(), 6);
        let mask = BlockMask::from_fn(1, 2, 2, 2, |_, h, i, j| j <= i && (h, j) != (1, 0)).unwrap();
        let dense = OutputAndLse {
            out: vec![3.0, 4.0, 6.0, 8.0],
            lse: vec![1.0, 2.0, f32::NEG_INFINITY, 3.0],
        };
        let sparse = OutputAndLse {
            out: vec![3.0, 4.0, 6.0, 3.0],
            lse: vec![1.0, 2.0, f32::NEG_INFINITY, 3.0 - 2.0_f32.ln()],
        };
        let quality = Quality::of(shape, &mask, &all, &sparse, &dense).unwrap();
        assert_eq!(quality.density, 4.0 / 6.0);
        assert_eq!(quality.density_per_head, [1.0, 1.0 / 3.0]);
        assert_eq!(quality.relative_l2_error_per_head, [0.0, 0.5]);
        assert!((quality.relative_l2_error - 5.0 / 125.0_f64.sqrt()).abs() < 1e-12);
        assert!((quality.kept_mass - 2.5 / 3.0).abs() < 1e-6);
        assert_eq!(quality.kept_mass_per_head[0], 1.0);
        assert!((quality.kept_mass_per_head[1] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn nothing_at_all_loses_nothing() {
        let nothing = OutputAndLse {
            out: Vec::new(),
            lse: Vec::new(),
        };
        let all = reachable(shape(1, 0), 4, false).unwrap();
        let quality = Quality::of(shape(1, 0), &all, &all, &nothing, &nothing).unwrap();
        assert_eq!(
            (
                quality.density,
                quality.relative_l2_error,
                quality.kept_mass
            ),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn full_attention_reaches_every_block() {
        assert_eq!(reachable(shape(3, 5), 2, false).unwrap().count(), 27);
    }
}
