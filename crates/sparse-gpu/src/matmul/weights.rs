//! Weights as the engine sees them: a format known when planning, buffers known when recording.

use sparse_core::{DType, Nm};

use crate::bsr::{BsrLists, GpuBsr};
use crate::nm::GpuNm;
use crate::operand::refuse_other_device;
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
