//! `block_attention`: softmax attention over all key blocks, or over those of a block mask.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_core::attention::{AttentionShape, HeadKind, MaskHeads};
use sparse_shaders::{
    AttentionKernel, AttentionMergeKernel, AttentionOrder, AttentionTile, TokenHeads,
};

use crate::attention::convert::Convert;
use crate::attention::few::{self, Division};
use crate::attention::kinds;
use crate::attention::merge::Merge;
use crate::attention::order::{RowOrder, RowSort};
use crate::attention::record::Operands;
use crate::attention::scale::ScoreFactors;
use crate::attention::slices::HeadBytes;
use crate::dispatch::Recorder;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::problem::{Explanation, Problem};
use crate::tile_table::Chosen;
use crate::{AttentionTypes, Error, Gpu, GpuMask, GpuTensor, KernelTile, Tier, TokenLayout};

/// `out[t] = sum_j p_j v[j]`, `p = softmax(scale <q[t], k[j]>)` over the keys `j` whose block a mask selects for the block of `t`.
///
/// q and out `[batch, q_heads, q_len, head_dim]`, k and v `[batch, kv_heads, k_len, head_dim]`, lse `[batch, q_heads, q_len]`, all row-major;
/// any lengths, 0 included; `layout` has the heads of a token side by side instead, in all but lse, and k and v have `k_capacity`
/// tokens an item where that is given. Query head `h` uses key head `h / (q_heads / kv_heads)`; keys and values are never copied for it. A query
/// without keys gets `out = 0` and `lse = -inf`. Accumulates in f32. Without a mask the same kernel visits all key blocks and reads no
/// index: the dense baseline. The kernel is `block_attention.wgsl` on processors and `block_attention_tiled.wgsl` on GPUs, and for at most
/// eight queries of a head, as in decoding, `block_attention_few.wgsl` on either, as the tile says; the CPU twin is [`sparse_core::attention::block_attention`].
///
/// ```no_run
/// use sparse_gpu::{BlockAttention, Gpu};
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::sparse_core::{BlockMask, Tensor};
///
/// let gpu = Gpu::new_blocking()?;
/// let (q, k, v) = (vec![0.5_f32; 2 * 256 * 64], vec![0.5_f32; 256 * 64], vec![1.0_f32; 256 * 64]);
/// let q = gpu.upload(&Tensor::new(vec![1, 2, 256, 64], q))?;
/// let k = gpu.upload(&Tensor::new(vec![1, 1, 256, 64], k))?;
/// let v = gpu.upload(&Tensor::new(vec![1, 1, 256, 64], v))?;
/// // Two query heads, two blocks of 128 queries, two of keys: the diagonal only.
/// let mask = gpu.upload_mask(&BlockMask::from_fn(1, 2, 2, 2, |_, _, i, j| i == j)?)?;
///
/// let shape = AttentionShape::of_qk(q.shape(), k.shape())?;
/// let problem = BlockAttention { masked: true, ..BlockAttention::new(shape) };
/// let plan = gpu.plan_blocking(&problem)?;
/// let (mut out, mut lse) = (plan.new_out()?, plan.new_lse()?);
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &v, Some(&mask), &mut out, &mut lse)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let out = gpu.read_blocking::<f32>(&out)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BlockAttention {
    /// Sizes; head dimensions up to 256.
    pub shape: AttentionShape,
    /// Tokens of a block of the mask, of queries and of keys: a multiple of 16.
    pub block: usize,
    /// Whether query `t` sees keys `<= t + k_len - q_len` only.
    pub causal: bool,
    /// Softmax scale; none: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Soft cap `c`: a logit `z = scale <q, k>` becomes `c tanh(z / c)` before the softmax. None: off.
    pub soft_cap: Option<f64>,
    /// One kind per query head, the same in every batch item. None: all [`HeadKind::Sparse`] where `masked`, else all
    /// [`HeadKind::Dense`].
    pub head_kinds: Option<Vec<HeadKind>>,
    /// Whether a block mask is given; without one all key blocks are visited.
    pub masked: bool,
    /// Whether query heads share a mask. With [`MaskHeads::Key`] those of a group do, and the kernel for few queries loads each key once per group.
    pub mask_heads: MaskHeads,
    /// Storage types.
    pub types: AttentionTypes,
    /// Where the heads of a token lie, in q, k, v and out.
    pub layout: TokenLayout,
    /// Tokens that each item of k and v has room for, as in a cache that fills; what lies behind `k_len` is not read. None: `k_len`.
    pub k_capacity: Option<usize>,
    /// In which order rows of blocks start; none: by weight where a mask or head kinds make rows differ, there are enough of them, and queries are not few.
    pub order: Option<RowOrder>,
    /// How a workgroup divides its queries; none: chosen by the plan.
    pub tile: Option<AttentionTile>,
}

