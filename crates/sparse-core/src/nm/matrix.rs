//! A matrix compressed to its kept weights and their positions.

use crate::nm::selection::{LET_ROWS_SHARE, check_indices, unpack_indices};
use crate::nm::{Nm, NmError, NmLayout, NmSelection, packing};
use crate::prune::check_nm;
use crate::{Element, Matrix, MatrixView, OutOfMemory};

/// A `rows x cols` matrix of which each group of `m` consecutive columns keeps `n` weights; strips of `v` consecutive
/// rows keep the same positions (the last strip may be shorter). Memory layout: `docs/FORMATS.md`.
///
/// Where `cols` is no multiple of `m`, the tail group is padded with zero columns; slots that stand for them hold
/// zeros and are no part of the matrix.
///
/// ```
/// use sparse_core::{Matrix, Nm, NmMatrix};
/// let dense = Matrix::new(1, 4, vec![0.0_f32, 3.0, 0.0, 5.0]);
/// let compressed = NmMatrix::from_dense(&dense, Nm::TWO_FOUR)?;
/// assert_eq!(compressed.values(), [3.0, 5.0]);
/// assert_eq!(compressed.column(0, 1), 3);
/// assert_eq!(compressed.to_dense()?, dense);
/// # Ok::<(), sparse_core::NmError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NmMatrix<T> {
    layout: NmLayout,
    values: Vec<T>,
    packed_indices: Vec<u32>,
}

impl<T: Element> NmMatrix<T> {
    /// Wraps `values [rows, groups * n]` and `indices [strips, groups * n]`, the position of each kept weight within
    /// its group of `m` columns.
    ///
    /// # Errors
    /// [`NmError::TooLarge`], [`NmError::IndicesLength`], [`NmError::IndexOutOfRange`],
    /// [`NmError::IndexNotIncreasing`], [`NmError::ValuesLength`], [`NmError::NonzeroPadding`] and [`NmError::OutOfMemory`].
    pub fn try_new(
        rows: usize,
        cols: usize,
        pattern: Nm,
        values: Vec<T>,
        indices: &[u8],
    ) -> Result<Self, NmError> {
        let layout = NmLayout::try_new(rows, cols, pattern)?;
        check_indices(&layout, indices)?;
        if values.len() != layout.values_len() {
            return Err(NmError::ValuesLength {
                pattern,
                rows,
                kept_per_row: layout.kept_per_row(),
                expected: layout.values_len(),
                actual: values.len(),
            });
        }
        let matrix = Self {
            layout,
            values,
            packed_indices: pack_strips(&layout, indices)?,
        };
        matrix.check_padding()?;
        Ok(matrix)
    }

    /// As [`NmMatrix::try_new`].
    ///
    /// # Panics
    /// Where `try_new` gives an error.
    #[track_caller]
    pub fn new(rows: usize, cols: usize, pattern: Nm, values: Vec<T>, indices: &[u8]) -> Self {
        Self::try_new(rows, cols, pattern, values, indices).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Wraps `values [rows, groups * n]` and the words of [`NmMatrix::packed_indices`], as files and devices hold them.
    ///
    /// # Errors
    /// [`NmError::PackedLength`], [`NmError::UnusedBits`], and those of [`NmMatrix::try_new`] but [`NmError::IndicesLength`].
    pub fn try_from_packed(
        rows: usize,
        cols: usize,
        pattern: Nm,
        values: Vec<T>,
        packed_indices: &[u32],
    ) -> Result<Self, NmError> {
        let layout = NmLayout::try_new(rows, cols, pattern)?;
        let indices = unpack_strips(&layout, packed_indices)?;
        let matrix = Self::try_new(rows, cols, pattern, values, &indices)?;
        let differing = packed_indices.iter().zip(&matrix.packed_indices);
        match differing.enumerate().find(|(_, (given, own))| given != own) {
            Some((word, _)) => Err(NmError::UnusedBits {
                strip: word / layout.words_per_strip(),
            }),
            None => Ok(matrix),
        }
    }

    /// Compresses a matrix that already obeys `pattern`; see `prune` for one that does not.
    ///
    /// Every nonzero is kept bit by bit (NaN payloads too). `-0.0` counts as zero, and where it falls on no slot it
    /// comes back as `0.0`. A group with fewer than `n` nonzero columns stores zeros of its lowest other columns.
    ///
    /// # Errors
    /// [`NmError::Violation`] with the first group that keeps too many; [`NmError::TooLarge`] and [`NmError::OutOfMemory`].
    pub fn from_dense<'a>(
        dense: impl Into<MatrixView<'a, T>>,
        pattern: Nm,
    ) -> Result<Self, NmError> {
        let dense = dense.into();
        check_nm(dense, pattern).map_err(NmError::Violation)?;
        let layout = NmLayout::try_new(dense.rows(), dense.cols(), pattern)?;
        let selection = NmSelection::choose(layout, |rows, first_column, width, kept| {
            kept.extend(pattern.positions().take(width).filter(|&position| {
                let column = first_column + usize::from(position);
                rows.clone().any(|row| !dense.get(row, column).is_zero())
            }));
        })?;
        Self::from_selection(dense, &selection)
    }

