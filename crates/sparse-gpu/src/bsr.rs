//! Block-sparse operands in GPU memory.

use std::ops::Range;

use sparse_core::bsr::BlockColumns;
use sparse_core::{BlockSelection, BsrMatrix, DType, Element};

use crate::tensor::refuse_other_device;
use crate::window::fit_in_window;
use crate::{Error, Gpu, GpuTensor};

/// A block-sparse matrix in GPU memory: blocks `[nnz_blocks, br, bc]` with block rows padded to a multiple of 4 elements, the list of each
/// block row, and the list of each block column, which points at the same blocks: products with the transpose copy no value.
#[derive(Clone, Debug)]
pub struct GpuBsr {
    pub(crate) values: wgpu::Buffer,
    pub(crate) by_row: BsrLists,
    /// One, or, where the values exceed a binding, one for each run of blocks that fits.
    pub(crate) by_column: Vec<BsrLists>,
    /// Block row and block column of each block.
    pub(crate) places: wgpu::Buffer,
    selection: BlockSelection,
    dtype: DType,
    pub(crate) device: wgpu::Device,
}

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
    fn bytes(&self) -> u64 {
        self.indptr.size() + self.entries.size() + self.order.size()
    }
}

impl GpuBsr {
    /// `[rows, cols]` of the matrix.
    pub fn shape(&self) -> [usize; 2] {
        [self.selection.rows(), self.selection.cols()]
    }

    /// `(rows, columns)` of a block.
    pub fn block(&self) -> (usize, usize) {
        self.selection.block()
    }

    /// Which blocks are stored.
    pub fn selection(&self) -> &BlockSelection {
        &self.selection
    }

    /// Storage type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Stored blocks.
    pub fn nnz_blocks(&self) -> usize {
        self.selection.count()
    }

    /// Bytes in GPU memory.
    pub fn bytes(&self) -> u64 {
        let by_column: u64 = self.by_column.iter().map(BsrLists::bytes).sum();
        self.values.size() + self.by_row.bytes() + by_column + self.places.size()
    }

    /// Elements from one block to the next.
    pub(crate) fn block_stride(&self) -> usize {
        let (br, bc) = self.block();
        br * bc.next_multiple_of(4)
    }
}

impl GpuBsr {
    /// The values with their padding.
    fn values_tensor(&self) -> Result<GpuTensor, Error> {
        let len = self.nnz_blocks() * self.block_stride();
        GpuTensor::from_buffer(self.values.clone(), 0, &[len], self.dtype)
    }

    fn host<T: Element>(&self, padded: &[T]) -> Result<BsrMatrix<T>, Error> {
        let bc = self.block().1;
        let rows = padded.chunks(bc.next_multiple_of(4));
        let values = rows.flat_map(|row| &row[..bc]).copied().collect();
        let selection = &self.selection;
        let (indptr, indices) = (selection.indptr().to_vec(), selection.indices().to_vec());
        let shape = (selection.rows(), selection.cols());
        BsrMatrix::try_new(shape.0, shape.1, self.block(), indptr, indices, values).map_err(|e| {
            Error::Readback {
                bytes: self.values.size(),
                message: e.to_string(),
            }
        })
    }
}

impl Gpu {
    /// Copies a block-sparse matrix to the GPU.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`].
    pub fn upload_bsr<T: Element>(&self, matrix: &BsrMatrix<T>) -> Result<GpuBsr, Error> {
        let values = self.upload_padded("block values", matrix.values(), matrix.block().1)?;
        self.bsr(values, matrix.selection(), T::DTYPE)
    }