impl BlockAttention {
    /// Dense causal attention in f32, blocks of 128, the usual scale.
    pub fn new(shape: AttentionShape) -> Self {
        Self {
            shape,
            block: 128,
            causal: true,
            scale: None,
            soft_cap: None,
            head_kinds: None,
            masked: false,
            mask_heads: MaskHeads::Query,
            types: AttentionTypes::default(),
            layout: TokenLayout::HeadMajor,
            k_capacity: None,
            order: None,
            tile: None,
        }
    }

    /// Shape of a mask of this problem, [`AttentionShape::mask_shape_by`].
    pub fn mask_shape(&self) -> [usize; 4] {
        self.shape.mask_shape_by(self.block, self.mask_heads)
    }

    /// Tokens that each item of k and v has room for.
    pub(crate) fn k_capacity(&self) -> usize {
        self.k_capacity.unwrap_or_else(|| self.shape.k_len())
    }

    /// Shapes of q and out, and of k and v.
    pub(crate) fn tensor_shapes(&self) -> [[usize; 4]; 2] {
        self.layout.tensor_shapes(&self.shape, self.k_capacity())
    }
}

/// A planned [`BlockAttention`].
#[derive(Debug)]
pub struct BlockAttentionPlan {
    pub(crate) gpu: Gpu,
    pub(crate) problem: BlockAttention,
    pub(crate) tile: AttentionTile,
    pub(crate) division: Division,
    /// Elements of a unit of the kernel's rows.
    pub(crate) unit: usize,
    pub(crate) factors: ScoreFactors,
    /// Two words per query head, where heads are of several kinds.
    pub(crate) kinds: Option<wgpu::Buffer>,
    pub(crate) main: Arc<CompiledKernel>,
    /// What puts the parts of the keys together, where they are divided.
    pub(crate) merge: Option<Merge>,
    pub(crate) convert: Option<Convert>,
    /// What sorts the rows of blocks, where they start by weight.
    pub(crate) sort: Option<RowSort>,
    pub(crate) bytes: HeadBytes,
    pub(crate) slices: Vec<Range<usize>>,
    pub(crate) explanation: Explanation,
}

pub(crate) const OPERATION: &str = "block_attention";