    /// Compresses `dense` to the positions of `selection` and drops everything else.
    ///
    /// # Errors
    /// [`NmError::SelectionShape`] where the selection is for another shape; [`NmError::OutOfMemory`].
    pub fn from_selection<'a>(
        dense: impl Into<MatrixView<'a, T>>,
        selection: &NmSelection,
    ) -> Result<Self, NmError> {
        let dense = dense.into();
        let layout = selection.layout();
        if (dense.rows(), dense.cols()) != (layout.rows, layout.cols) {
            return Err(NmError::SelectionShape {
                selected_rows: layout.rows,
                selected_cols: layout.cols,
                rows: dense.rows(),
                cols: dense.cols(),
            });
        }
        let mut matrix = Self {
            layout,
            values: layout.room_for(
                layout.values_len(),
                "kept weights",
                "keep fewer, or split the matrix",
            )?,
            packed_indices: pack_strips(&layout, selection.indices())?,
        };
        for row in layout.filled_rows() {
            for kept in 0..layout.kept_per_row() {
                let column = matrix.column(row / layout.pattern.v(), kept);
                let is_padding = column >= layout.cols;
                matrix.values.push(if is_padding {
                    T::ZERO
                } else {
                    dense.get(row, column)
                });
            }
        }
        Ok(matrix)
    }

    /// The matrix with its zeros written out.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn to_dense(&self) -> Result<Matrix<T>, OutOfMemory> {
        let mut dense = Matrix::allocate_zeros(self.rows(), self.cols())?;
        for row in self.layout.filled_rows() {
            for (column, value) in self.row(row) {
                dense.data_mut()[row * self.cols() + column] = value;
            }
        }
        Ok(dense)
    }

    /// The stored weights of one row as `(column, value)`, ascending; explicit zeros belong to them, padding does not.
    ///
    /// # Panics
    /// Where `row` is out of range.
    #[track_caller]
    pub fn row(&self, row: usize) -> impl Iterator<Item = (usize, T)> {
        assert!(
            row < self.rows(),
            "row {row} is outside of a matrix of {} rows",
            self.rows()
        );
        let kept_per_row = self.kept_per_row();
        let strip = row / self.pattern().v();
        self.values[row * kept_per_row..(row + 1) * kept_per_row]
            .iter()
            .enumerate()
            .map(move |(kept, &value)| (self.column(strip, kept), value))
            .filter(|&(column, _)| column < self.cols())
    }

    fn check_padding(&self) -> Result<(), NmError> {
        for row in self.layout.filled_rows() {
            // Only the tail group reaches past the last column.
            for kept in self.kept_per_row().saturating_sub(self.pattern().n())..self.kept_per_row()
            {
                let column = self.column(row / self.pattern().v(), kept);
                if column >= self.cols() && !self.values[row * self.kept_per_row() + kept].is_zero()
                {
                    return Err(NmError::NonzeroPadding {
                        row,
                        kept,
                        column,
                        cols: self.cols(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl<T> NmMatrix<T> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    /// The pattern.
    pub fn pattern(&self) -> Nm {
        self.layout.pattern
    }

    /// Groups of each row, `ceil(cols / m)`.
    pub fn groups(&self) -> usize {
        self.layout.groups()
    }

    /// Slots of each row, `groups * n`.
    pub fn kept_per_row(&self) -> usize {
        self.layout.kept_per_row()
    }

    /// Strips of rows that share their positions, `ceil(rows / v)`.
    pub fn strips(&self) -> usize {
        self.layout.strips()
    }

    /// Share of the weights that the pattern keeps, `n / m`.
    pub fn density(&self) -> f64 {
        self.pattern().density()
    }

    /// The positions that are kept, unpacked.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn selection(&self) -> Result<NmSelection, OutOfMemory> {
        NmSelection::unpack(self.layout, &self.packed_indices)
    }

    /// The kept weights, row-major `[rows, kept_per_row]`.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The packed positions, `[strips, words_per_strip]`: that of slot `j` sits in bits `(j * index_bits) % 32 ..` of
    /// word `(j * index_bits) / 32` of its strip. Unused bits are zero.
    pub fn packed_indices(&self) -> &[u32] {
        &self.packed_indices
    }

    /// Bits of one packed position: the smallest of 1, 2, 4 and 8 that holds `m - 1`.
    pub fn index_bits(&self) -> u32 {
        self.layout.index_bits()
    }

    /// Words of [`packed_indices`](Self::packed_indices) that each strip takes.
    pub fn words_per_strip(&self) -> usize {
        self.layout.words_per_strip()
    }

    /// The position within its group, `0..m`, of slot `kept` of every row of `strip`; slot `kept` belongs to group
    /// `kept / n`, and positions strictly increase inside a group.
    ///
    /// # Panics
    /// Where `strip` or `kept` is out of range.
    #[track_caller]
    pub fn index(&self, strip: usize, kept: usize) -> usize {
        assert!(
            strip < self.strips() && kept < self.kept_per_row(),
            "slot {kept} of strip {strip} is outside of {} strips of {} slots",
            self.strips(),
            self.kept_per_row()
        );
        let words = &self.packed_indices[strip * self.words_per_strip()..];
        packing::unpack(words, kept, self.index_bits()).into()
    }

    /// The column of slot `kept` of every row of `strip`. It may be `>= cols` in the tail group only, and then the
    /// values there are zero.
    ///
    /// # Panics
    /// Where `strip` or `kept` is out of range.
    #[track_caller]
    pub fn column(&self, strip: usize, kept: usize) -> usize {
        self.layout.column(kept, self.index(strip, kept))
    }
}

/// Each strip starts at a new word.
fn pack_strips(layout: &NmLayout, indices: &[u8]) -> Result<Vec<u32>, OutOfMemory> {
    let words = layout.filled_strips().len() * layout.words_per_strip();
    let mut packed = layout.room_for(words, "words of packed indices", LET_ROWS_SHARE)?;
    // `chunks` refuses a length of zero; without columns there is nothing to pack.
    for strip in indices.chunks(layout.kept_per_row().max(1)) {
        packed.extend(packing::pack(strip, layout.index_bits()));
    }
    Ok(packed)
}

/// What [`pack_strips`] has packed. A position of four or eight bits may exceed its group.
fn unpack_strips(layout: &NmLayout, packed: &[u32]) -> Result<Vec<u8>, NmError> {
    let words_per_strip = layout.words_per_strip();
    let expected = layout.filled_strips().len() * words_per_strip;
    if packed.len() != expected {
        return Err(NmError::PackedLength {
            pattern: layout.pattern,
            strips: layout.strips(),
            words_per_strip,
            expected,
            actual: packed.len(),
        });
    }
    Ok(unpack_indices(layout, packed)?)
}
