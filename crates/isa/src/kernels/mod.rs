//! The kernels that are looked at: those that plans take on the chip's make where the problem names no tile.

mod attention;
mod cooperative;
mod matmul;
mod sddmm;
mod tiles;
mod xattention;

pub use tiles::Tiled;

use sparse_gpu::AdapterClass;
use sparse_shaders::{Kernel, Source, expand};

use crate::vulkan::Matrices;

/// One kernel of the list.
#[derive(Clone, Debug)]
pub struct Entry {
    /// WGSL and bindings.
    pub source: Source,
    /// Name of the dense twin that its cycles are compared with: as many multiply-adds a step, for all k.
    pub twin: Option<String>,
    /// Of kernels that go by patterns of single rows, and of their dense twins: columns of the weights that a turn of the loop covers.
    pub path_of: Option<u32>,
    /// Whether it needs waves enough to hide latency: attention and scoring.
    pub waves_matter: bool,
    /// Whether it must not spill: all but heads wider than 128.
    pub must_not_spill: bool,
}

/// The list for a make, in a fixed order.
///
/// # Errors
/// A kernel that does not expand.
pub fn list(class: AdapterClass, matrices: Option<Matrices>) -> anyhow::Result<Vec<Entry>> {
    let mut entries = attention::list(class)?;
    entries.extend(xattention::list(class)?);
    entries.extend(matmul::list(class)?);
    entries.extend(sddmm::list(class)?);
    if let Some(matrices) = matrices {
        entries.extend(cooperative::list(class, matrices)?);
    }
    Ok(entries)
}

fn entry<K: Kernel>(kernel: &K) -> anyhow::Result<Entry> {
    Ok(Entry {
        source: expand(kernel)?,
        twin: None,
        path_of: None,
        waves_matter: false,
        must_not_spill: true,
    })
}