impl Problem for BlockAttention {
    type Plan = BlockAttentionPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<BlockAttentionPlan, Error> {
        self.check_numbers(OPERATION)?;
        let shape = self.shape;
        let (head_dim, k_len) = (shape.head_dim(), shape.k_len());
        let scale = self.scale.unwrap_or_else(|| shape.default_scale());
        let factors = ScoreFactors::try_new(OPERATION, scale, self.soft_cap)?;
        let kinds = self.head_kinds.as_deref();
        let walk = kinds::walk(kinds, self.masked);
        let mut notes = Vec::new();
        if let Some(tile) = self.tile {
            tile.check(self.block, &|| tile.to_string())
                .map_err(|e| Error::tile(OPERATION, &e))?;
        }
        let Chosen { tile, origin } = gpu.attention_tile(self);
        notes.extend(gpu.note_of_origin(origin));
        let division = few::division(gpu, self, tile, |heads| {
            let rows = (heads * shape.q_len()).div_ceil(tile.queries());
            shape.batch() * shape.q_heads() / heads * rows
        });
        gpu.check_loops(
            format!("{OPERATION} with k_len = {k_len} and tile {tile}"),
            tile.loop_rounds(head_dim, division.keys(k_len), division.block),
        )?;
        let converts = self.converts();
        let in_parts = division.parts > 1;
        let bytes = self.head_bytes(converts, division.parts);
        let slices = self.slices(gpu, &bytes, division.heads)?;
        let order = self.choose_order(gpu, (walk, tile, division.heads), &slices, &mut notes)?;
        let kernel = AttentionKernel {
            walk,
            head_dim,
            block: division.block,
            causal: self.causal,
            soft_cap: self.soft_cap.is_some(),
            order: match order {
                RowOrder::ByPosition => AttentionOrder::Computed,
                RowOrder::ByWeight => AttentionOrder::Rows,
            },
            token_heads: (self.layout == TokenLayout::TokenMajor).then_some(TokenHeads {
                q: shape.q_heads(),
                kv: shape.kv_heads(),
            }),
            tile,
            heads: division.heads,
            mask_group: self.mask_group(),
            in_parts,
            q: storage(self.types.q),
            k: storage(self.types.k),
            v: storage(self.types.v),
            out: storage(if converts || in_parts {
                DType::F32
            } else {
                self.types.out
            }),
        };
        if !kernel.vectors() {
            notes.push(format!(
                "rows of {head_dim} elements do not start at multiples of 4: they are loaded element by element"
            ));
        }
        if slices.len() > 1 {
            notes.push(format!(
                "{} slices of heads, so that operands and scratch memory can be bound",
                slices.len()
            ));
        }
        let main = gpu.compile(&kernel).await?;
        let convert = if converts {
            notes.push("rows of the output do not start at whole words: sums are kept in f32 and rounded by a second kernel".to_owned());
            Some(self.plan_convert(gpu, &slices).await?)
        } else {
            None
        };
        let merge = if in_parts {
            notes.push(division.note(k_len));
            let out = if converts { DType::F32 } else { self.types.out };
            let description = AttentionMergeKernel {
                head_dim,
                token_major: self.layout == TokenLayout::TokenMajor,
                out: storage(out),
            };
            let heads = slices.iter().map(Range::len).max().unwrap_or(0);
            let rows = heads * shape.q_len();
            Some(Merge::plan(gpu, description, rows, division.parts).await?)
        } else {
            None
        };
        let sort = match order {
            RowOrder::ByPosition => None,
            RowOrder::ByWeight => Some(self.plan_sort(gpu, walk, &slices).await?),
        };
        let scratch_bytes = convert.as_ref().map_or(0, |c| c.sums.size())
            + merge.as_ref().map_or(0, Merge::bytes)
            + sort.as_ref().map_or(0, RowSort::bytes);
        let explanation = Explanation {
            operation: OPERATION,
            kernel: main.name().to_owned(),
            tile: tile.to_string(),
            tile_origin: Some(origin),
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes,
            notes,
        };
        Ok(BlockAttentionPlan {
            gpu: gpu.clone(),
            problem: self.clone(),
            tile,
            division,
            unit: kernel.unit(),
            factors,
            kinds: gpu.upload_kinds(kinds, walk)?,
            main,
            merge,
            convert,
            sort,
            bytes,
            slices,
            explanation,
        })
    }
}

