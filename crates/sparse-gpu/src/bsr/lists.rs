//! The lists of a block-sparse matrix, and the order in which workgroups take them.

use std::ops::Range;

use sparse_core::bsr::BlockColumns;

use crate::{Error, Gpu};

/// Which blocks the block rows of a matrix have, or its block columns; all of its blocks or a run of them.
#[derive(Clone, Debug)]
pub(crate) struct BsrLists {
    /// Where each list starts, and the end.
    pub(crate) indptr: wgpu::Buffer,
    /// Of each block of a row its block column; of a column its block row and its number among all blocks.
    pub(crate) entries: wgpu::Buffer,
    /// The lists in an order that shares out long and short ones, and then in their own.
    pub(crate) order: wgpu::Buffer,
    /// A copy for slicing.
    pub(crate) host_indptr: Vec<u32>,
    /// Numbers of the blocks in these lists.
    pub(crate) blocks: Range<usize>,
}

impl BsrLists {
    /// Bytes in GPU memory.
    pub(super) fn bytes(&self) -> u64 {
        self.indptr.size() + self.entries.size() + self.order.size()
    }

    /// Copies the lists of `blocks` to the GPU, with an order for them.
    pub(super) fn upload(
        gpu: &Gpu,
        indptr: &[u32],
        entries: &[u32],
        blocks: Range<usize>,
    ) -> Result<Self, Error> {
        let order = order(indptr, gpu.is_software());
        Ok(Self {
            indptr: gpu.upload_words("block pointers", indptr)?,
            entries: gpu.upload_words("block indices", entries)?,
            order: gpu.upload_words("order of block lists", &order)?,
            host_indptr: indptr.to_vec(),
            blocks,
        })
    }
}

/// Bytes of the order of so many lists, which is the longest of what is bound whole: two words of each.
pub(crate) const fn order_bytes(lists: usize) -> u64 {
    (lists as u64).saturating_mul(8)
}

/// The lists of the block columns, of those blocks only.
pub(super) fn of_blocks(columns: &BlockColumns, blocks: &Range<usize>) -> BlockColumns {
    let mut run = columns.clone();
    run.entries.clear();
    for (column, ends) in columns.indptr.windows(2).enumerate() {
        let of_column = &columns.entries[ends[0] as usize..ends[1] as usize];
        let inside = |&[_, block]: &[u32; 2]| blocks.contains(&(block as usize));
        run.entries.extend(of_column.iter().copied().filter(inside));
        run.indptr[column + 1] = u32::try_from(run.entries.len()).unwrap_or(u32::MAX);
    }
    run
}

/// The numbers of the lists in the order in which workgroups take them, and after that in their own.
///
/// A GPU hands out workgroups one by one: the longest first, so that none is left at the end. A driver on a processor gives each thread a
/// run of neighbours: ranks by length are dealt so that each run has its share of long and short ones (bit reversal).
fn order(indptr: &[u32], runs: bool) -> Vec<u32> {
    let own = || 0..u32::try_from(indptr.len() - 1).unwrap_or(u32::MAX);
    let length = |list: u32| {
        let list = list as usize;
        indptr[list + 1] - indptr[list]
    };
    let mut ranked: Vec<u32> = own().collect();
    ranked.sort_by_key(|&list| std::cmp::Reverse(length(list)));
    let alike = ranked.first().map(|&list| length(list)) == ranked.last().map(|&list| length(list));
    let mut order: Vec<u32> = if alike || !runs {
        ranked
    } else {
        let bits = ranked.len().next_power_of_two().trailing_zeros();
        (0..1_usize << bits)
            .map(|i| i.reverse_bits() >> (usize::BITS - bits))
            .filter_map(|rank| ranked.get(rank).copied())
            .collect()
    };
    order.extend(own());
    order
}

#[cfg(test)]
mod tests {
    use sparse_core::BlockSelection;

    use super::*;

    #[test]
    fn lists_of_one_length_stay_in_their_order() {
        for runs in [false, true] {
            assert_eq!(order(&[0, 2, 4, 6], runs), [0, 1, 2, 0, 1, 2]);
            assert_eq!(order(&[0], runs), [0_u32; 0]);
            assert_eq!(order(&[0, 5], runs), [0, 0]);
            let bytes = 4 * order(&[0, 2, 4, 6], runs).len() as u64;
            assert_eq!(bytes, order_bytes(3));
        }
    }

    #[test]
    fn runs_of_blocks_share_out_the_block_columns() {
        let selection = BlockSelection::new(8, 12, (4, 4), vec![0, 2, 5], vec![0, 2, 0, 1, 2]);
        let columns = selection.by_column().unwrap();
        assert_eq!(of_blocks(&columns, &(0..5)), columns);
        let run = of_blocks(&columns, &(1..4));
        assert_eq!(run.indptr, [0, 1, 2, 3]);
        assert_eq!(run.entries, [[1, 2], [1, 3], [0, 1]]);
        assert_eq!(of_blocks(&columns, &(5..5)).indptr, [0, 0, 0, 0]);
    }

    #[test]
    fn a_gpu_takes_the_longest_first() {
        assert_eq!(order(&[0, 1, 4, 4, 6], false)[..4], [1, 3, 0, 2]);
    }

    #[test]
    fn every_run_of_a_processor_has_its_share() {
        // The first half of the lists is long, the other short.
        let indptr: Vec<u32> = (0..=64)
            .map(|i| if i < 32 { 10 * i } else { 320 + (i - 32) })
            .collect();
        let order = order(&indptr, true);
        for run in order[..64].chunks(8) {
            assert_eq!(run.iter().filter(|&&list| list < 32).count(), 4);
        }
        let mut all = order[..64].to_vec();
        all.sort_unstable();
        assert_eq!(all, order[64..]);
    }
}
