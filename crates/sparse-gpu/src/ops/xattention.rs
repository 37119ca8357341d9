//! `xattention`: score, select and attend, all on the GPU.

use sparse_core::attention::{AttentionShape, MaskHeads};
use sparse_core::xattention::XAttentionOptions;

use super::{BlockAttention, XAttentionScore, XAttentionSelect};
use crate::attention::AttentionTile;
use crate::matmul::Tile;
use crate::problem::Problem;
use crate::xattention::{Policy, XAttentionPlan, kinds_without_scores};
use crate::{AttentionTypes, Error, Gpu, TokenLayout};

/// Attention over the key blocks that an estimate says matter: [`XAttentionScore`], [`XAttentionSelect`] and [`BlockAttention`] in one plan,
/// without reading anything back in between.
///
/// q and out `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`, lse f32 `[batch, q_heads, q_len]` (natural
/// logarithm; `-inf` for a query without keys, whose output is 0), all row-major; `layout` has the heads of a token side by side instead, in all but lse,
/// and k and v have `k_capacity` tokens an item where that is given. A prompt that is read in chunks has a plan for each: `q_len` of the chunk, `k_len` up to its
/// end, `k_capacity` of the cache; where causal, its queries are the last of the keys. The attention is exact over the selected blocks and,
/// where causal, exactly causal. With [`XAttentionOptions::mask_heads`] query heads that share keys share their blocks too: faster where there are few
/// queries. The CPU twin is [`sparse_core::xattention::xattention`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::sparse_core::synthetic::PlantedAttention;
/// use sparse_gpu::sparse_core::xattention::XAttentionOptions;
/// use sparse_gpu::{Gpu, Policy, XAttention};
///
/// let gpu = Gpu::new_blocking()?;
/// let shape = AttentionShape::try_new(1, 8, 2, 4096, 4096, 64)?;
/// let inputs = PlantedAttention { shape, density: 0.2, seed: 1 }.generate::<f32>()?;
/// let [q, k, v] = [gpu.upload(&inputs.q)?, gpu.upload(&inputs.k)?, gpu.upload(&inputs.v)?];
///
/// let options = XAttentionOptions { stride: 16, ..Default::default() };
/// // Dense attention where sparse would not pay, decided by the device where it depends on the inputs.
/// let problem = XAttention { policy: Policy::auto(&gpu), ..XAttention::new(shape, options) };
/// let plan = gpu.plan_blocking(&problem)?;
/// let mut out = plan.new_out()?;
/// let mut lse = plan.new_lse()?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &v, &mut out, &mut lse)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let out = gpu.read_blocking::<f32>(&out)?;
/// println!("{}", plan.explain());
/// println!("{}", plan.outcome_blocking()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XAttention {
    /// Sizes; head dimensions up to 256.
    pub shape: AttentionShape,
    /// Of estimate, selection and attention; blocks of a multiple of 16 tokens.
    pub options: XAttentionOptions,
    /// Whether dense attention may take the place of sparse one. [`XAttention::new`]: [`Policy::Sparse`].
    pub policy: Policy,
    /// Storage types.
    pub types: AttentionTypes,
    /// Where the heads of a token lie, in q, k, v and out.
    pub layout: TokenLayout,
    /// Tokens that each item of k and v has room for, as in a cache that fills; what lies behind `k_len` is not read. None: `k_len`.
    pub k_capacity: Option<usize>,
    /// The register tile of the scores; none: chosen by the plan.
    pub score_tile: Option<Tile>,
    /// How a workgroup of the attention divides its queries; none: chosen by the plan.
    pub attention_tile: Option<AttentionTile>,
}

impl XAttention {
    /// Always sparse, f32 throughout, tiles by the plan.
    pub fn new(shape: AttentionShape, options: XAttentionOptions) -> Self {
        Self {
            shape,
            options,
            policy: Policy::default(),
            types: AttentionTypes::default(),
            layout: TokenLayout::default(),
            k_capacity: None,
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
            layout: self.layout,
            k_capacity: self.k_capacity,
            tile: self.score_tile,
            ..XAttentionScore::new(self.shape, options)
        }
    }

    /// The second step.
    pub fn select(&self) -> XAttentionSelect {
        XAttentionSelect::new(self.shape, self.options.clone())
    }

    /// The third step.
    pub fn attention(&self) -> BlockAttention {
        BlockAttention {
            block: self.options.block,
            causal: self.options.causal,
            scale: self.options.scale,
            soft_cap: self.options.soft_cap,
            head_kinds: self.options.head_kinds.clone(),
            masked: self.options.any_sparse(),
            mask_heads: self.options.mask_heads,
            types: self.types,
            layout: self.layout,
            k_capacity: self.k_capacity,
            tile: self.attention_tile,
            ..BlockAttention::new(self.shape)
        }
    }

    /// What takes the place of the third step where sparse attention does not pay, and what it is measured against: no mask, and its sparse
    /// heads dense.
    pub fn dense_attention(&self) -> BlockAttention {
        BlockAttention {
            masked: false,
            mask_heads: MaskHeads::Query,
            head_kinds: kinds_without_scores(&self.options),
            ..self.attention()
        }
    }
}

impl Problem for XAttention {
    type Plan = XAttentionPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<XAttentionPlan, Error> {
        XAttentionPlan::new(gpu, self).await
    }
}
