//! What the templates of matmul read of a walk.

use serde::Serialize;

use super::quad_patterns::QuadPatterns;
use super::{Walk, WalkPattern};
use crate::storage::Storage;

/// The numbers of a walk as its template reads them (`config`).
#[derive(Serialize)]
pub(crate) struct WalkConfig {
    weight: Storage,
    /// Weights are bound as an array of f16, for cooperative matrices, rather than as words.
    native: bool,
    vector_weights: bool,
    n: usize,
    m: usize,
    v: usize,
    index_bits: u32,
    groups_per_step: usize,
    quad: QuadPatterns,
    br: usize,
    br4: usize,
    bc: usize,
    bc4: usize,
    whole_steps: bool,
    /// Workgroups are made for GPUs, whose compilers care about the order of loads and of additions. Those of at most 8 invocations are for
    /// processors, where what a loop carries costs.
    for_gpus: bool,
    /// The list is read a step ahead of the multiplications. By the compilers' estimates (Intel, Adreno,
    /// `docs/isa`) that hides the read behind half-width weights, whose unpacking takes registers, and behind those of blocks; f32 weights of N:M
    /// are scheduled better without.
    reads_ahead: bool,
    /// A list that is not read ahead is read first, then come weights, then the places in x that follow from it (the same estimates: NVIDIA
    /// 8:2:4 1.09 of dense -> 1.03, Battlemage 16:2:8 1.11 -> 1.07, DG2 1.07 -> 1.09).
    weights_first: bool,
    /// From one k of the packed activations to the next, and the power of two that this is, if it is one.
    x_stride: usize,
    x_shift: Option<u32>,
}

impl WalkConfig {
    /// `x_stride` is in elements of the array of packed activations, which are `vec4` or, for one token, f32.
    pub(crate) fn new(walk: Walk, weight: Storage, x_stride: usize) -> Self {
        let WalkPattern {
            n,
            m,
            v,
            index_bits,
        } = walk.pattern().unwrap_or_default();
        let (br, bc) = walk.block().unwrap_or_default();
        Self {
            weight,
            native: false,
            vector_weights: walk.vector_weights(),
            n,
            m,
            v,
            index_bits,
            groups_per_step: walk.groups_of_a_quad(),
            quad: match walk {
                Walk::NmBranch { .. } => QuadPatterns::new(n, m, index_bits),
                _ => QuadPatterns::default(),
            },
            br,
            br4: br.div_ceil(4),
            bc,
            bc4: bc.div_ceil(4),
            whole_steps: walk.whole_steps(),
            for_gpus: true,
            reads_ahead: weight != Storage::F32 || matches!(walk, Walk::Bsr { .. }),
            weights_first: weight == Storage::F32 && matches!(walk, Walk::Nm { .. }),
            x_stride,
            x_shift: x_stride
                .is_power_of_two()
                .then(|| x_stride.trailing_zeros()),
        }
    }

    /// For workgroups of so many invocations.
    pub(crate) fn for_lanes(mut self, lanes: usize) -> Self {
        self.for_gpus = lanes > 8;
        self.reads_ahead &= self.for_gpus;
        self.weights_first &= self.for_gpus;
        self
    }

    /// Of weights in f16 that cooperative matrices load.
    pub(crate) fn native(walk: Walk, x_stride: usize) -> Self {
        Self {
            native: true,
            ..Self::new(walk, Storage::F16, x_stride)
        }
    }
}
