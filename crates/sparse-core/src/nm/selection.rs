//! Which positions of a matrix an N:M pattern keeps, before any value is moved.

use crate::OutOfMemory;
use crate::nm::{Nm, NmError, NmLayout, packing};

/// What helps where there is no memory for indices.
pub(crate) const LET_ROWS_SHARE: &str = "let more rows share a pattern, or split the matrix";

/// The positions that an N:M pattern keeps in a `rows x cols` matrix, the outcome of a pruning method.
///
/// Every group has exactly `n` slots. Where a group has fewer than `n` columns left (only the tail group can), the
/// other slots stand for positions past the last column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NmSelection {
    layout: NmLayout,
    indices: Vec<u8>,
}

impl NmSelection {
    /// Wraps `indices [strips, groups * n]`, the kept positions within each group, strictly increasing.
    ///
    /// # Errors
    /// [`NmError::TooLarge`], [`NmError::IndicesLength`], [`NmError::IndexOutOfRange`] and
    /// [`NmError::IndexNotIncreasing`].
    pub fn try_new(
        rows: usize,
        cols: usize,
        pattern: Nm,
        indices: Vec<u8>,
    ) -> Result<Self, NmError> {
        let layout = NmLayout::try_new(rows, cols, pattern)?;
        check_indices(&layout, &indices)?;
        Ok(Self { layout, indices })
    }

    /// As [`NmSelection::try_new`].
    ///
    /// # Panics
    /// Where `try_new` gives an error.
    #[track_caller]
    pub fn new(rows: usize, cols: usize, pattern: Nm, indices: Vec<u8>) -> Self {
        Self::try_new(rows, cols, pattern, indices).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Asks `choose` for the kept positions of each strip and group in turn.
    ///
    /// `choose(rows of the strip, first column of the group, real columns of the group, kept)` appends the positions
    /// it keeps, all below the real columns, to `kept`, in any order. What is missing to `n` is filled up with the
    /// lowest positions that are free, so that the slots of a group never depend on the method's order.
    pub(crate) fn choose(
        layout: NmLayout,
        mut choose: impl FnMut(std::ops::Range<usize>, usize, usize, &mut Vec<u8>),
    ) -> Result<Self, OutOfMemory> {
        let (n, m) = (layout.pattern.n(), layout.pattern.m());
        let mut indices = layout.room_for(layout.indices_len(), "indices", LET_ROWS_SHARE)?;
        let mut kept = Vec::with_capacity(m);
        for strip in layout.filled_strips() {
            for group in 0..layout.groups() {
                let first_column = group * m;
                kept.clear();
                choose(
                    layout.strip_rows(strip),
                    first_column,
                    m.min(layout.cols - first_column),
                    &mut kept,
                );
                let free = layout.pattern.positions().filter(|p| !kept.contains(p));
                let filling: Vec<u8> = free.take(n - kept.len()).collect();
                kept.extend(filling);
                kept.sort_unstable();
                indices.extend_from_slice(&kept);
            }
        }
        Ok(Self { layout, indices })
    }

    /// The positions that the constructors of a matrix have packed.
    pub(crate) fn unpack(layout: NmLayout, packed: &[u32]) -> Result<Self, OutOfMemory> {
        let indices = unpack_indices(&layout, packed)?;
        Ok(Self { layout, indices })
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    /// The pattern.
    pub fn pattern(&self) -> Nm {
        self.layout.pattern
    }

    /// Kept positions within each group, `[strips, groups * n]`.
    pub fn indices(&self) -> &[u8] {
        &self.indices
    }

    /// Whether the weight at `(row, col)` is kept.
    ///
    /// # Panics
    /// Where the position is out of range.
    #[track_caller]
    pub fn keeps(&self, row: usize, col: usize) -> bool {
        assert!(
            row < self.rows() && col < self.cols(),
            "({row}, {col}) is outside of a {} x {} matrix",
            self.rows(),
            self.cols()
        );
        let (n, m) = (self.pattern().n(), self.pattern().m());
        let slot = row / self.pattern().v() * self.layout.kept_per_row() + col / m * n;
        self.indices[slot..slot + n]
            .iter()
            .any(|&position| usize::from(position) == col % m)
    }

    /// Kept weights of the real matrix; slots past the last column do not count.
    pub fn count(&self) -> usize {
        let kept_per_row = self.layout.kept_per_row();
        self.layout
            .filled_strips()
            .map(|strip| {
                let real_slots = (0..kept_per_row)
                    .filter(|&kept| {
                        let index = self.indices[strip * kept_per_row + kept];
                        self.layout.column(kept, usize::from(index)) < self.cols()
                    })
                    .count();
                real_slots * self.layout.strip_rows(strip).len()
            })
            .sum()
    }

    /// Kept share of the real matrix; 0 for an empty one.
    pub fn density(&self) -> f64 {
        match self.rows() * self.cols() {
            0 => 0.0,
            all => self.count() as f64 / all as f64,
        }
    }

    pub(crate) fn layout(&self) -> NmLayout {
        self.layout
    }
}

/// The positions in as many words as the layout has. One of four or eight bits may exceed its group.
pub(crate) fn unpack_indices(layout: &NmLayout, packed: &[u32]) -> Result<Vec<u8>, OutOfMemory> {
    let mut indices = layout.room_for(layout.indices_len(), "indices", LET_ROWS_SHARE)?;
    // Without columns there is nothing to unpack.
    for strip in packed.chunks(layout.words_per_strip().max(1)) {
        let slots = 0..layout.kept_per_row();
        indices.extend(slots.map(|slot| packing::unpack(strip, slot, layout.index_bits())));
    }
    Ok(indices)
}

/// Checks length, range and order of unpacked indices.
pub(crate) fn check_indices(layout: &NmLayout, indices: &[u8]) -> Result<(), NmError> {
    let (n, m) = (layout.pattern.n(), layout.pattern.m());
    let kept_per_row = layout.kept_per_row();
    if indices.len() != layout.indices_len() {
        return Err(NmError::IndicesLength {
            pattern: layout.pattern,
            strips: layout.strips(),
            kept_per_row,
            expected: layout.indices_len(),
            actual: indices.len(),
        });
    }
    for (slot, &index) in indices.iter().enumerate() {
        let (strip, kept) = (slot / kept_per_row, slot % kept_per_row);
        if usize::from(index) >= m {
            return Err(NmError::IndexOutOfRange {
                strip,
                kept,
                index,
                m,
            });
        }
        if kept % n > 0 && indices[slot - 1] >= index {
            return Err(NmError::IndexNotIncreasing {
                strip,
                kept,
                previous: indices[slot - 1],
                index,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_that_no_memory_holds_is_an_error() {
        let (rows, cols) = (1 << 20, 1 << 38);
        assert_eq!(
            NmSelection::at_random(rows, cols, Nm::TWO_FOUR, 0)
                .unwrap_err()
                .to_string(),
            "there is no memory for the 144115188075855872 indices of a 1048576 x 274877906944 matrix of pattern 2:4, \
             144115188075855872 bytes; let more rows share a pattern, or split the matrix"
        );
    }
}
