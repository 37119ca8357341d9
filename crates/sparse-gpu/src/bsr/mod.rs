//! Block-sparse operands in GPU memory.

mod lists;

pub(crate) use lists::{BsrLists, order_bytes};

use sparse_core::{BlockSelection, BsrMatrix, DType, Element};

use self::lists::of_blocks;
use crate::memory::without_padding;
use crate::operand::refuse_other_device;
use crate::window::fit_in_window;
use crate::{Error, Gpu, GpuTensor};

/// A block-sparse matrix in GPU memory: blocks `[nnz_blocks, br, bc]` with block rows padded to a multiple of 4 elements, the list of each
/// block row, and the list of each block column, which points at the same blocks: products with the transpose copy no value.
///
/// Clones share the buffers: what an operation writes into one of them, all of them hold. [`Gpu::empty_bsr_like`] makes one with values of its own.
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

    /// Bytes in GPU memory, those that it shares with others included.
    pub fn bytes(&self) -> u64 {
        let by_column: u64 = self.by_column.iter().map(BsrLists::bytes).sum();
        self.values.size() + self.by_row.bytes() + by_column + self.places.size()
    }

    /// The values, `[nnz_blocks, br, bc]` with `bc` rounded up to a multiple of 4, for kernels of the program's own: the buffer is the matrix's, and
    /// what they write the next product multiplies by. A training step adds a multiple of the gradient's values to these, element by element:
    /// matrices of one selection have their blocks in the same places ([`Gpu::empty_bsr_like`]).
    ///
    /// What lies outside of the matrix, the padding of rows of blocks and the rest of the last block row and column, holds zeros and has to stay so: products
    /// multiply it by zeros, and [`Gpu::read_bsr`] refuses a matrix where the latter is something else. `docs/FORMATS.md` has the layout.
    pub fn values(&self) -> GpuTensor {
        let (br, bc) = self.block();
        let shape = vec![self.nnz_blocks(), br, bc.next_multiple_of(4)];
        GpuTensor::whole(self.values.clone(), shape, self.dtype, &self.device)
    }

    /// Elements from one block to the next.
    pub(crate) fn block_stride(&self) -> usize {
        let (br, bc) = self.block();
        br * bc.next_multiple_of(4)
    }

    fn host<T: Element>(&self, padded: &[T]) -> Result<BsrMatrix<T>, Error> {
        let values = without_padding(padded, self.block().1);
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
    /// [`Error::Unavailable`] above the largest buffer, [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::HostMemory`].
    pub fn upload_bsr<T: Element>(&self, matrix: &BsrMatrix<T>) -> Result<GpuBsr, Error> {
        let values = self.upload_padded("block values", matrix.values(), matrix.block().1)?;
        self.bsr(values, matrix.selection(), T::DTYPE)
    }

    /// A block-sparse matrix of zeros, for an operation to write.
    ///
    /// # Errors
    /// [`Error::Unavailable`] above the largest buffer, [`Error::InvalidProblem`] where its bytes cannot be counted, [`Error::OutOfMemory`], [`Error::DeviceLost`],
    /// [`Error::HostMemory`].
    pub fn empty_bsr(&self, selection: &BlockSelection, dtype: DType) -> Result<GpuBsr, Error> {
        let values = self.empty_values("empty_bsr", selection, dtype)?;
        self.bsr(values, selection, dtype)
    }

    /// A block-sparse matrix of zeros with the blocks of another, for an operation to write: the gradient of weights, say. It shares the lists of the
    /// other matrix, which stay as they are, and allocates values; where either exceeds a binding and their elements differ in size, also the lists of
    /// block columns.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_bsr`], and [`Error::OtherDevice`].
    pub fn empty_bsr_like(&self, matrix: &GpuBsr, dtype: DType) -> Result<GpuBsr, Error> {
        const OPERATION: &str = "empty_bsr_like";
        refuse_other_device(self, OPERATION, "the matrix", &matrix.device)?;
        let selection = &matrix.selection;
        let runs = |dtype| blocks_of_a_run(self, selection, dtype);
        let by_column = if runs(dtype) == runs(matrix.dtype) {
            matrix.by_column.clone()
        } else {
            self.lists_of_columns(selection, dtype)?
        };
        Ok(GpuBsr {
            values: self.empty_values(OPERATION, selection, dtype)?,
            by_column,
            dtype,
            ..matrix.clone()
        })
    }

    /// Zeros for the values of these blocks.
    fn empty_values(
        &self,
        operation: &'static str,
        selection: &BlockSelection,
        dtype: DType,
    ) -> Result<wgpu::Buffer, Error> {
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
            Error::invalid(operation, reason)
        })?;
        self.allocate("block values", bytes, GpuTensor::USAGES)
    }

    /// Copies a block-sparse matrix back once everything submitted so far is done.
    ///
    /// # Errors
    /// Those of [`Gpu::read`], and [`Error::Readback`] where elements outside of the matrix are not zero: an operation that should have
    /// written the matrix did not.
    pub async fn read_bsr<T: Element>(&self, matrix: &GpuBsr) -> Result<BsrMatrix<T>, Error> {
        refuse_other_device(self, "read", "matrix", &matrix.device)?;
        let values = self.read::<T>(&matrix.values()).await?;
        matrix.host(values.data())
    }

    /// As [`Gpu::read_bsr`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read_bsr`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_bsr_blocking<T: Element>(&self, matrix: &GpuBsr) -> Result<BsrMatrix<T>, Error> {
        refuse_other_device(self, "read", "matrix", &matrix.device)?;
        let values = self.read_blocking::<T>(&matrix.values())?;
        matrix.host(values.data())
    }

    /// The lists of block columns, of each run of blocks that fits a binding.
    fn lists_of_columns(
        &self,
        selection: &BlockSelection,
        dtype: DType,
    ) -> Result<Vec<BsrLists>, Error> {
        let count = selection.count();
        let columns = selection.by_column()?;
        let fit = blocks_of_a_run(self, selection, dtype);
        let runs = (0..count.max(1)).step_by(fit).map(|first| {
            let blocks = first..first.saturating_add(fit).min(count);
            let run = of_blocks(&columns, &blocks);
            BsrLists::upload(
                self,
                &run.indptr,
                bytemuck::cast_slice(&run.entries),
                blocks,
            )
        });
        runs.collect()
    }

    fn bsr(
        &self,
        values: wgpu::Buffer,
        selection: &BlockSelection,
        dtype: DType,
    ) -> Result<GpuBsr, Error> {
        let place = |(row, column): (usize, usize)| {
            [row, column].map(|n| u32::try_from(n).unwrap_or(u32::MAX))
        };
        let places: Vec<u32> = selection.blocks().flat_map(place).collect();
        Ok(GpuBsr {
            values,
            by_row: BsrLists::upload(
                self,
                selection.indptr(),
                selection.indices(),
                0..selection.count(),
            )?,
            by_column: self.lists_of_columns(selection, dtype)?,
            places: self.upload_words("places of blocks", &places)?,
            selection: selection.clone(),
            dtype,
            device: self.device().clone(),
        })
    }
}

/// Blocks that have lists of block columns together: all of them, or as many as fit a binding.
fn blocks_of_a_run(gpu: &Gpu, selection: &BlockSelection, dtype: DType) -> usize {
    let fit = blocks_of_a_binding(gpu, selection.block(), dtype);
    fit.min(selection.count()).max(1)
}

/// Bytes of the values of a block, with their padding.
pub(crate) fn block_bytes((br, bc): (usize, usize), dtype: DType) -> u64 {
    (br as u64)
        .saturating_mul(bc.next_multiple_of(4) as u64)
        .saturating_mul(dtype.bytes() as u64)
}

/// Blocks whose values fit one binding.
pub(crate) fn blocks_of_a_binding(gpu: &Gpu, block: (usize, usize), dtype: DType) -> usize {
    fit_in_window(gpu, block_bytes(block, dtype))
}
