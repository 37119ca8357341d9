//! Sparse matmul and block-sparse attention on wgpu, for any Vulkan, Metal, DX12 or WebGPU device.
//!
//! A program that owns a wgpu device lends it, records sparse work into its own encoder and submits once:
//!
//! ```no_run
#![doc = include_str!("../examples/share_device.rs")]
//! ```
//!
//! # How it works
//!
//! Every operation goes *problem -> plan -> record*. A problem ([`DenseMatmul`], [`NmMatmul`], [`NmMatvec`], [`BsrMatmul`], [`BlockAttention`], [`XAttention`], ...) is plain
//! data. [`Gpu::plan`] chooses a kernel and a tile, compiles it once per device, and allocates scratch memory; it may fail, and says why.
//! Recording a plan goes into the caller's pass, any number of times; a dispatch makes a bind group, and, in browsers or where no layer before it had
//! the same numbers, a small uniform buffer. It fails only for operands that the plan was not made for, for block-sparse weights of which a single strip exceeds
//! the binding limit, and without memory or device.
//! `plan.explain()` tells which kernel, which tile, and why.
//!
//! Planning, opening a device and reading back are async, because browsers allow nothing else; those that most programs need have a `_blocking`
//! twin on native platforms. There a poll of planning or warming up compiles on the thread that polls, and returns when it is done.
//!
//! # Numbers
//!
//! Operands are stored as f32, f16 or bf16, each as it likes; every kernel accumulates in f32. Half-width storage is read as packed
//! words and needs no device feature. Error bounds are derived in `docs/NUMERICS.md` and available as [`sparse_core::bounds`].
//!
//! # Limits
//!
//! WebGPU's default limits are enough. Operands above the binding limit are bound window by window: rows of weights, tokens of activations, single
//! heads of attention. What has no such parts has to fit, and a plan says so where it does not: an item of token-major attention
//! ([`TokenLayout::TokenMajor`]) or of packed sequences ([`VarlenAttention`]), with all its heads. Grids above 65 535 workgroups are folded, long
//! dispatches are cut. An operand has fewer than 2^32 elements.
#![warn(clippy::print_stdout)]
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod adapter;
mod adapter_class;
mod attention;
#[cfg(not(target_arch = "wasm32"))]
mod blocking;
mod bsr;
mod cooperative;
mod counting;
pub mod defaults;
mod dispatch;
mod error;
mod gpu;
mod kernel;
mod kernel_cache;
mod loops;
mod mask;
mod matmul;
mod memory;
mod nm;
mod operand;
mod ops;
mod packing;
mod pipeline_cache;
mod problem;
pub mod profile;
mod read;
mod sddmm;
mod tensor;
mod tile_table;
#[cfg(test)]
mod uniform_layouts;
mod uniforms;
mod warm_up;
mod window;
mod xattention;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters_blocking;
pub use adapter::{AdapterSummary, adapters};
pub use adapter_class::AdapterClass;
pub use attention::{AttentionTile, AttentionTypes, RowOrder, TokenLayout};
pub use bsr::GpuBsr;
pub use cooperative::CooperativeReport;
pub use error::Error;
pub use gpu::{Gpu, GpuOptions};
pub use mask::GpuMask;
pub use matmul::{Activation, Addend, Batch, Epilogue, Extras, MatmulPlan, MatmulTypes, NmVariant};
pub use matmul::{Tier, Tile, Transposed, Weights};
pub use nm::GpuNm;
pub use ops::XAttention;
pub use ops::{BlockAttention, BlockAttentionPlan};
pub use ops::{
    BsrMatmul, BsrSddmm, BsrSddmmPlan, DenseMatmul, NaiveMatmul, NaiveMatmulPlan, NmMatmul,
    NmMatvec, NmSddmm, NmSddmmPlan,
};
pub use ops::{VarlenAttention, VarlenAttentionPlan, VarlenXAttention};
pub use ops::{XAttentionScore, XAttentionScorePlan, XAttentionSelect, XAttentionSelectPlan};
pub use pipeline_cache::PipelineCacheError;
pub use problem::{Explanation, Problem};
pub use profile::{AttentionProfile, ProfileError};
pub use tensor::{DenseSource, GpuTensor};
pub use tile_table::{KernelTile, MeasuredOn, TileEntry, TileMeasurement, TileOrigin};
pub use tile_table::{TileTable, TileTableError, TileWalk, TokenRange};
pub use warm_up::{WarmUp, WarmedUp};
pub use xattention::{Attended, CostModel, Decision, HeadBlocks, Outcome, Policy};
pub use xattention::{VarlenXAttentionPlan, XAttentionPlan};

pub use sparse_core;
pub use sparse_shaders;
pub use sparse_shaders::Words;
pub use wgpu;
