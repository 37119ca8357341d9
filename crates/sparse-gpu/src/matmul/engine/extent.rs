//! Where the weights of a range of strips lie in the arrays of their format.

use std::ops::Range;

use super::schedule::Schedule;
use crate::matmul::weights::Weights;

/// Which units of which array belong to a range of strips: what slicing needs to know of a format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent<'a> {
    /// Rows of w in a strip, as they are counted in y.
    pub(super) strip_rows: usize,
    /// Bytes of a unit of the indices.
    pub(super) index_bytes: u64,
    n_out: usize,
    /// Units of one row of values: 4 elements, or one in unaligned walks.
    row_units: u64,
    /// Of N:M weights.
    index_strip: Option<IndexStrip>,
    /// Of block-sparse ones.
    blocks: Option<BlockLists<'a>>,
}

/// Rows of w that share packed indices, and the words of those.
#[derive(Clone, Copy, Debug)]
struct IndexStrip {
    rows: usize,
    words: u64,
}

/// Where the lists of blocks start, and the units of a block's values.
#[derive(Clone, Copy, Debug)]
struct BlockLists<'a> {
    indptr: &'a [u32],
    block_units: u64,
}

impl<'a> Extent<'a> {
    pub(super) fn new(schedule: &Schedule, weights: Weights<'a>) -> Self {
        let transposed = schedule.problem.transposed.w;
        let index_strip = match weights {
            Weights::Nm(nm) => Some(IndexStrip {
                rows: nm.pattern().v(),
                words: nm.words_per_strip as u64,
            }),
            _ => None,
        };
        let blocks = match (weights, weights.lists(transposed, 0)) {
            (Weights::Bsr(bsr), Some(lists)) => Some(BlockLists {
                indptr: &lists.host_indptr,
                block_units: (bsr.block_stride() / 4) as u64,
            }),
            _ => None,
        };
        Self {
            strip_rows: schedule.strip_rows(),
            // An entry of a block column's list has two words.
            index_bytes: if transposed && blocks.is_some() { 8 } else { 4 },
            n_out: schedule.problem.n_out,
            row_units: (schedule.weight_row_len() / schedule.weight_unit()) as u64,
            index_strip,
            blocks,
        }
    }

    /// Strips of w.
    pub(super) fn strips(&self) -> usize {
        self.n_out.div_ceil(self.strip_rows)
    }

    /// Rows of w that `strips` are.
    pub(super) fn rows(&self, strips: &Range<usize>) -> Range<usize> {
        strips.start * self.strip_rows..strips.end.saturating_mul(self.strip_rows).min(self.n_out)
    }

    /// Units of the values that `strips` need.
    pub(super) fn values(&self, strips: &Range<usize>) -> Range<u64> {
        match self.blocks {
            Some(lists) => self.values_of_blocks(&lists.blocks(strips)),
            None => self.values_of_rows(&self.rows(strips)),
        }
    }

    /// Words of the indices that `strips` need, or entries of their lists of blocks.
    pub(super) fn indices(&self, strips: &Range<usize>) -> Range<u64> {
        match self.blocks {
            Some(lists) => lists.blocks(strips),
            None => self.indices_of_rows(&self.rows(strips)),
        }
    }

    /// Units of the values of some stored rows.
    pub(super) fn values_of_rows(&self, rows: &Range<usize>) -> Range<u64> {
        rows.start as u64 * self.row_units..rows.end as u64 * self.row_units
    }

    /// Words of the indices of some stored rows.
    pub(super) fn indices_of_rows(&self, rows: &Range<usize>) -> Range<u64> {
        let Some(strip) = self.index_strip else {
            return 0..0;
        };
        let (first, last) = (rows.start / strip.rows, rows.end.div_ceil(strip.rows));
        first as u64 * strip.words..last as u64 * strip.words
    }

    /// Units of the values of some blocks.
    pub(super) fn values_of_blocks(&self, blocks: &Range<u64>) -> Range<u64> {
        let units = self.blocks.map_or(0, |lists| lists.block_units);
        blocks.start * units..blocks.end * units
    }

    /// Lists of blocks that there are.
    pub(super) fn lists(&self) -> usize {
        self.blocks.map_or(0, |lists| lists.indptr.len() - 1)
    }
}

impl BlockLists<'_> {
    /// Entries of some lists; of block rows they are the numbers of the blocks.
    fn blocks(&self, lists: &Range<usize>) -> Range<u64> {
        u64::from(self.indptr[lists.start])..u64::from(self.indptr[lists.end])
    }
}
