//! What scoring needs besides the operands: kernels, how much scratch memory, and the division of the problem.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_core::xattention::Pooling;
use sparse_shaders::{XAttentionPackKernel, XAttentionReduceKernel};

use super::Sequences;
use super::limits::{check_loops, keys_in_place, too_large};
use super::scratch::ScratchBytes;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::ops::XAttentionScore;
use crate::problem::Explanation;
use crate::window::window_bytes;
use crate::xattention::parts::{MOST_BYTES, Parts, Sizes};
use crate::xattention::rules;
use crate::xattention::source::Source;
use crate::{Error, Gpu};

/// Kernels, bytes of scratch memory, and the division of the problem.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) parts: Parts,
    pub(super) score: Arc<CompiledKernel>,
    pub(super) reduce: Arc<CompiledKernel>,
    pub(super) queries: Packer,
    /// None where k is read where it is.
    pub(super) keys: Option<Packer>,
    pub(super) scratch: ScratchBytes,
}

/// A kernel that packs.
#[derive(Debug)]
pub(super) struct Packer {
    pub(super) kernel: Arc<CompiledKernel>,
    /// Elements that it loads at a time.
    pub(super) unit: usize,
}

impl Work {
    pub(super) async fn plan(
        gpu: &Gpu,
        problem: &XAttentionScore,
        sizes: &Sizes,
        sequences: Sequences,
        explanation: &mut Explanation,
    ) -> Result<Self, Error> {
        let options = &problem.options;
        let limit = window_bytes(gpu);
        let notes = &mut explanation.notes;
        let in_place = keys_in_place(problem, sizes, sequences, limit);
        notes.push(if in_place {
            "k is read where it is".to_owned()
        } else {
            "k is copied into rows of f32 that start at multiples of four".to_owned()
        });
        let most = problem.most_scratch.unwrap_or(MOST_BYTES);
        let parts = Parts::new(sizes, in_place, most, limit)
            .ok_or_else(|| too_large(gpu, problem, sizes))?
            .of_heads(|head| options.is_sparse(head % problem.shape.q_heads()));
        notes.push(format!(
            "q and k packed, and one maximum and one sum per query group and key block, in at most {} KiB each: {} part(s) of heads, {} \
             of query blocks, {} of keys",
            most >> 10,
            parts.heads.len(),
            parts.strips.len(),
            parts.slices.len()
        ));
        let reference = sizes.layout.reference();
        let softmax = reference.is_none_or(|r| r.options.softmax);
        let slash = reference.is_some_and(|r| r.options.pooling == Pooling::Slash);
        let rules = rules(options);
        let reduce = XAttentionReduceKernel {
            groups_per_block: sizes.kernel.groups_per_block,
            rules,
            softmax,
        };
        check_loops(gpu, sizes, &reduce)?;
        let heads = parts.heads.iter().map(Range::len).max().unwrap_or(0);
        let key_heads = parts.heads.iter().map(|h| sizes.key_heads(h).len());
        let key_heads = key_heads.max().unwrap_or(0);
        let head_dim = problem.shape.head_dim();
        let pack = |input: DType, of: &Source, panel: usize, reversed: bool| XAttentionPackKernel {
            input: storage(input),
            head_dim,
            token_heads: of.token_heads,
            panel,
            reversed,
        };
        let of_queries = pack(problem.q, &sizes.queries, sizes.kernel.tile.panel(), !slash);
        let of_keys = (!in_place).then(|| pack(problem.k, &sizes.keys, 0, false));
        let key_bytes = || Parts::largest(&parts.slices, |units| sizes.key_bytes(key_heads, units));
        let scratch = ScratchBytes {
            queries: Parts::largest(&parts.strips, |rows| sizes.query_bytes(heads, rows)),
            keys: of_keys.map(|_| key_bytes()),
            maxima: Parts::largest(&parts.strips, |rows| sizes.maxima_bytes(heads, rows)),
        };
        let queries = Packer::new(gpu, of_queries).await?;
        let keys = match of_keys {
            Some(kernel) => Some(Packer::new(gpu, kernel).await?),
            None => None,
        };
        let score = gpu.compile(&sizes.kernel).await?;
        explanation.kernel = score.name().to_owned();
        Ok(Self {
            parts,
            score,
            reduce: gpu.compile(&reduce).await?,
            queries,
            keys,
            scratch,
        })
    }
}

impl Packer {
    async fn new(gpu: &Gpu, kernel: XAttentionPackKernel) -> Result<Self, Error> {
        Ok(Self {
            kernel: gpu.compile(&kernel).await?,
            unit: if kernel.vectors() { 4 } else { 1 },
        })
    }
}
