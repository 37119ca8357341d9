//! What the templates of matmul read of a walk.

use serde::Serialize;

use super::Walk;
use super::quad_patterns::QuadPatterns;
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
        let mut config = Self {
            weight,
            native: false,
            vector_weights: true,
            n: 0,
            m: 0,
            v: 0,
            index_bits: 0,
            groups_per_step: walk.groups_of_a_quad(),
            quad: QuadPatterns::default(),
            br: 0,
            br4: 0,
            bc: 0,
            bc4: 0,
            whole_steps: true,
            for_gpus: true,
            reads_ahead: weight != Storage::F32 || matches!(walk, Walk::Bsr { .. }),
            weights_first: weight == Storage::F32 && matches!(walk, Walk::Nm { .. }),
            x_stride,
            x_shift: x_stride
                .is_power_of_two()
                .then(|| x_stride.trailing_zeros()),
        };
        match walk {
            Walk::Dense { vector_weights } => config.vector_weights = vector_weights,
            Walk::Nm {
                n,
                m,
                v,
                index_bits,
            }
            | Walk::NmExpand {
                n,
                m,
                v,
                index_bits,
            }
            | Walk::NmBranch {
                n,
                m,
                v,
                index_bits,
            }
            | Walk::NmGather {
                n,
                m,
                v,
                index_bits,
            }
            | Walk::NmTransposed {
                n,
                m,
                v,
                index_bits,
                ..
            } => {
                (config.n, config.m, config.v, config.index_bits) = (n, m, v, index_bits);
            }
            Walk::NmSelect { n, v, .. } => {
                (config.n, config.m, config.v, config.index_bits) = (n, 4, v, 2);
            }
            Walk::Bsr { br, bc } | Walk::BsrTransposed { br, bc } => {
                (config.br, config.br4) = (br, br.div_ceil(4));
                (config.bc, config.bc4) = (bc, bc.div_ceil(4));
            }
            Walk::DenseTransposed { vector_weights, .. } => config.vector_weights = vector_weights,
        }
        if let Walk::NmBranch {
            n, m, index_bits, ..
        } = walk
        {
            config.quad = QuadPatterns::new(n, m, index_bits);
        }
        if let Walk::DenseTransposed { whole_steps, .. }
        | Walk::NmTransposed { whole_steps, .. }
        | Walk::NmSelect { whole_steps, .. } = walk
        {
            config.whole_steps = whole_steps;
        }
        config
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
