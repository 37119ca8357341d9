//! The scores of all blocks of a problem.

use super::XAttentionError;

/// Estimated softmax mass per block, `[batch, q_heads, q_blocks, k_blocks]`, row-major, all finite and `>= 0`.
///
/// A block row sums to its number of query groups with a key to look at (times the heads added up, of [`BlockScores::summed_over_heads`]).
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

    /// Scores added up over groups of `group` consecutive heads, `[batch, heads / group, q_blocks, k_blocks]`. Selection does so itself where
    /// [`mask_heads`](super::XAttentionOptions::mask_heads) says that query heads share a mask. (Yuan et al., Native Sparse Attention, arXiv 2502.11089.)
    ///
    /// # Errors
    /// [`XAttentionError::HeadGroups`] where `group` does not divide the heads, [`XAttentionError::NotAMass`] where a sum is no number.
    ///
    /// ```
    /// use sparse_core::xattention::BlockScores;
    /// let scores = BlockScores::try_new([1, 4, 1, 2], vec![1.0, 2.0, 3.0, 4.0, 0.0, 1.0, 5.0, 0.0])?;
    /// let shared = scores.summed_over_heads(2)?;
    /// assert_eq!((shared.shape(), shared.data()), ([1, 2, 1, 2], &[4.0, 6.0, 5.0, 1.0][..]));
    /// # Ok::<(), sparse_core::xattention::XAttentionError>(())
    /// ```
    pub fn summed_over_heads(&self, group: usize) -> Result<Self, XAttentionError> {
        self.summed_over(group, |_| true)
    }

    /// [`BlockScores::summed_over_heads`] of the heads that are `counted` only.
    pub(super) fn summed_over(
        &self,
        group: usize,
        counted: impl Fn(usize) -> bool,
    ) -> Result<Self, XAttentionError> {
        let [batch, heads, q_blocks, k_blocks] = self.shape;
        if group == 0 || !heads.is_multiple_of(group) {
            return Err(XAttentionError::HeadGroups { heads, group });
        }
        let of_head = q_blocks * k_blocks;
        let mut sums = vec![0.0; self.data.len() / group];
        for (at, score) in self.data.iter().enumerate() {
            let head = at / of_head;
            if counted(head % heads) {
                sums[head / group * of_head + at % of_head] += score;
            }
        }
        Self::try_new([batch, heads / group, q_blocks, k_blocks], sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_divide_the_heads_and_their_sums_are_masses() {
        let scores = |value| BlockScores::try_new([2, 6, 1, 1], vec![value; 12]).unwrap();
        let heads = 6;
        for group in [0, 4, 12] {
            assert_eq!(
                scores(1.0).summed_over_heads(group),
                Err(XAttentionError::HeadGroups { heads, group })
            );
        }
        let sums = scores(1.0).summed_over_heads(3).unwrap();
        assert_eq!((sums.shape(), sums.data()), ([2, 2, 1, 1], &[3.0; 4][..]));
        let error = scores(f64::MAX).summed_over_heads(2).unwrap_err();
        assert!(matches!(error, XAttentionError::NotAMass { .. }), "{error}");
        let none = BlockScores::try_new([2, 6, 0, 0], Vec::new()).unwrap();
        assert_eq!(none.summed_over_heads(2).unwrap().shape(), [2, 3, 0, 0]);
    }

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
