//! Products: dense, N:M, block-sparse; many tokens and one.

use anyhow::Result;
use sparse_gpu::{AdapterClass, defaults};
use sparse_shaders::{
    Activation, ConvertKernel, ExpandWeightsKernel, Kernel as _, MatmulKernel, MatvecKernel,
    Output, PackKernel, Storage, Walk,
};

use super::{Entry, entry};

const TOKENS: usize = 2048;
const OUTPUTS: usize = 4096;

const DENSE: Walk = Walk::Dense {
    vector_weights: true,
};

const fn nm(v: usize, n: usize, m: usize, index_bits: u32) -> Walk {
    Walk::Nm {
        n,
        m,
        v,
        index_bits,
    }
}

const SPARSE: [Walk; 8] = [
    nm(8, 2, 4, 2),
    nm(16, 2, 8, 4),
    nm(32, 2, 16, 4),
    nm(4, 2, 4, 2),
    Walk::Bsr { br: 64, bc: 64 },
    Walk::Bsr { br: 32, bc: 32 },
    Walk::Bsr { br: 16, bc: 16 },
    Walk::Bsr { br: 4, bc: 4 },
];

pub(super) fn list(class: AdapterClass) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for storage in [Storage::F32, Storage::F16] {
        let dense = matmul(class, DENSE, storage);
        entries.push(entry(&dense)?);
        for walk in SPARSE {
            let kernel = matmul(class, walk, storage);
            // Only a kernel with as many rows and columns does as much work in a step.
            let twin = MatmulKernel {
                tile: kernel.tile,
                ..dense
            };
            if twin.name() != dense.name()
                && !entries.iter().any(|e: &Entry| e.source.name == twin.name())
            {
                entries.push(entry(&twin)?);
            }
            entries.push(Entry {
                twin: Some(twin.name()),
                ..entry(&kernel)?
            });
        }
    }
    for storage in [Storage::F32, Storage::F16] {
        patterns_of_rows(class, storage, &mut entries)?;
    }
    let unaligned = Walk::Dense {
        vector_weights: false,
    };
    entries.push(entry(&matmul(class, unaligned, Storage::F32))?);
    let dense = matmul(class, DENSE, Storage::F32);
    entries.push(entry(&MatmulKernel {
        output: Output {
            bias: Some(Storage::F32),
            activation: Activation::Gelu,
            ..dense.output
        },
        ..dense
    })?);
    let select = Walk::NmSelect {
        n: 2,
        v: 1,
        whole_steps: true,
    };
    let gather = Walk::NmGather {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
    };
    let columns = Walk::DenseTransposed {
        vector_weights: true,
        whole_steps: true,
    };
    for weight in [Storage::F32, Storage::F16] {
        for (for_one, for_more) in [
            (DENSE, DENSE),
            (columns, columns),
            (select, gather),
            (nm(16, 2, 8, 4), nm(16, 2, 8, 4)),
            (Walk::Bsr { br: 32, bc: 32 }, Walk::Bsr { br: 32, bc: 32 }),
        ] {
            for (walk, tokens) in [(for_one, 1), (for_more, 8)] {
                entries.push(entry(&MatvecKernel {
                    weight,
                    ..defaults::matvec_kernel(walk, tokens, OUTPUTS, class)
                })?);
            }
        }
    }
    let panel = defaults::matmul_tile(DENSE, TOKENS, class).panel();
    for input in [Storage::F32, Storage::F16] {
        entries.push(entry(&PackKernel {
            input,
            vector_input: true,
            transposed: false,
            panel,
            reads_lines: false,
        })?);
    }
    entries.push(entry(&ExpandWeightsKernel {
        n: 2,
        m: 4,
        v: 1,
        index_bits: 2,
        weight: Storage::F32,
    })?);
    entries.push(entry(&ConvertKernel {
        output: Storage::F16,
    })?);
    Ok(entries)
}

/// 2:4 with a pattern for each row, both ways, and the dense kernel of either tile.
fn patterns_of_rows(class: AdapterClass, storage: Storage, entries: &mut Vec<Entry>) -> Result<()> {
    let (n, m, v, index_bits) = (2, 4, 1, 2);
    let expand = Walk::NmExpand {
        n,
        m,
        v,
        index_bits,
    };
    let branch = Walk::NmBranch {
        n,
        m,
        v,
        index_bits,
    };
    // A step of the branches is four stored weights, others' is four columns.
    for (walk, columns) in [(expand, 4), (branch, 8)] {
        let kernel = matmul(class, walk, storage);
        let twin = MatmulKernel {
            walk: DENSE,
            ..kernel
        };
        let name = twin.name();
        match entries.iter_mut().find(|e| e.source.name == name) {
            Some(listed) => listed.path_of = Some(4),
            None => entries.push(Entry {
                path_of: Some(4),
                // No plan takes it.
                must_not_spill: false,
                ..entry(&twin)?
            }),
        }
        entries.push(Entry {
            twin: Some(name),
            path_of: Some(columns),
            ..entry(&kernel)?
        });
    }
    Ok(())
}

fn matmul(class: AdapterClass, walk: Walk, storage: Storage) -> MatmulKernel {
    MatmulKernel {
        weight: storage,
        output: Output {
            vectors: storage == Storage::F32
                && defaults::matmul_tile(walk, TOKENS, class)
                    .rows
                    .is_multiple_of(4),
            ..Output::of(storage)
        },
        ..MatmulKernel::new(walk, defaults::matmul_tile(walk, TOKENS, class))
    }
}
