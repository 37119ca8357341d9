//! `xattention`: score, select and attend, all on the GPU.

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionOptions;

use super::{
    AttentionTypes, BlockAttention, BlockAttentionPlan, XAttentionScore, XAttentionScorePlan,
    XAttentionSelect, XAttentionSelectPlan,
};
use crate::attention::AttentionTile;
use crate::matmul::Tile;
use crate::problem::{Explanation, Problem};
use crate::{Error, Gpu, GpuMask, GpuTensor};

const OPERATION: &str = "xattention";

/// Attention over the key blocks that an estimate says matter: [`XAttentionScore`], [`XAttentionSelect`] and [`BlockAttention`] in one plan,
/// without reading anything back in between.
///
/// q and out `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`, lse f32 `[batch, q_heads, q_len]` (natural
/// logarithm; `-inf` for a query without keys, whose output is 0), all row-major. The attention is exact over the selected blocks and,
/// where causal, exactly causal. The CPU twin is [`sparse_core::xattention::xattention`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::sparse_core::synthetic::PlantedAttention;
/// use sparse_gpu::sparse_core::xattention::XAttentionOptions;
/// use sparse_gpu::{Gpu, XAttention};
///
/// let gpu = Gpu::new_blocking()?;
/// let shape = AttentionShape::try_new(1, 8, 2, 4096, 4096, 64)?;
/// let inputs = PlantedAttention { shape, density: 0.2, seed: 1 }.generate::<f32>()?;
/// let [q, k, v] = [gpu.upload(&inputs.q)?, gpu.upload(&inputs.k)?, gpu.upload(&inputs.v)?];
///
/// let options = XAttentionOptions { stride: 16, ..Default::default() };
/// let plan = gpu.plan_blocking(&XAttention::new(shape, options))?;
/// let mut out = plan.new_out(&gpu)?;
/// let mut lse = plan.new_lse(&gpu)?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &v, &mut out, &mut lse)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let out = gpu.read_blocking::<f32>(&out)?;
/// let mask = gpu.read_mask_blocking(plan.mask())?;
/// println!("{} blocks, {:.0} % of all, were attended to", mask.count(), 100.0 * mask.density());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XAttention {
    /// Sizes; head dimensions up to 256.
    pub shape: AttentionShape,
    /// Of estimate, selection and attention; blocks of a multiple of 16 tokens.
    pub options: XAttentionOptions,
    /// Storage types.
    pub types: AttentionTypes,
    /// The register tile of the scores; none: chosen by the plan.
    pub score_tile: Option<Tile>,
    /// How a workgroup of the attention divides its queries; none: chosen by the plan.
    pub attention_tile: Option<AttentionTile>,
}

impl XAttention {
    /// f32 throughout, tiles by the plan.
    pub fn new(shape: AttentionShape, options: XAttentionOptions) -> Self {
        Self {
            shape,
            options,
            types: AttentionTypes::default(),
            score_tile: None,
            attention_tile: None,
        }
    }

    /// The first step.
    pub fn score(&self) -> XAttentionScore {
        // Forced blocks do not matter to scores.
        let options = XAttentionOptions {
            forced: None,
            ..self.options.clone()
        };
        XAttentionScore {
            q: self.types.q,
            k: self.types.k,
            tile: self.score_tile,
            ..XAttentionScore::new(self.shape, options)
        }
    }

    /// The second step.
    pub fn select(&self) -> XAttentionSelect {
        XAttentionSelect::new(self.shape, self.options.clone())
    }

    /// The third step; without its mask, the dense attention that the sparse one is measured against.
    pub fn attention(&self) -> BlockAttention {
        let shape = self.shape;
        BlockAttention {
            block: self.options.block,
            causal: self.options.causal,
            scale: self.options.scale,
            soft_cap: self.options.soft_cap,
            head_kinds: self.options.head_kinds.clone(),
            masked: self.options.any_sparse(),
            types: self.types,
            tile: self.attention_tile,
            ..BlockAttention::new(
                shape.batch(),
                shape.q_heads(),
                shape.kv_heads(),
                shape.q_len(),
                shape.k_len(),
                shape.head_dim(),
            )
        }
    }
}

/// A planned [`XAttention`]. It owns the scores and the mask of the last recording that has run.
#[derive(Debug)]
pub struct XAttentionPlan {
    shape: AttentionShape,
    types: AttentionTypes,
    score: XAttentionScorePlan,
    select: XAttentionSelectPlan,
    attention: BlockAttentionPlan,
    /// Whether any head reads the mask.
    masked: bool,
    sums: GpuTensor,
    mask: GpuMask,
    explanation: Explanation,
}

