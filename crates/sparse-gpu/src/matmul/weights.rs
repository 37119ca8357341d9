//! Weights as the engine sees them: a format known when planning, buffers known when recording.

use std::ops::Range;

use sparse_core::{DType, Nm};

use crate::bsr::{BsrLists, GpuBsr};
use crate::sparse::GpuNm;
use crate::tensor::refuse_other_device;
use crate::{Error, Gpu, GpuTensor};

/// How the weights of a problem are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Dense,
    Nm { pattern: Nm },
    Bsr { block: (usize, usize) },
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dense => f.write_str("dense"),
            Self::Nm { pattern } => pattern.fmt(f),
            Self::Bsr { block: (br, bc) } => write!(f, "blocks of {br} x {bc}"),
        }
    }
}

/// The weights of one recording, in any format. Made from a reference to the operand.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// Dense, `[n_out, k_in]`.
    Dense(&'a GpuTensor),
    /// N:M.
    Nm(&'a GpuNm),
    /// Block-sparse.
    Bsr(&'a GpuBsr),
}

impl<'a> From<&'a GpuTensor> for Weights<'a> {
    fn from(weights: &'a GpuTensor) -> Self {
        Self::Dense(weights)
    }
}

impl<'a> From<&'a GpuNm> for Weights<'a> {
    fn from(weights: &'a GpuNm) -> Self {
        Self::Nm(weights)
    }
}

impl<'a> From<&'a GpuBsr> for Weights<'a> {
    fn from(weights: &'a GpuBsr) -> Self {
        Self::Bsr(weights)
    }
}

impl<'a> Weights<'a> {
    /// Format, shape and storage type.
    pub(crate) fn describe(&self) -> (Format, Vec<usize>, DType) {
        match self {
            Self::Dense(w) => (Format::Dense, w.shape().to_vec(), w.dtype()),
            Self::Nm(w) => {
                let format = Format::Nm {
                    pattern: w.pattern(),
                };
                (format, w.shape().to_vec(), w.dtype())
            }
            Self::Bsr(w) => (
                Format::Bsr { block: w.block() },
                w.shape().to_vec(),
                w.dtype(),
            ),
        }
    }

    /// Checks whose memory they are in.
    pub(crate) fn expect_device(&self, gpu: &Gpu, operation: &'static str) -> Result<(), Error> {
        match self {
            Self::Dense(tensor) => tensor.expect_device(gpu, operation, "w"),
            Self::Nm(nm) => refuse_other_device(gpu, operation, "w", &nm.device),
            Self::Bsr(bsr) => refuse_other_device(gpu, operation, "w", &bsr.device),
        }
    }

    /// The buffer of the values, and where in it they start.
    pub(crate) fn values(&self) -> (&'a wgpu::Buffer, u64) {
        match self {
            Self::Dense(tensor) => (tensor.buffer(), tensor.offset()),
            Self::Nm(nm) => (&nm.values, 0),
            Self::Bsr(bsr) => (&bsr.values, 0),
        }
    }

    /// The lists of the strips, of block rows or, where w is transposed, of block columns: those of the given run of blocks.
    pub(crate) fn lists(&self, transposed: bool, run: usize) -> Option<&'a BsrLists> {
        match self {
            Self::Bsr(bsr) if transposed => bsr.by_column.get(run),
            Self::Bsr(bsr) => Some(&bsr.by_row),
            _ => None,
        }
    }
}

/// Which units of which array belong to a range of strips: what slicing needs to know of a format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent<'a> {
    /// Rows of w in a strip.
    pub(crate) strip_rows: usize,
    /// Rows of w.
    pub(crate) n_out: usize,
    /// Units of one row of values: 4 elements, or one in unaligned walks.
    pub(crate) row_units: u64,
    /// Rows of w that share a strip of packed indices, and the words of such a strip.
    pub(crate) index_strip: Option<(usize, u64)>,
    /// Row pointers and units of a block, of a block-sparse matrix.
    pub(crate) blocks: Option<(&'a [u32], u64)>,
}

impl Extent<'_> {
    /// Rows of w that `strips` are.
    pub(crate) fn rows(&self, strips: &Range<usize>) -> Range<usize> {
        strips.start * self.strip_rows..strips.end.saturating_mul(self.strip_rows).min(self.n_out)
    }

    /// Units of the values that `strips` need.
    pub(crate) fn values(&self, strips: &Range<usize>) -> Range<u64> {
        if let Some((indptr, units)) = self.blocks {
            return u64::from(indptr[strips.start]) * units..u64::from(indptr[strips.end]) * units;
        }
        let rows = self.rows(strips);
        rows.start as u64 * self.row_units..rows.end as u64 * self.row_units
    }

    /// Words of the indices that `strips` need, or entries of their lists of blocks.
    pub(crate) fn indices(&self, strips: &Range<usize>) -> Range<u64> {
        if let Some((indptr, _)) = self.blocks {
            return u64::from(indptr[strips.start])..u64::from(indptr[strips.end]);
        }
        self.index_words(&self.rows(strips))
    }

    /// Units of the values and words of the indices of some stored rows.
    pub(crate) fn rows_of_w(&self, rows: &Range<usize>) -> (Range<u64>, Range<u64>) {
        let values = rows.start as u64 * self.row_units..rows.end as u64 * self.row_units;
        (values, self.index_words(rows))
    }

    fn index_words(&self, rows: &Range<usize>) -> Range<u64> {
        let Some((rows_per_strip, words)) = self.index_strip else {
            return 0..0;
        };
        let first = rows.start / rows_per_strip;
        let last = rows.end.div_ceil(rows_per_strip);
        first as u64 * words..last as u64 * words
    }

    /// Lists of blocks that there are.
    pub(crate) fn lists(&self) -> usize {
        self.blocks.map_or(0, |(indptr, _)| indptr.len() - 1)
    }

    /// Bytes of a unit of the indices.
    pub(crate) fn index_bytes(&self, transposed: bool) -> u64 {
        if transposed && self.blocks.is_some() {
            8
        } else {
            4
        }
    }
}
