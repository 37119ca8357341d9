//! Prune-check: does a dense matrix already have a pattern?

use crate::prune::{BlockBudget, PruneError};
use crate::{BlockSelection, Element, MatrixView, Nm};

/// The first group, by rows and then by columns, that has more nonzeros than its pattern allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "pattern {pattern} does not hold: {place}, group {group} (columns from {first_column}) has {count} nonzero \
     columns, {allowed} are allowed; column {column} is the first too many",
    place = self.place(), first_column = group * pattern.m(), allowed = pattern.n()
)]
pub struct NmViolation {
    /// The pattern asked for.
    pub pattern: Nm,
    /// First row of the strip (with `v = 1`, the row).
    pub row: usize,
    /// Group within the row.
    pub group: usize,
    /// Column of the first nonzero that is too many.
    pub column: usize,
    /// Columns of the group that hold a nonzero in any row of the strip.
    pub count: usize,
}

impl NmViolation {
    fn place(&self) -> String {
        match self.pattern.v() {
            1 => format!("row {}", self.row),
            v => format!(
                "the strip of rows {}..{}",
                self.row,
                self.row.saturating_add(v)
            ),
        }
    }
}

/// Whether `dense` obeys `pattern`: in each strip of `v` rows, each group of `m` consecutive columns has at most `n`
/// columns with a nonzero. The tail group counts as padded with zeros. `-0.0` is zero; NaN is not.
///
/// ```
/// use sparse_core::{Matrix, Nm, prune::check_nm};
/// let dense = Matrix::new(1, 4, vec![1.0_f32, 0.0, 2.0, 3.0]);
/// let violation = check_nm(&dense, Nm::TWO_FOUR).unwrap_err();
/// assert_eq!((violation.row, violation.group, violation.column, violation.count), (0, 0, 3, 3));
/// ```
///
/// # Errors
/// The first violation.
pub fn check_nm<'a, T: Element>(
    dense: impl Into<MatrixView<'a, T>>,
    pattern: Nm,
) -> Result<(), NmViolation> {
    let dense = dense.into();
    if dense.cols() == 0 {
        return Ok(());
    }
    for strip in 0..dense.rows().div_ceil(pattern.v()) {
        let row = strip * pattern.v();
        let rows = row..row.saturating_add(pattern.v()).min(dense.rows());
        for group in 0..dense.cols().div_ceil(pattern.m()) {
            let first_column = group * pattern.m();
            let end = first_column.saturating_add(pattern.m()).min(dense.cols());
            let nonzero: Vec<usize> = (first_column..end)
                .filter(|&column| rows.clone().any(|r| !dense.get(r, column).is_zero()))
                .collect();
            if let Some(&column) = nonzero.get(pattern.n()) {
                return Err(NmViolation {
                    pattern,
                    row,
                    group,
                    column,
                    count: nonzero.len(),
                });
            }
        }
    }
    Ok(())
}

/// Whether `dense` has no more nonzero `block`s than `budget` allows. `-0.0` is zero; NaN is not.
///
/// # Errors
/// [`PruneError::BlockViolation`] with the first block too many, in row-major order; otherwise the errors of the
/// budget and of [`BlockSelection::try_new`].
pub fn check_blocks<'a, T: Element>(
    dense: impl Into<MatrixView<'a, T>>,
    block: (usize, usize),
    budget: BlockBudget,
) -> Result<(), PruneError> {
    let nonzero = BlockSelection::of_nonzeros(dense.into(), block)?;
    let layout = nonzero.layout();
    let quota = budget.resolve(&layout)?;
    let mut found = 0;
    let mut current_scope = 0;
    for (block_row, block_col) in nonzero.blocks() {
        let scope = (block_row * layout.block_cols() + block_col) / quota.len;
        if scope != current_scope {
            current_scope = scope;
            found = 0;
        }
        found += 1;
        if found > quota.count {
            return Err(PruneError::BlockViolation {
                block_row,
                block_col,
                allowed: quota.count,
                scope: quota.scope,
            });
        }
    }
    Ok(())
}
