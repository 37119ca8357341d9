//! Which structure does a dense matrix already have?

use std::cmp::Reverse;

use crate::prune::check_nm;
use crate::{BlockSelection, BsrError, Element, MatrixView, Nm};

/// The patterns that [`detect_nm`] is usually asked for: the usual N:M from 1:32 to 16:32, each for strips of 1, 4, 8,
/// 16 and 32 rows.
pub fn default_ladder() -> Vec<Nm> {
    let groups = [4, 8, 16, 32];
    let pairs = groups.iter().flat_map(|&m| {
        (0..)
            .map(|p| 1 << p)
            .take_while(move |n| 2 * n <= m)
            .map(move |n| (n, m))
    });
    std::iter::once((1, 2))
        .chain(pairs)
        .flat_map(|(n, m)| [1, 4, 8, 16, 32].map(|v| Nm::new(n, m, v)))
        .collect()
}

/// The tightest pattern of `ladder` that `dense` obeys: the one that stores fewest weights; among equals that of the
/// shortest groups, and then that of the most rows per strip. Strips taller than the matrix, and patterns that store
/// as much as the dense matrix, are not considered. `None` where no pattern is left that holds.
///
/// ```
/// use sparse_core::{Matrix, Nm, prune::{default_ladder, detect_nm}};
/// let dense = Matrix::new(1, 8, vec![1.0_f32, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 4.0]);
/// assert_eq!(detect_nm(&dense, &default_ladder()), Some(Nm::TWO_FOUR));
/// ```
pub fn detect_nm<'a, T: Element>(dense: impl Into<MatrixView<'a, T>>, ladder: &[Nm]) -> Option<Nm> {
    let dense = dense.into();
    // Slots rather than the density: a group longer than the row would otherwise always seem tightest.
    let slots_per_row = |p: &Nm| dense.cols().div_ceil(p.m()).saturating_mul(p.n());
    let mut candidates: Vec<Nm> = ladder
        .iter()
        .copied()
        .filter(|p| p.v() <= dense.rows() && slots_per_row(p) < dense.cols())
        .collect();
    candidates.sort_by_key(|p| (slots_per_row(p), p.m(), Reverse(p.v())));
    candidates
        .into_iter()
        .find(|&pattern| check_nm(dense, pattern).is_ok())
}

/// How many blocks of one shape hold any nonzero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockOccupancy {
    /// Rows and columns of a block.
    pub block: (usize, usize),
    /// Blocks with a nonzero.
    pub nonzero: usize,
    /// Share of all blocks; 0 where there are none.
    pub density: f64,
}

/// The occupancy of each of the block shapes `candidates`, in their order. `-0.0` is zero; NaN is not.
///
/// # Errors
/// [`BsrError::EmptyBlock`], [`BsrError::TooLarge`] and [`BsrError::OutOfMemory`].
pub fn detect_blocks<'a, T: Element>(
    dense: impl Into<MatrixView<'a, T>>,
    candidates: &[(usize, usize)],
) -> Result<Vec<BlockOccupancy>, BsrError> {
    let dense = dense.into();
    candidates
        .iter()
        .map(|&block| {
            let nonzero = BlockSelection::of_nonzeros(dense, block)?;
            Ok(BlockOccupancy {
                block,
                nonzero: nonzero.count(),
                density: nonzero.density(),
            })
        })
        .collect()
}

/// Share of the elements that are not zero, whatever their structure; 0 for an empty matrix.
pub fn nonzero_share<'a, T: Element>(dense: impl Into<MatrixView<'a, T>>) -> f64 {
    let dense = dense.into();
    if dense.rows() == 0 || dense.cols() == 0 {
        return 0.0;
    }
    let nonzero: usize = (0..dense.rows())
        .map(|row| {
            (0..dense.cols())
                .filter(|&col| !dense.get(row, col).is_zero())
                .count()
        })
        .sum();
    nonzero as f64 / (dense.rows() as f64 * dense.cols() as f64)
}
