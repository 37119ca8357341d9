//! How many blocks to keep, and where.

use crate::bsr::BsrLayout;
use crate::prune::PruneError;

/// How many blocks to keep. A density is a share of all blocks in its scope and is rounded to the nearest count,
/// half away from zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BlockBudget {
    /// This share of the blocks of the matrix, wherever they are.
    Density(f64),
    /// This many blocks of the matrix, wherever they are.
    Count(usize),
    /// This share of the blocks of every block row: equal work per row.
    DensityPerBlockRow(f64),
    /// This many blocks of every block row: equal work per row.
    CountPerBlockRow(usize),
}

/// A budget resolved for one matrix: `count` blocks of each of the consecutive scopes of `len` blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) len: usize,
    pub(crate) count: usize,
    pub(crate) scope: &'static str,
}

impl BlockBudget {
    /// How many blocks of a `rows x cols` matrix in blocks of `block = (br, bc)` that is, all block rows together: as many as
    /// [`BlockSelection::by_magnitude`](crate::BlockSelection::by_magnitude) keeps. Cut blocks at the edges count whole.
    ///
    /// ```
    /// use sparse_core::BlockBudget;
    /// // 2 x 3 blocks: half of all 6, and half of 3 in each block row, which rounds to 2.
    /// assert_eq!(BlockBudget::Density(0.5).kept_blocks(8, 10, (4, 4))?, 3);
    /// assert_eq!(BlockBudget::DensityPerBlockRow(0.5).kept_blocks(8, 10, (4, 4))?, 4);
    /// // Too small a share keeps nothing.
    /// assert_eq!(BlockBudget::Density(0.05).kept_blocks(8, 10, (4, 4))?, 0);
    /// # Ok::<(), sparse_core::PruneError>(())
    /// ```
    ///
    /// # Errors
    /// [`PruneError::DensityRange`], [`PruneError::CountRange`], and [`PruneError::Bsr`] for sizes that make no
    /// block-sparse matrix.
    pub fn kept_blocks(
        self,
        rows: usize,
        cols: usize,
        block: (usize, usize),
    ) -> Result<usize, PruneError> {
        let layout = BsrLayout::try_new(rows, cols, block)?;
        let quota = self.resolve(&layout)?;
        // No scopes where they have no blocks.
        let scopes = layout.block_count().checked_div(quota.len).unwrap_or(0);
        Ok(quota.count * scopes)
    }

    pub(crate) fn resolve(self, layout: &BsrLayout) -> Result<Quota, PruneError> {
        let (len, scope) = match self {
            Self::Density(_) | Self::Count(_) => (layout.block_count(), "matrix"),
            Self::DensityPerBlockRow(_) | Self::CountPerBlockRow(_) => {
                (layout.block_cols(), "block row")
            }
        };
        let count = match self {
            Self::Count(count) | Self::CountPerBlockRow(count) => count,
            Self::Density(density) | Self::DensityPerBlockRow(density) => {
                share_of(len, density).ok_or(PruneError::DensityRange { density })?
            }
        };
        if count > len {
            return Err(PruneError::CountRange {
                count,
                available: len,
                scope,
            });
        }
        Ok(Quota { len, count, scope })
    }
}

/// `None` where `density` is no share.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a share of fewer than 2^32 blocks, rounded to an integer"
)]
fn share_of(len: usize, density: f64) -> Option<usize> {
    (0.0..=1.0)
        .contains(&density)
        .then(|| (density * len as f64).round() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(budget: BlockBudget) -> Result<(usize, usize), String> {
        let layout = BsrLayout::try_new(4, 20, (2, 2)).unwrap();
        budget
            .resolve(&layout)
            .map(|quota| (quota.len, quota.count))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn densities_round_to_the_nearest_count() {
        assert_eq!(quota(BlockBudget::Density(0.0)), Ok((20, 0)));
        assert_eq!(quota(BlockBudget::Density(0.274)), Ok((20, 5)));
        assert_eq!(quota(BlockBudget::Density(0.276)), Ok((20, 6)));
        assert_eq!(quota(BlockBudget::Density(1.0)), Ok((20, 20)));
        assert_eq!(quota(BlockBudget::DensityPerBlockRow(0.25)), Ok((10, 3)));
        assert_eq!(quota(BlockBudget::CountPerBlockRow(10)), Ok((10, 10)));
    }

    #[test]
    fn kept_blocks_are_those_of_all_scopes() {
        let kept = |budget: BlockBudget, rows, cols| budget.kept_blocks(rows, cols, (2, 2));
        // 2 x 10 blocks, the last of each side cut.
        assert_eq!(kept(BlockBudget::Count(7), 3, 19), Ok(7));
        assert_eq!(kept(BlockBudget::Density(0.276), 3, 19), Ok(6));
        assert_eq!(kept(BlockBudget::CountPerBlockRow(7), 3, 19), Ok(14));
        assert_eq!(kept(BlockBudget::DensityPerBlockRow(0.25), 3, 19), Ok(6));
        for (rows, cols) in [(0, 4), (4, 0), (0, 0)] {
            assert_eq!(kept(BlockBudget::Density(1.0), rows, cols), Ok(0));
            assert_eq!(
                kept(BlockBudget::DensityPerBlockRow(1.0), rows, cols),
                Ok(0)
            );
        }
        assert!(kept(BlockBudget::Count(21), 3, 19).is_err());
        assert!(BlockBudget::Count(0).kept_blocks(4, 4, (0, 2)).is_err());
    }

    #[test]
    fn what_no_matrix_can_keep_is_refused() {
        for (density, text) in [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN")] {
            assert_eq!(
                quota(BlockBudget::Density(density)),
                Err(format!(
                    "density {text} is not a share of the blocks: it must be within 0..=1"
                ))
            );
        }
        assert_eq!(
            quota(BlockBudget::Count(21)),
            Err("21 blocks were to be kept of each matrix, which has 20".into())
        );
        assert_eq!(
            quota(BlockBudget::CountPerBlockRow(11)),
            Err("11 blocks were to be kept of each block row, which has 10".into())
        );
    }
}
