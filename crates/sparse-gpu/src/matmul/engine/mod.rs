//! Planning and recording a product.

mod layout;
mod operands;
mod plan;
mod record;
mod slices;

use std::sync::Arc;

use sparse_shaders::{PackKernel, Tile, Walk};

use super::choose::Shape;
use super::weights::{Format, Weights};
use super::{Epilogue, Extras, MatmulTypes};
use crate::kernel::CompiledKernel;
use crate::problem::Explanation;
use crate::{Gpu, GpuTensor};

/// Sizes and options of a product, whatever the format of its weights.
#[derive(Clone, Debug)]
pub(crate) struct MatmulProblem {
    pub(crate) operation: &'static str,
    pub(crate) tokens: usize,
    pub(crate) n_out: usize,
    pub(crate) k_in: usize,
    pub(crate) format: Format,
    pub(crate) types: MatmulTypes,
    pub(crate) epilogue: Epilogue,
    pub(crate) tile: Option<Tile>,
    /// Use the kernel for few tokens.
    pub(crate) matvec: bool,
}

/// What a recording works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands<'a> {
    pub(crate) weights: Weights<'a>,
    pub(crate) x: &'a GpuTensor,
    pub(crate) extras: Extras<'a>,
    pub(crate) y: &'a GpuTensor,
}

/// A planned product.
#[derive(Debug)]
pub(crate) struct Engine {
    gpu: Gpu,
    problem: MatmulProblem,
    walk: Walk,
    shape: Shape,
    main: Arc<CompiledKernel>,
    pack: Option<Pack>,
    convert: Option<Convert>,
    packed_rows: usize,
    chunk_tokens: usize,
    explanation: Explanation,
}

/// Activations are repacked into this scratch buffer first.
#[derive(Debug)]
struct Pack {
    kernel: Arc<CompiledKernel>,
    packing: PackKernel,
    packed: wgpu::Buffer,
}

/// The result is computed into this f32 scratch buffer and rounded afterwards.
#[derive(Debug)]
struct Convert {
    kernel: Arc<CompiledKernel>,
    sums: wgpu::Buffer,
}

impl Engine {
    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }
}