impl Problem for XAttention {
    type Plan = XAttentionPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<XAttentionPlan, Error> {
        let score = gpu.plan(&self.score()).await?;
        let select = gpu.plan(&self.select()).await?;
        let attention = self.attention();
        let masked = attention.masked;
        let attention = gpu.plan(&attention).await?;
        let sums = gpu.empty_tensor(&score.sums_shape(), DType::F32)?;
        let mask = gpu.empty_mask(select.mask_shape())?;
        let steps = [score.explain(), select.explain(), attention.explain()];
        let explanation = Explanation {
            operation: OPERATION,
            kernel: steps.map(|step| step.kernel.as_str()).join(" + "),
            tile: steps.map(|step| step.tile.as_str()).join("; "),
            tier: "portable",
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: steps.map(|step| step.scratch_bytes).iter().sum::<u64>()
                + sums.buffer().size()
                + mask.buffer().size(),
            notes: steps
                .iter()
                .flat_map(|step| {
                    step.notes
                        .iter()
                        .map(|note| format!("{}: {note}", step.operation))
                })
                .collect(),
        };
        Ok(XAttentionPlan {
            shape: self.shape,
            types: self.types,
            score,
            select,
            attention,
            masked,
            sums,
            mask,
            explanation,
        })
    }
}

impl XAttentionPlan {
    /// Records all three steps into the caller's pass; they run when the caller submits. May be recorded any number of times; the
    /// recordings share scores and mask, and run one after the other.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        v: &GpuTensor,
        out: &mut GpuTensor,
        lse: &mut GpuTensor,
    ) -> Result<(), Error> {
        self.check([q, k, v], out, lse)?;
        // Clones share the buffers.
        let (mut sums, mut mask) = (self.sums.clone(), self.mask.clone());
        self.score.record(pass, q, k, &mut sums)?;
        self.select.record(pass, &sums, &mut mask)?;
        let mask = self.masked.then_some(&mask);
        self.attention.record(pass, q, k, v, mask, out, lse)
    }

    /// Everything that a step would refuse, before the first is recorded.
    fn check(
        &self,
        [q, k, v]: [&GpuTensor; 3],
        out: &GpuTensor,
        lse: &GpuTensor,
    ) -> Result<(), Error> {
        let (q_shape, kv_shape) = (self.shape.q_shape(), self.shape.kv_shape());
        q.expect(OPERATION, "q", &q_shape, self.types.q)?;
        k.expect(OPERATION, "k", &kv_shape, self.types.k)?;
        v.expect(OPERATION, "v", &kv_shape, self.types.v)?;
        out.expect(OPERATION, "out", &q_shape, self.types.out)?;
        lse.expect(OPERATION, "lse", &q_shape[..3], DType::F32)?;
        let inputs = [
            ("q", q.buffer()),
            ("k", k.buffer()),
            ("v", v.buffer()),
            ("the plan's scores", self.sums.buffer()),
            ("the plan's mask", self.mask.buffer()),
        ];
        for (output, written) in [("out", out.buffer()), ("lse", lse.buffer())] {
            if let Some(&(input, _)) = inputs.iter().find(|(_, buffer)| *buffer == written) {
                return Err(Error::Aliased {
                    operation: OPERATION,
                    output,
                    input,
                });
            }
        }
        if out.buffer() == lse.buffer() {
            return Err(Error::Aliased {
                operation: OPERATION,
                output: "out",
                input: "lse",
            });
        }
        Ok(())
    }

    /// The block scores of the last recording that has run, f32 `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode.
    pub fn sums(&self) -> &GpuTensor {
        &self.sums
    }

    /// The blocks that it selected; [`Gpu::read_mask`] brings them to the host, for a picture or the density.
    pub fn mask(&self) -> &GpuMask {
        &self.mask
    }

    /// A tensor for the output.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_out(&self, gpu: &Gpu) -> Result<GpuTensor, Error> {
        gpu.empty_tensor(&self.shape.q_shape(), self.types.out)
    }

    /// A tensor for the log-sum-exps.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_lse(&self, gpu: &Gpu) -> Result<GpuTensor, Error> {
        gpu.empty_tensor(&self.shape.q_shape()[..3], DType::F32)
    }

    /// Bytes that the plan holds: scratch memory of its steps, scores and mask.
    pub fn scratch_bytes(&self) -> u64 {
        self.explanation.scratch_bytes
    }

    /// Kernels, tiles and reasons of all steps.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// The explanations of score, selection and attention.
    pub fn steps(&self) -> [&Explanation; 3] {
        [
            self.score.explain(),
            self.select.explain(),
            self.attention.explain(),
        ]
    }
}