impl BlockAttentionPlan {
    /// Records the attention into the caller's pass; it runs when the caller submits. Many operations may share a pass, and a plan may be
    /// recorded any number of times. `mask` is given where the problem is `masked`; it may be one that an operation of the same pass
    /// writes.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::OperandMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    #[expect(
        clippy::too_many_arguments,
        reason = "attention has these operands, and a struct of them would only move the list"
    )]
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        v: &GpuTensor,
        mask: Option<&GpuMask>,
        out: &mut GpuTensor,
        lse: &mut GpuTensor,
    ) -> Result<(), Error> {
        let all = self.problem.shape.k_len();
        self.record_prefix(pass, all, q, k, v, mask, out, lse)
    }

    /// As [`BlockAttentionPlan::record`], over the first `keys` of the keys that the plan is for: one plan for all tokens that are generated, made for as
    /// many as the cache holds. Shapes stay those of the plan; nothing behind `keys` is read, nor are blocks of the mask. Where causal, query `t` sees
    /// keys `<= t + keys - q_len`.
    ///
    /// ```no_run
    /// use sparse_gpu::{BlockAttention, Gpu, TokenLayout};
    /// use sparse_gpu::sparse_core::attention::AttentionShape;
    /// use sparse_gpu::sparse_core::DType;
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// // 32 query heads on 8 of keys, one query, at most 8192 keys.
    /// let plan = gpu.plan_blocking(&BlockAttention {
    ///     layout: TokenLayout::TokenMajor,
    ///     ..BlockAttention::new(AttentionShape::try_new(1, 32, 8, 1, 8192, 128)?)
    /// })?;
    /// let cache = || gpu.empty_tensor(&[1, 8192, 8, 128], DType::F32);
    /// let (k, v) = (cache()?, cache()?);
    /// let q = gpu.empty_tensor(&[1, 1, 32, 128], DType::F32)?;
    /// let (mut out, mut lse) = (plan.new_out()?, plan.new_lse()?);
    /// for keys in 1000..1010 {
    ///     let mut encoder = gpu.device().create_command_encoder(&Default::default());
    ///     let mut pass = encoder.begin_compute_pass(&Default::default());
    ///     // Projections write q, and the new token's rows of k and v.
    ///     let new_k = k.reshaped(&[8192, 8 * 128])?.rows(keys - 1..keys)?;
    ///     # let _ = new_k;
    ///     plan.record_prefix(&mut pass, keys, &q, &k, &v, None, &mut out, &mut lse)?;
    ///     drop(pass);
    ///     gpu.queue().submit([encoder.finish()]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`BlockAttentionPlan::record`], and [`Error::InvalidProblem`] where the plan is for fewer keys.
    #[expect(
        clippy::too_many_arguments,
        reason = "attention has these operands, and a struct of them would only move the list"
    )]
    pub fn record_prefix(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        keys: usize,
        q: &GpuTensor,
        k: &GpuTensor,
        v: &GpuTensor,
        mask: Option<&GpuMask>,
        out: &mut GpuTensor,
        lse: &mut GpuTensor,
    ) -> Result<(), Error> {
        let planned = self.problem.shape.k_len();
        if keys > planned {
            let reason = format!(
                "a prefix of {keys} keys of a plan for {planned}; plan for as many as the cache holds"
            );
            return Err(Error::invalid(OPERATION, reason));
        }
        let operands = Operands {
            q,
            k,
            v,
            mask,
            out,
            lse,
        };
        self.check(&operands)?;
        self.record_checked(pass, &operands, keys)
    }

    /// Records over the first `keys` keys what [`BlockAttentionPlan::check`] has let pass.
    pub(crate) fn record_checked(
        &self,
        recorder: &mut impl Recorder,
        operands: &Operands<'_>,
        keys: usize,
    ) -> Result<(), Error> {
        if self.problem.shape.q_len() == 0 {
            return Ok(());
        }
        for heads in &self.slices {
            self.record_main(recorder, operands, heads, keys)?;
            self.record_merge(recorder, operands, heads)?;
            self.record_convert(recorder, operands.out, heads)?;
        }
        Ok(())
    }

    /// Where rows of blocks start by weight: their numbers, u32, in the order of the last slice that was recorded, once that has run. Rows
    /// are counted through the heads of the slice.
    pub fn row_order(&self) -> Option<&wgpu::Buffer> {
        self.sort.as_ref().map(|sort| &sort.list)
    }

    /// The kernel with its tile, as an entry of a [`crate::TileTable`] names it.
    pub fn kernel_tile(&self) -> KernelTile {
        KernelTile::BlockAttention {
            head_dim: self.problem.shape.head_dim(),
            tile: self.tile,
        }
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }
}