    /// A block-sparse matrix of zeros, for an operation to write.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::InvalidProblem`] where its bytes cannot be counted, [`Error::OutOfMemory`].
    pub fn empty_bsr(&self, selection: &BlockSelection, dtype: DType) -> Result<GpuBsr, Error> {
        let (br, bc) = selection.block();
        let bytes = [br, bc.next_multiple_of(4), dtype.bytes()]
            .iter()
            .try_fold(selection.count() as u64, |bytes, &n| {
                bytes.checked_mul(n as u64)
            });
        let bytes = bytes.ok_or_else(|| {
            let reason = format!(
                "{} blocks of {br} x {bc} have more bytes than can be addressed",
                selection.count()
            );
            Error::invalid("empty_bsr", reason)
        })?;
        let values = self.allocate("block values", bytes, GpuTensor::USAGES)?;
        self.bsr(values, selection, dtype)
    }

    /// Copies a block-sparse matrix back once everything submitted so far is done.
    ///
    /// # Errors
    /// Those of [`Gpu::read`], and [`Error::Readback`] where elements outside of the matrix are not zero: an operation that should have
    /// written the matrix did not.
    pub async fn read_bsr<T: Element>(&self, matrix: &GpuBsr) -> Result<BsrMatrix<T>, Error> {
        refuse_other_device(self, "read", "matrix", &matrix.device)?;
        let values = self.read::<T>(&matrix.values_tensor()?).await?;
        matrix.host(values.data())
    }

    /// As [`Gpu::read_bsr`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read_bsr`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_bsr_blocking<T: Element>(&self, matrix: &GpuBsr) -> Result<BsrMatrix<T>, Error> {
        refuse_other_device(self, "read", "matrix", &matrix.device)?;
        let values = self.read_blocking::<T>(&matrix.values_tensor()?)?;
        matrix.host(values.data())
    }

    fn bsr(
        &self,
        values: wgpu::Buffer,
        selection: &BlockSelection,
        dtype: DType,
    ) -> Result<GpuBsr, Error> {
        let count = selection.count();
        let columns = selection.by_column()?;
        let fit = blocks_of_a_binding(self, selection.block(), dtype).max(1);
        let by_column = (0..count.max(1)).step_by(fit).map(|first| {
            let blocks = first..first.saturating_add(fit).min(count);
            let run = of_blocks(&columns, &blocks);
            self.lists(&run.indptr, bytemuck::cast_slice(&run.entries), blocks)
        });
        let by_column = by_column.collect::<Result<_, _>>()?;
        let place = |(row, column): (usize, usize)| {
            [row, column].map(|n| u32::try_from(n).unwrap_or(u32::MAX))
        };
        let places: Vec<u32> = selection.blocks().flat_map(place).collect();
        Ok(GpuBsr {
            values,
            by_row: self.lists(selection.indptr(), selection.indices(), 0..count)?,
            by_column,
            places: self.upload_words("places of blocks", &places)?,
            selection: selection.clone(),
            dtype,
            device: self.device().clone(),
        })
    }

    fn lists(
        &self,
        indptr: &[u32],
        entries: &[u32],
        blocks: Range<usize>,
    ) -> Result<BsrLists, Error> {
        let order = order(indptr, self.is_software());
        Ok(BsrLists {
            indptr: self.upload_words("block pointers", indptr)?,
            entries: self.upload_words("block indices", entries)?,
            order: self.upload_words("order of block lists", &order)?,
            host_indptr: indptr.to_vec(),
            blocks,
        })
    }
}

/// Blocks whose values fit one binding.
pub(crate) fn blocks_of_a_binding(gpu: &Gpu, (br, bc): (usize, usize), dtype: DType) -> usize {
    let bytes = (br as u64)
        .saturating_mul(bc.next_multiple_of(4) as u64)
        .saturating_mul(dtype.bytes() as u64);
    fit_in_window(gpu, bytes)
}

/// The lists of the block columns, of those blocks only.
fn of_blocks(columns: &BlockColumns, blocks: &Range<usize>) -> BlockColumns {
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
    use super::*;

    #[test]
    fn lists_of_one_length_stay_in_their_order() {
        for runs in [false, true] {
            assert_eq!(order(&[0, 2, 4, 6], runs), [0, 1, 2, 0, 1, 2]);
            assert_eq!(order(&[0], runs), [0_u32; 0]);
            assert_eq!(order(&[0, 5], runs), [0, 0]);
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
