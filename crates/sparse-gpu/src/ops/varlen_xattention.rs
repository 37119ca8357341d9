//! `varlen_xattention`: score, select and attend over sequences of different lengths, packed one after the other.

use sparse_core::attention::{MaskHeads, PackedShape};
use sparse_core::xattention::XAttentionOptions;

use super::VarlenAttention;
use crate::attention::AttentionTile;
use crate::matmul::Tile;
use crate::problem::Problem;
use crate::xattention::{Policy, VarlenXAttentionPlan, kinds_without_scores};
use crate::{AttentionTypes, Error, Gpu};

/// [`XAttention`](crate::XAttention) of items with lengths of their own, packed without padding as [`VarlenAttention`] has them: prompts that are read together,
/// chunks of them on top of cached keys, keys in slots of a cache.
///
/// q and out `[total_q, q_heads, head_dim]`, k and v `[total_k, kv_heads, head_dim]`, lse `[q_heads, total_q]`. Items are independent: what is selected for one is
/// what [`XAttention`](crate::XAttention) selects for it alone. They are scored and selected for one after the other, in scratch memory of the largest of them, and attended to together.
/// Thresholds, counts and kinds of heads are the same in all items; [`XAttentionOptions::forced`] has the shape
/// [`VarlenXAttention::mask_shape`]. The lengths are part of the plan; kernels are not compiled anew for others, mostly. The CPU twin is
/// [`sparse_core::xattention::varlen_xattention`].
///
/// With [`Policy::Auto`] each item is decided when it is planned: one whose scores would cost more than its expected density saves
/// ([`CostModel::expected_density`](crate::CostModel::expected_density)) is not scored and attends to all blocks, in the kernel of the mask, where it costs no dispatch of its own.
/// Where no item is scored, or where dense attention of all of them together is expected to be faster, there is no mask. Counting blocks on the device, as
/// [`XAttention`](crate::XAttention) does, would gain nothing: all items run in one kernel.
///
/// ```no_run
/// use sparse_gpu::sparse_core::Tensor;
/// use sparse_gpu::sparse_core::attention::{PackedShape, Packing};
/// use sparse_gpu::sparse_core::xattention::XAttentionOptions;
/// use sparse_gpu::{Gpu, Policy, VarlenXAttention};
///
/// let gpu = Gpu::new_blocking()?;
/// // Two prompts, and the last 512 tokens of a third.
/// let (q_len, k_len) = (Packing::of_lengths(&[4096, 300, 512])?, Packing::of_lengths(&[4096, 300, 8192])?);
/// let shape = PackedShape::try_new(8, 2, 64, q_len, k_len)?;
/// let options = XAttentionOptions { stride: 16, ..Default::default() };
/// let problem = VarlenXAttention { policy: Policy::auto(&gpu), ..VarlenXAttention::new(shape.clone(), options) };
/// let plan = gpu.plan_blocking(&problem)?;
///
/// let tensor = |shape: [usize; 3]| Tensor::new(shape.to_vec(), vec![0.5_f32; shape.iter().product()]);
/// let q = gpu.upload(&tensor(shape.q_shape()))?;
/// let [k, v] = [gpu.upload(&tensor(shape.kv_shape()))?, gpu.upload(&tensor(shape.kv_shape()))?];
/// let (mut out, mut lse) = (plan.new_out()?, plan.new_lse()?);
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &v, &mut out, &mut lse)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// println!("{}", plan.explain());
/// for outcome in plan.outcomes_blocking()? {
///     println!("{outcome}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VarlenXAttention {
    /// Heads, head dimension (1 to 256), and the lengths of all items.
    pub shape: PackedShape,
    /// Of estimate, selection and attention; blocks of a multiple of 16 tokens.
    pub options: XAttentionOptions,
    /// Whether items may be attended to without scores. [`VarlenXAttention::new`]: [`Policy::Sparse`].
    pub policy: Policy,
    /// Storage types.
    pub types: AttentionTypes,
    /// The register tile of the scores; none: chosen by the plan.
    pub score_tile: Option<Tile>,
    /// How a workgroup of the attention divides its queries; none: chosen by the plan.
    pub attention_tile: Option<AttentionTile>,
}

impl VarlenXAttention {
    /// Always sparse, f32 throughout, tiles by the plan.
    pub fn new(shape: PackedShape, options: XAttentionOptions) -> Self {
        Self {
            shape,
            options,
            policy: Policy::default(),
            types: AttentionTypes::default(),
            score_tile: None,
            attention_tile: None,
        }
    }

    /// Shape of the mask: `[items, mask heads, q_blocks, k_blocks]`, with room for the longest item.
    pub fn mask_shape(&self) -> [usize; 4] {
        self.shape
            .mask_shape_by(self.options.block, self.options.mask_heads)
    }

    /// The attention over the selected blocks.
    pub fn attention(&self) -> VarlenAttention {
        let options = &self.options;
        VarlenAttention {
            shape: self.shape.clone(),
            block: options.block,
            causal: options.causal,
            scale: options.scale,
            soft_cap: options.soft_cap,
            head_kinds: options.head_kinds.clone(),
            masked: options.any_sparse(),
            mask_heads: options.mask_heads,
            types: self.types,
            tile: self.attention_tile,
        }
    }

    /// What takes its place where no item is scored, and what it is measured against: no mask, and its sparse heads dense.
    pub fn dense_attention(&self) -> VarlenAttention {
        VarlenAttention {
            masked: false,
            mask_heads: MaskHeads::Query,
            head_kinds: kinds_without_scores(&self.options),
            ..self.attention()
        }
    }
}

impl Problem for VarlenXAttention {
    type Plan = VarlenXAttentionPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<VarlenXAttentionPlan, Error> {
        VarlenXAttentionPlan::new(gpu, self).await
    }
}
