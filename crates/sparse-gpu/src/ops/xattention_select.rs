//! `xattention_select`: per block row, the smallest set of key blocks that holds the wanted share of the mass.

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
#[cfg(doc)]
use sparse_core::xattention::XAttentionLayout;
use sparse_core::xattention::XAttentionOptions;

use crate::problem::{Explanation, Problem};
use crate::xattention::select::{SelectEngine, Selected};
use crate::{Error, Gpu, GpuMask, GpuTensor};

/// The blocks to keep of every block row, from the scores of [`crate::XAttentionScore`]: those that are forced, and by mass descending, lower
/// index first among equals, as few more as reach the threshold, or as make a fixed count. The rows of dense and of streaming heads hold
/// what their kind means, and their scores are not read.
///
/// scores f32 `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode; all of them are finite and `>= 0`. The mask is
/// `[batch, mask heads, q_blocks, k_blocks]` on real lengths, [`XAttentionSelect::mask_shape`]. Where query heads share a mask
/// ([`XAttentionOptions::mask_heads`]), its blocks are selected from the sum of the scores of its sparse heads, in f32 (which has to hold it) and in head order; dense and streaming heads of
/// such a group have no row, so that attention over this mask takes [`XAttentionOptions::head_kinds`] too, as [`crate::XAttention::attention`] does
/// ([`XAttentionLayout::mask_of_query_heads`] gives the mask of each head). Deterministic: masses are added as
/// integers, exact to 2^-31 of a row's largest. Both modes of [`XAttentionOptions`]. The kernels are `xattention_sum_heads.wgsl` and
/// `xattention_select.wgsl`; the CPU twin is [`sparse_core::xattention::xattention_select`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::sparse_core::xattention::XAttentionOptions;
/// use sparse_gpu::sparse_core::Tensor;
/// use sparse_gpu::{Gpu, XAttentionSelect};
///
/// let gpu = Gpu::new_blocking()?;
/// let shape = AttentionShape::try_new(1, 2, 1, 512, 512, 64)?;
/// let plan = gpu.plan_blocking(&XAttentionSelect::new(shape, XAttentionOptions::default()))?;
/// // As XAttentionScore leaves them: 4 x 4 blocks of 128 tokens for each of two heads.
/// let scores = gpu.upload(&Tensor::new(vec![1, 2, 4, 4], vec![1.0_f32; 2 * 4 * 4]))?;
/// let mut mask = plan.new_mask()?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &scores, &mut mask)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let mask = gpu.read_mask_blocking(&mask)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XAttentionSelect {
    /// Sizes of the attention problem.
    pub shape: AttentionShape,
    /// Block, stride, threshold or count, causality, forced blocks, kinds of heads and mode.
    pub options: XAttentionOptions,
    /// Invocations that share a row, 1 to 256; none: chosen by the plan.
    pub row_lanes: Option<usize>,
}

impl XAttentionSelect {
    /// Invocations of a row by the plan.
    pub fn new(shape: AttentionShape, options: XAttentionOptions) -> Self {
        Self {
            shape,
            options,
            row_lanes: None,
        }
    }

    /// Shape of the mask: `[batch, mask heads, q_blocks, k_blocks]`, on real lengths in both modes.
    ///
    /// # Errors
    /// [`Error::XAttention`] where options and shape do not fit together.
    pub fn mask_shape(&self) -> Result<[usize; 4], Error> {
        Ok(self.options.layout(self.shape)?.mask_shape())
    }
}

/// A planned [`XAttentionSelect`]. Where query heads share a mask, it owns the sums of their scores.
#[derive(Debug)]
pub struct XAttentionSelectPlan {
    gpu: Gpu,
    engine: SelectEngine,
    /// f32 `[batch, mask heads, q_blocks, k_blocks]`, of the last recording that has run, where query heads share a mask.
    sums: Option<GpuTensor>,
    /// The mask of forced blocks, where there is one.
    forced: Option<GpuMask>,
}

impl Problem for XAttentionSelect {
    type Plan = XAttentionSelectPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<XAttentionSelectPlan, Error> {
        let mut engine = SelectEngine::plan(gpu, self).await?;
        let forced = self.options.forced.as_ref();
        let forced = forced.map(|mask| gpu.upload_mask(mask)).transpose()?;
        let sums = engine.sum_shape();
        let sums = sums.map(|shape| gpu.empty_tensor(&shape, DType::F32));
        let sums = sums.transpose()?;
        let forced_bytes = forced.as_ref().map_or(0, |mask| mask.words.size());
        let sum_bytes = sums.as_ref().map_or(0, |sums| sums.buffer().size());
        engine.add_scratch_bytes(forced_bytes + sum_bytes);
        Ok(XAttentionSelectPlan {
            gpu: gpu.clone(),
            engine,
            sums,
            forced,
        })
    }
}

impl XAttentionSelectPlan {
    /// Records the selection into the caller's pass; it runs when the caller submits. May be recorded any number of times.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        scores: &GpuTensor,
        mask: &mut GpuMask,
    ) -> Result<(), Error> {
        self.engine.check(scores, mask)?;
        let to = Selected {
            mask,
            forced: self.forced.as_ref(),
            first_item: 0,
        };
        self.engine
            .record_checked(pass, scores, self.sums.as_ref(), to)
    }

    /// Shape of the mask: `[batch, mask heads, q_blocks, k_blocks]`, on real lengths in both modes.
    pub fn mask_shape(&self) -> [usize; 4] {
        self.engine.mask_shape()
    }

    /// A mask for the selection.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_mask`].
    pub fn new_mask(&self) -> Result<GpuMask, Error> {
        self.gpu.empty_mask(self.mask_shape())
    }

    /// Which kernel was chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.engine.explain()
    }
}
