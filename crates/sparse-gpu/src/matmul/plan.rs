//! The plan of every matmul operation.

use super::Extras;
use super::engine::{Engine, Operands};
use super::weights::Weights;
use crate::problem::Explanation;
use crate::{Error, GpuTensor, KernelTile};

/// A planned product; what [`crate::DenseMatmul`], [`crate::NmMatmul`], [`crate::NmMatvec`] and [`crate::BsrMatmul`] become.
///
/// Which kernel runs, the first that fits; [`MatmulPlan::explain`] names it and says why:
///
/// - `matmul_cooperative.wgsl` where [`Tier::CooperativeMatrix`](crate::Tier) is asked for, or [`Tier::Best`](crate::Tier), with more than 8 tokens,
///   on a device whose cooperative matrices are enabled and for a problem that they can take,
/// - `matvec.wgsl` for up to 8 tokens, where neither a tile nor an N:M variant is asked for,
/// - `matmul.wgsl`.
///
/// How it goes through the weights is the template's *walk*, from `shaders/walks/`: `dense`; `nm` where rows share their pattern, `nm_select` or
/// `nm_gather` (few tokens), `nm_branch` or `nm_expand` where each row has its own; `bsr`. A w that lies transposed has `dense_transposed`,
/// `nm_transposed` and `bsr_transposed`. N:M weights for which that is faster are expanded first (`expand_weights.wgsl`), and run as dense ones.
#[derive(Debug)]
pub struct MatmulPlan {
    engine: Engine,
}

impl MatmulPlan {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Records the product into the caller's pass; it runs when the caller submits. Many operations may share a pass, and a plan may
    /// be recorded any number of times. `w` is a [`GpuTensor`], [`crate::GpuNm`] or [`crate::GpuBsr`], as the plan was made for.
    ///
    /// The weights come first, then the activations: `w`, `x`, `y`. Where both are dense, of one shape and one storage type, nothing notices that they
    /// were swapped, and y is the product of the wrong ones.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::PatternMismatch`], [`Error::OperandMismatch`],
    /// [`Error::Aliased`]: nothing has been recorded then. [`Error::Unavailable`] where a single strip of block-sparse weights exceeds
    /// the binding limit. [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory:
    /// dispatches before it have been recorded.
    pub fn record<'a>(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        w: impl Into<Weights<'a>>,
        x: &GpuTensor,
        y: &mut GpuTensor,
    ) -> Result<(), Error> {
        self.record_with(pass, w, x, Extras::default(), y)
    }

    /// As [`MatmulPlan::record`], with a bias or a residual.
    ///
    /// # Errors
    /// Those of [`MatmulPlan::record`].
    pub fn record_with<'a>(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        w: impl Into<Weights<'a>>,
        x: &GpuTensor,
        extras: Extras<'_>,
        y: &mut GpuTensor,
    ) -> Result<(), Error> {
        self.engine.record(
            pass,
            &Operands {
                weights: w.into(),
                x,
                extras,
                y,
            },
        )
    }

    /// A tensor for y, of the shape and storage type that the plan was made for.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`](crate::Gpu::empty_tensor).
    pub fn new_y(&self) -> Result<GpuTensor, Error> {
        self.engine.new_y()
    }

    /// The main kernel with its tile, as an entry of a [`crate::TileTable`] names it; none for a kernel that such a table does not know.
    pub fn kernel_tile(&self) -> Option<KernelTile> {
        self.engine.kernel_tile()
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.engine.explain()
    }
}
