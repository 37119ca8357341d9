//! Selections of blocks: by magnitude, by scores, at random.

use std::ops::Range;

use crate::bsr::{BsrLayout, TAKE_LARGER_BLOCKS};
use crate::memory::{filled, room_for};
use crate::prune::random::Chooser;
use crate::prune::score::{check_numbers, highest_of, sum};
use crate::prune::{BlockBudget, Norm, PruneError};
use crate::{BlockSelection, BsrMatrix, Element, MatrixView};

impl BlockSelection {
    /// The blocks of largest norm, exactly as many as `budget` says (all-zero blocks too, where no others are left).
    ///
    /// # Errors
    /// [`PruneError::DensityRange`], [`PruneError::CountRange`], [`PruneError::NotANumber`], [`PruneError::OutOfMemory`], and
    /// [`PruneError::Bsr`] for sizes that make no block-sparse matrix.
    pub fn by_magnitude<'a, T: Element>(
        weights: impl Into<MatrixView<'a, T>>,
        block: (usize, usize),
        norm: Norm,
        budget: BlockBudget,
    ) -> Result<Self, PruneError> {
        best_blocks(weights.into(), block, budget, |weight| norm.score(weight))
    }

    /// The blocks with the largest sum of `scores`, which has the shape of the weights; scores may be negative.
    ///
    /// # Errors
    /// Those of [`by_magnitude`](Self::by_magnitude), and [`PruneError::NoSum`].
    pub fn by_scores<'a, S: Element>(
        scores: impl Into<MatrixView<'a, S>>,
        block: (usize, usize),
        budget: BlockBudget,
    ) -> Result<Self, PruneError> {
        best_blocks(scores.into(), block, budget, Element::to_f64)
    }

    /// Blocks drawn from a seeded generator (`ChaCha8`), exactly as many as `budget` says, all sets equally likely.
    ///
    /// # Errors
    /// [`PruneError::DensityRange`], [`PruneError::CountRange`], [`PruneError::OutOfMemory`], and [`PruneError::Bsr`] for sizes
    /// that make no block-sparse matrix.
    pub fn at_random(
        rows: usize,
        cols: usize,
        block: (usize, usize),
        budget: BlockBudget,
        seed: u64,
    ) -> Result<Self, PruneError> {
        let layout = BsrLayout::try_new(rows, cols, block)?;
        let mut chooser = Chooser::new(seed);
        select(layout, budget, |_, all, count| {
            chooser.choose_of(all, count)
        })
    }
}

impl<T: Element> BsrMatrix<T> {
    /// Keeps the blocks of largest magnitude that `keep` allows and compresses to them: the short way to
    /// [`BlockSelection::by_magnitude`] with [`Norm::L1`] and [`BsrMatrix::from_selection`].
    ///
    /// ```
    /// use sparse_core::{BsrMatrix, Matrix, prune::BlockBudget};
    /// let dense = Matrix::new(1, 6, vec![1.0_f32, -4.0, 2.0, 2.0, 0.0, 6.0]);
    /// let pruned = BsrMatrix::prune(&dense, (1, 2), BlockBudget::Count(2))?;
    /// assert_eq!(pruned.to_dense()?.data(), [1.0, -4.0, 0.0, 0.0, 0.0, 6.0]);
    /// # Ok::<(), sparse_core::prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`BlockSelection::by_magnitude`].
    pub fn prune<'a>(
        dense: impl Into<MatrixView<'a, T>>,
        block: (usize, usize),
        keep: BlockBudget,
    ) -> Result<Self, PruneError> {
        let dense = dense.into();
        let selection = BlockSelection::by_magnitude(dense, block, Norm::L1, keep)?;
        Ok(Self::from_selection(dense, &selection)?)
    }
}

fn best_blocks<T: Element>(
    matrix: MatrixView<'_, T>,
    block: (usize, usize),
    budget: BlockBudget,
    score: impl Fn(T) -> f64,
) -> Result<BlockSelection, PruneError> {
    let layout = BsrLayout::try_new(matrix.rows(), matrix.cols(), block)?;
    check_numbers(matrix)?;
    let block_cols = layout.block_cols();
    let what = || layout.describe_list();
    let mut scores = filled(layout.block_count(), 0.0, what, TAKE_LARGER_BLOCKS)?;
    for (i, sum_of_block) in scores.iter_mut().enumerate() {
        let (rows, cols) = (
            layout.rows_of(i / block_cols),
            layout.cols_of(i % block_cols),
        );
        *sum_of_block = sum(matrix, rows, cols, &score)?;
    }
    select(layout, budget, |scope, all, count| {
        highest_of(all, &scores[scope], count)
    })
}

/// Keeps of each scope of blocks (row-major) the ones that `choose(scope, all, count)` names, counted from its start; `all` are theirs.
fn select(
    layout: BsrLayout,
    budget: BlockBudget,
    mut choose: impl FnMut(Range<usize>, Vec<usize>, usize) -> Vec<usize>,
) -> Result<BlockSelection, PruneError> {
    let quota = budget.resolve(&layout)?;
    let what = || layout.describe_list();
    let mut keep = filled(layout.block_count(), false, what, TAKE_LARGER_BLOCKS)?;
    // A scope without blocks means that there are no blocks at all.
    for start in (0..keep.len()).step_by(quota.len.max(1)) {
        let mut all = room_for(quota.len, what, TAKE_LARGER_BLOCKS)?;
        all.extend(0..quota.len);
        for i in choose(start..start + quota.len, all, quota.count) {
            keep[start + i] = true;
        }
    }
    Ok(BlockSelection::choose(layout, |block_row, block_col| {
        keep[block_row * layout.block_cols() + block_col]
    })?)
}
