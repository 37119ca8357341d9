//! The kept blocks by block column: what products with the transpose walk, without moving a value.

use crate::bsr::TAKE_LARGER_BLOCKS;
use crate::memory::filled;
use crate::{BlockSelection, OutOfMemory};

/// The kept blocks of each block column, top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockColumns {
    /// Where each block column starts in `entries`; `block_cols + 1` entries.
    pub indptr: Vec<u32>,
    /// Of each kept block its block row and its number in storage order.
    pub entries: Vec<[u32; 2]>,
}

impl BlockSelection {
    /// The same blocks by block column.
    ///
    /// ```
    /// use sparse_core::BlockSelection;
    /// // Block row 0 has the columns 0 and 1, block row 1 has column 0.
    /// let selection = BlockSelection::new(8, 8, (4, 4), vec![0, 2, 3], vec![0, 1, 0]);
    /// let columns = selection.by_column()?;
    /// assert_eq!(columns.indptr, [0, 2, 3]);
    /// assert_eq!(columns.entries, [[0, 0], [1, 2], [0, 1]]);
    /// # Ok::<(), sparse_core::OutOfMemory>(())
    /// ```
    ///
    /// # Errors
    /// [`OutOfMemory`]: a few blocks may belong to a matrix of up to 2^32 block columns.
    pub fn by_column(&self) -> Result<BlockColumns, OutOfMemory> {
        let what = || self.layout().describe_list();
        let ends = self.layout().block_cols() + 1;
        let mut indptr = filled(ends, 0_u32, what, TAKE_LARGER_BLOCKS)?;
        for &column in self.indices() {
            indptr[column as usize + 1] += 1;
        }
        for column in 1..indptr.len() {
            indptr[column] += indptr[column - 1];
        }
        let mut next = filled(ends, 0, what, TAKE_LARGER_BLOCKS)?;
        next.copy_from_slice(&indptr);
        let mut entries = filled(self.count(), [0; 2], what, TAKE_LARGER_BLOCKS)?;
        // Storage order is by block row, so that each column's blocks come top to bottom.
        for (number, (row, column)) in (0_u32..).zip(self.blocks()) {
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            entries[next[column] as usize] = [row, number];
            next[column] += 1;
        }
        Ok(BlockColumns { indptr, entries })
    }
}

#[cfg(test)]
mod tests {
    use crate::{BlockBudget, BlockSelection};

    #[test]
    fn every_block_is_listed_in_its_column_from_top_to_bottom() {
        for seed in 0..20 {
            let half = BlockBudget::Density(0.5);
            let selection = BlockSelection::at_random(11, 23, (2, 3), half, seed).unwrap();
            let columns = selection.by_column().unwrap();
            assert_eq!(columns.indptr.len(), 9);
            for column in 0..8 {
                let of_column = (0_u32..).zip(selection.blocks());
                let expected: Vec<[u32; 2]> = of_column
                    .filter(|&(_, (_, of_block))| of_block == column)
                    .map(|(number, (row, _))| [u32::try_from(row).unwrap(), number])
                    .collect();
                let list = columns.indptr[column] as usize..columns.indptr[column + 1] as usize;
                assert_eq!(columns.entries[list], expected, "column {column}");
            }
        }
    }
}
