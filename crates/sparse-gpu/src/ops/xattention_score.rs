//! `xattention_score`: how much of the softmax mass of a query block lies on each key block, estimated by antidiagonal means.

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;

use crate::matmul::Tile;
use crate::problem::{Explanation, Problem};
use crate::xattention::score::{FirstTokens, ScoreEngine, ScoreScratch, Sequences};
use crate::xattention::source::Source;
use crate::{Error, Gpu, GpuTensor, KernelTile, TokenLayout};

/// Block scores of q against k: `scores[b, h, I, J]` is the sum over the query groups `i` of block `I` and the key groups `j` of block `J` of
/// `softmax_j(A[i, j])`, where a group is `stride` consecutive tokens and `A[i, j]` the mean of the scaled logits on the antidiagonal of
/// the two groups.
///
/// q `[batch, q_heads, q_len, head_dim]`, k `[batch, kv_heads, k_len, head_dim]`, scores f32 of [`XAttentionScore::score_shape`], all row-major;
/// `layout` has the heads of a token side by side instead, in q and k, and k has `k_capacity` tokens an item where that is given.
/// Query head `h` uses key head `h / (q_heads / kv_heads)`; k is never copied for it. Accumulates in f32; `A` is never stored. Both modes of
/// [`XAttentionOptions`]. Heads that are not [sparse](sparse_core::attention::HeadKind::Sparse) are not scored: their scores stay what they
/// are. The kernels are `xattention_score.wgsl` and, around it, `xattention_pack.wgsl` and `xattention_reduce.wgsl`; the CPU
/// twin is [`sparse_core::xattention::xattention_score`].
///
/// Scratch memory is at most 96 MiB (three buffers of [`XAttentionScore::most_scratch`]), unless a single row of query blocks needs more:
/// longer problems are scored in strips, so that it grows with the length of the keys and not with its square.
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::sparse_core::xattention::XAttentionOptions;
/// use sparse_gpu::sparse_core::Tensor;
/// use sparse_gpu::{Gpu, XAttentionScore};
///
/// let gpu = Gpu::new_blocking()?;
/// let shape = AttentionShape::try_new(1, 2, 1, 512, 512, 64)?;
/// let q = gpu.upload(&Tensor::new(vec![1, 2, 512, 64], vec![0.5_f32; 2 * 512 * 64]))?;
/// let k = gpu.upload(&Tensor::new(vec![1, 1, 512, 64], vec![0.5_f32; 512 * 64]))?;
/// let plan = gpu.plan_blocking(&XAttentionScore::new(shape, XAttentionOptions::default()))?;
/// let mut scores = plan.new_scores()?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &mut scores)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XAttentionScore {
    /// Sizes.
    pub shape: AttentionShape,
    /// Block, stride, causality, scale, norm, kinds of heads and mode; threshold, count, forced blocks and soft cap do not matter here.
    pub options: XAttentionOptions,
    /// Storage of q.
    pub q: DType,
    /// Storage of k.
    pub k: DType,
    /// Where the heads of a token lie, in q and k.
    pub layout: TokenLayout,
    /// Tokens that each item of k has room for, as in a cache that fills; what lies behind `k_len` is not read. None: `k_len`.
    pub k_capacity: Option<usize>,
    /// The register tile: rows are key groups (at most so many), columns and lanes query groups. None: chosen by the plan.
    pub tile: Option<Tile>,
    /// Most bytes of each of the three scratch buffers, unless a single row of query blocks needs more. None: 32 MiB. The result does not
    /// depend on it.
    pub most_scratch: Option<u64>,
}

impl XAttentionScore {
    /// q and k in f32, tile by the plan.
    pub fn new(shape: AttentionShape, options: XAttentionOptions) -> Self {
        Self {
            shape,
            options,
            q: DType::F32,
            k: DType::F32,
            layout: TokenLayout::default(),
            k_capacity: None,
            tile: None,
            most_scratch: None,
        }
    }

    /// Shape of the scores: `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode.
    ///
    /// # Errors
    /// [`Error::XAttention`] where options and shape do not fit together.
    pub fn score_shape(&self) -> Result<[usize; 4], Error> {
        Ok(self.options.layout(self.shape)?.score_shape())
    }

    fn k_capacity(&self) -> usize {
        self.k_capacity.unwrap_or_else(|| self.shape.k_len())
    }

    /// Shapes of q and k.
    pub(crate) fn tensor_shapes(&self) -> [[usize; 4]; 2] {
        self.layout.tensor_shapes(&self.shape, self.k_capacity())
    }

    /// Where the tokens of q and k lie.
    pub(crate) fn sources(&self) -> [Source; 2] {
        let (q_shape, kv_shape) = (self.shape.q_shape(), self.shape.kv_shape());
        [
            Source::new(q_shape, self.layout, self.shape.q_len(), self.q),
            Source::new(kv_shape, self.layout, self.k_capacity(), self.k),
        ]
    }
}

impl Problem for XAttentionScore {
    type Plan = XAttentionScorePlan;

    async fn plan(&self, gpu: &Gpu) -> Result<XAttentionScorePlan, Error> {
        let mut engine = ScoreEngine::plan(gpu, self, Sequences::Alone).await?;
        let scratch = engine.allocate_scratch()?;
        Ok(XAttentionScorePlan { engine, scratch })
    }
}

/// A planned [`XAttentionScore`].
#[derive(Debug)]
pub struct XAttentionScorePlan {
    engine: ScoreEngine,
    /// None where there is nothing to score.
    scratch: Option<ScoreScratch>,
}

impl XAttentionScorePlan {
    /// Records the scoring into the caller's pass; it runs when the caller submits. May be recorded any number of times.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        scores: &mut GpuTensor,
    ) -> Result<(), Error> {
        self.engine.check(q, k, scores)?;
        let Some(scratch) = &self.scratch else {
            return Ok(());
        };
        let first = FirstTokens::default();
        self.engine
            .record_checked(pass, [q, k], first, scores, scratch)
    }

    /// Shape of the scores: `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode.
    pub fn score_shape(&self) -> [usize; 4] {
        self.engine.score_shape()
    }

    /// A tensor for the scores.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_scores(&self) -> Result<GpuTensor, Error> {
        self.engine.new_scores()
    }

    /// The kernel with its tile, as an entry of a [`crate::TileTable`] names it.
    pub fn kernel_tile(&self) -> KernelTile {
        self.engine.kernel_tile()
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.engine.explain()
    }
}
