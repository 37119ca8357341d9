//! Masks as sets of blocks.

use crate::mask::block_mask::{count_ones, share};
use crate::mask::{BlockMask, MaskError};

impl BlockMask {
    /// The blocks of either mask.
    ///
    /// # Errors
    /// [`MaskError::ShapesDiffer`].
    pub fn union(&self, other: &Self) -> Result<Self, MaskError> {
        self.combine(other, |a, b| a | b)
    }

    /// The blocks of both masks.
    ///
    /// # Errors
    /// [`MaskError::ShapesDiffer`].
    pub fn intersection(&self, other: &Self) -> Result<Self, MaskError> {
        self.combine(other, |a, b| a & b)
    }

    /// Share of the blocks of `whole` that this mask attends to, such as the density of a causal mask among the
    /// causal blocks; 0 where `whole` has none. Blocks outside of `whole` do not count.
    ///
    /// # Errors
    /// [`MaskError::ShapesDiffer`].
    pub fn density_within(&self, whole: &Self) -> Result<f64, MaskError> {
        Ok(share(self.intersection(whole)?.count(), whole.count()))
    }

    fn combine(&self, other: &Self, op: impl Fn(u32, u32) -> u32) -> Result<Self, MaskError> {
        if self.shape() != other.shape() {
            return Err(MaskError::ShapesDiffer {
                left: self.shape(),
                right: other.shape(),
            });
        }
        let pairs = self.words().iter().zip(other.words());
        Ok(self.with_words(pairs.map(|(&a, &b)| op(a, b)).collect()))
    }

    /// Blocks attended to by one head.
    ///
    /// # Panics
    /// Where a position is out of range.
    #[track_caller]
    pub fn count_of_head(&self, batch: usize, head: usize) -> usize {
        assert!(
            batch < self.batch() && head < self.heads(),
            "head ({batch}, {head}) is outside of a mask of {:?} blocks",
            self.shape()
        );
        let len = self.q_blocks() * self.words_per_row();
        let start = (batch * self.heads() + head) * len;
        count_ones(self.words()[start..start + len].iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_combine_as_sets() {
        let even = BlockMask::from_fn(1, 2, 3, 40, |_, _, _, j| j % 2 == 0).unwrap();
        let third = BlockMask::from_fn(1, 2, 3, 40, |_, _, _, j| j % 3 == 0).unwrap();
        let union = even.union(&third).unwrap();
        let both = even.intersection(&third).unwrap();
        assert_eq!(
            union.row(0, 1, 2).take(5).collect::<Vec<_>>(),
            [0, 2, 3, 4, 6]
        );
        assert_eq!(both.row(0, 0, 0).take(3).collect::<Vec<_>>(), [0, 6, 12]);
        assert_eq!(union.count() + both.count(), even.count() + third.count());
        assert_eq!(third.density_within(&even).unwrap(), 7.0 / 20.0);
        assert_eq!(both.count_of_head(0, 1), 21);
        let grown = BlockMask::from_fn(3, 2, 2, 40, |b, h, _, j| j <= 2 * b + h).unwrap();
        let of_heads = [0, 1, 2].map(|b| [0, 1].map(|h| grown.count_of_head(b, h)));
        assert_eq!(of_heads, [[2, 4], [6, 8], [10, 12]]);
    }

    #[test]
    fn masks_of_different_shapes_do_not_combine() {
        let small = BlockMask::dense(1, 1, 2, 2).unwrap();
        let large = BlockMask::dense(1, 1, 2, 3).unwrap();
        assert_eq!(
            small.union(&large).unwrap_err().to_string(),
            "masks of [1, 1, 2, 2] and [1, 1, 2, 3] blocks cannot be combined: the shapes must be equal"
        );
        assert_eq!(
            small.density_within(&large),
            Err(MaskError::ShapesDiffer {
                left: small.shape(),
                right: large.shape(),
            })
        );
    }

    #[test]
    fn nothing_within_nothing_has_no_density() {
        let none = BlockMask::from_fn(1, 1, 2, 2, |_, _, _, _| false).unwrap();
        assert_eq!(none.density_within(&none), Ok(0.0));
    }
}
