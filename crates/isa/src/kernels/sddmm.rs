//! Gradients of sparse weights.

use anyhow::Result;
use sparse_gpu::sparse_core::Nm;
use sparse_gpu::{AdapterClass, BsrSddmm, NmSddmm, defaults};

use super::{Entry, entry};

/// Rows and columns of the weights, and tokens: none of them is in the text of a kernel but as a multiple of four.
const SIZE: usize = 4096;

pub(super) fn list(class: AdapterClass) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for block in [32, 64] {
        let problem = BsrSddmm::new(SIZE, SIZE, SIZE, (block, block));
        entries.push(entry(&defaults::bsr_sddmm_kernel(&problem, class))?);
    }
    for pattern in ["2:4", "8:2:4", "8:2:8", "32:2:8"] {
        let problem = NmSddmm::new(SIZE, SIZE, SIZE, pattern.parse::<Nm>()?);
        entries.push(entry(&defaults::nm_sddmm_kernel(&problem, class))?);
    }
    Ok(entries)
}
