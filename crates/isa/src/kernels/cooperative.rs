//! Products on cooperative matrices, for chips whose driver lists some that kernels can use.

use anyhow::Result;
use sparse_gpu::{AdapterClass, defaults};
use sparse_shaders::{CooperativeKernel, Kernel as _, Output, Walk};

use super::{Entry, entry};
use crate::vulkan::Matrices;

const TOKENS: usize = 2048;

const DENSE: Walk = Walk::Dense {
    vector_weights: true,
};

pub(super) fn list(class: AdapterClass, matrices: Matrices) -> Result<Vec<Entry>> {
    let kernel = |walk, padded| {
        let (size, sizes) = (matrices.size, matrices.subgroup_sizes);
        CooperativeKernel {
            padded,
            output: Output {
                vectors: true,
                ..Output::F32
            },
            ..CooperativeKernel::new(
                walk,
                defaults::cooperative_tile(walk, TOKENS, size, class, sizes),
            )
        }
    };
    let nm = |v| Walk::Nm {
        n: 2,
        m: 8,
        v,
        index_bits: 4,
    };
    let dense = kernel(DENSE, false);
    let mut entries = vec![entry(&dense)?, entry(&kernel(DENSE, true))?];
    for walk in [nm(16), nm(32), Walk::Bsr { br: 32, bc: 32 }] {
        let kernel = kernel(walk, false);
        let twin = CooperativeKernel {
            tile: kernel.tile,
            ..dense
        };
        if !entries.iter().any(|e: &Entry| e.source.name == twin.name()) {
            entries.push(entry(&twin)?);
        }
        entries.push(Entry {
            twin: Some(twin.name()),
            ..entry(&kernel)?
        });
    }
    Ok(entries)
}
