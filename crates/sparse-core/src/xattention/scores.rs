//! The scores of all blocks of a problem.

use super::XAttentionError;

/// Estimated softmax mass per block, `[batch, q_heads, q_blocks, k_blocks]`, row-major, all finite and `>= 0`.
///
/// A block row sums to its number of query groups with a key to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockScores {
    shape: [usize; 4],
    data: Vec<f64>,
}

impl BlockScores {
    /// Wraps row-major scores.
    ///
    /// # Errors
    /// [`XAttentionError::ScoreCount`] or [`XAttentionError::NotAMass`].
    pub fn try_new(shape: [usize; 4], data: Vec<f64>) -> Result<Self, XAttentionError> {
        let expected = shape
            .iter()
            .try_fold(1_usize, |n, &size| n.checked_mul(size));
        if expected != Some(data.len()) {
            return Err(XAttentionError::ScoreCount {
                shape,
                expected: expected.unwrap_or(usize::MAX),
                actual: data.len(),
            });
        }
        if let Some(index) = data.iter().position(|&x| !x.is_finite() || x < 0.0) {
            let [_, heads, q_blocks, k_blocks] = shape;
            let row = index / k_blocks;
            return Err(XAttentionError::NotAMass {
                position: [
                    row / q_blocks / heads,
                    row / q_blocks % heads,
                    row % q_blocks,
                    index % k_blocks,
                ],
                value: data[index],
            });
        }
        Ok(Self { shape, data })
    }

    /// `[batch, q_heads, q_blocks, k_blocks]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The scores, row-major.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// The scores of one block row, one per key block.
    ///
    /// # Panics
    /// Where there is no such row.
    #[track_caller]
    pub fn row(&self, batch: usize, head: usize, q_block: usize) -> &[f64] {
        let [batches, heads, q_blocks, k_blocks] = self.shape;
        assert!(
            batch < batches && head < heads && q_block < q_blocks,
            "row ({batch}, {head}, {q_block}) is outside of scores {:?}",
            self.shape
        );
        let start = ((batch * heads + head) * q_blocks + q_block) * k_blocks;
        &self.data[start..start + k_blocks]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_past_the_last_is_none_of_the_next_head_or_item() {
        let scores = BlockScores::try_new([2, 3, 4, 1], vec![0.0; 24]).unwrap();
        for (batch, head, q_block) in [(0, 0, 4), (0, 3, 0), (2, 0, 0)] {
            let panic = std::panic::catch_unwind(|| scores.row(batch, head, q_block).len());
            assert_eq!(
                *panic.unwrap_err().downcast::<String>().unwrap(),
                format!("row ({batch}, {head}, {q_block}) is outside of scores [2, 3, 4, 1]")
            );
        }
    }
}
