//! `varlen_attention`: block attention over sequences of different lengths, packed one after the other.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_core::attention::{HeadKind, MaskHeads, PackedShape};
use sparse_shaders::{
    AttentionKernel, AttentionMergeKernel, AttentionOrder, AttentionTile, TokenHeads,
};

use crate::attention::convert::Convert;
use crate::attention::few::{self, Division};
use crate::attention::kinds;
use crate::attention::merge::Merge;
use crate::attention::order::parts;
use crate::attention::record::Operands;
use crate::attention::scale::ScoreFactors;
use crate::attention::varlen::slices::tokens;
use crate::attention::varlen::work_list;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::problem::{Explanation, Problem};
use crate::tile_table::Chosen;
use crate::window::{too_large_to_bind, window_bytes};
use crate::{AttentionTypes, Error, Gpu, GpuMask, GpuTensor, KernelTile, Tier};

/// [`BlockAttention`](crate::BlockAttention) of items with lengths of their own, packed without padding: one list of work for all of them, in as few dispatches as it takes.
///
/// q and out `[total_q, q_heads, head_dim]`, k and v `[total_k, kv_heads, head_dim]`: all heads of a token side by side, all tokens of an item
/// one after the other, all items one after the other; lse `[q_heads, total_q]`. Item `i` has the queries
/// `q_offsets[i]..q_offsets[i + 1]` and the keys `k_offsets[i]..k_offsets[i + 1]`, or the first of those where its keys lie in a cache with room behind them
/// ([`Packing::in_slots`](sparse_core::attention::Packing::in_slots)); either may be none. Items are independent: what one
/// holds has no influence on another. Causality and blocks count from an item's own tokens, causality from their ends: query `t` sees the
/// item's keys `<= t + k_len - q_len`. The lengths are part of the plan. Plans for
/// other lengths mostly find the kernels compiled; others are taken where the longest item has more than eight queries, where keys of few queries begin to be
/// divided (at 512), and on processors where loops get long. The CPU twin is [`sparse_core::attention::varlen_attention`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::{PackedShape, Packing};
/// use sparse_gpu::sparse_core::Tensor;
/// use sparse_gpu::{Gpu, VarlenAttention};
///
/// let gpu = Gpu::new_blocking()?;
/// // Three sequences; the second is one new token on top of 511 cached ones.
/// let (q_len, k_len) = (Packing::of_lengths(&[300, 1, 77])?, Packing::of_lengths(&[300, 512, 77])?);
/// let shape = PackedShape::try_new(8, 2, 64, q_len, k_len)?;
/// let plan = gpu.plan_blocking(&VarlenAttention::new(shape.clone()))?;
///
/// let tensor = |shape: [usize; 3]| Tensor::new(shape.to_vec(), vec![0.5_f32; shape.iter().product()]);
/// let q = gpu.upload(&tensor(shape.q_shape()))?;
/// let [k, v] = [gpu.upload(&tensor(shape.kv_shape()))?, gpu.upload(&tensor(shape.kv_shape()))?];
/// let (mut out, mut lse) = (plan.new_out()?, plan.new_lse()?);
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &q, &k, &v, None, &mut out, &mut lse)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VarlenAttention {
    /// Heads, head dimension (1 to 256), and the lengths of all items.
    pub shape: PackedShape,
    /// Tokens of a block of the mask, of queries and of keys: a multiple of 16. Blocks begin with each item.
    pub block: usize,
    /// Whether query `t` of an item sees its keys `<= t + k_len - q_len` only.
    pub causal: bool,
    /// Softmax scale; none: `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Soft cap `c`: a logit `z = scale <q, k>` becomes `c tanh(z / c)` before the softmax. None: off.
    pub soft_cap: Option<f64>,
    /// One kind per query head, the same in every item. None: all [`HeadKind::Sparse`] where `masked`, else all [`HeadKind::Dense`].
    pub head_kinds: Option<Vec<HeadKind>>,
    /// Whether a block mask of [`VarlenAttention::mask_shape`] is given; without one all key blocks are visited.
    pub masked: bool,
    /// Whether query heads share a mask. With [`MaskHeads::Key`] those of a group do, and the kernel for few queries loads each key once per group.
    pub mask_heads: MaskHeads,
    /// Storage types.
    pub types: AttentionTypes,
    /// How a workgroup divides its queries; none: chosen by the plan.
    pub tile: Option<AttentionTile>,
}

impl VarlenAttention {
    /// Dense causal attention in f32, blocks of 128, the usual scale.
    pub fn new(shape: PackedShape) -> Self {
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
            tile: None,
        }
    }

    /// Shape of a mask of this problem, [`PackedShape::mask_shape_by`].
    pub fn mask_shape(&self) -> [usize; 4] {
        self.shape.mask_shape_by(self.block, self.mask_heads)
    }
}

/// A planned [`VarlenAttention`].
#[derive(Debug)]
pub struct VarlenAttentionPlan {
    pub(crate) gpu: Gpu,
    pub(crate) problem: VarlenAttention,
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
    /// The tiles of all slices.
    pub(crate) list: wgpu::Buffer,
    pub(crate) slices: Vec<ItemSlice>,
    explanation: Explanation,
}

/// Items that are bound at once.
#[derive(Clone, Debug)]
pub(crate) struct ItemSlice {
    pub(crate) items: Range<usize>,
    /// Their part of the work list.
    pub(crate) tiles: Range<usize>,
}

pub(crate) const OPERATION: &str = "varlen_attention";

impl Problem for VarlenAttention {
    type Plan = VarlenAttentionPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<VarlenAttentionPlan, Error> {
        self.check_numbers(OPERATION)?;
        let shape = &self.shape;
        let longest = self.longest();
        let k_len = longest.shape.k_len();
        let scale = self.scale.unwrap_or_else(|| shape.default_scale());
        let factors = ScoreFactors::try_new(OPERATION, scale, self.soft_cap)?;
        let kinds = self.head_kinds.as_deref();
        let walk = kinds::walk(kinds, self.masked);
        if let Some(tile) = self.tile {
            tile.check(self.block, &|| tile.to_string())
                .map_err(|e| Error::tile(OPERATION, &e))?;
        }
        let Chosen { tile, origin } = gpu.attention_tile(&longest);
        let division = few::division(gpu, &longest, tile, |heads| {
            let rows = |q: Range<usize>| (heads * q.len()).div_ceil(tile.queries());
            shape.q_heads() / heads * shape.q().ranges().map(rows).sum::<usize>()
        });
        gpu.check_loops(
            format!("{OPERATION} with k_len = {k_len} and tile {tile}"),
            tile.loop_rounds(shape.head_dim(), division.keys(k_len), division.block),
        )?;
        let (converts, in_parts) = (longest.converts(), division.parts > 1);
        let kernel = AttentionKernel {
            walk,
            head_dim: shape.head_dim(),
            block: division.block,
            causal: self.causal,
            soft_cap: self.soft_cap.is_some(),
            order: AttentionOrder::Items,
            token_heads: Some(TokenHeads {
                q: shape.q_heads(),
                kv: shape.kv_heads(),
            }),
            tile,
            heads: division.heads,
            mask_group: longest.mask_group(),
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
        let (mut slices, mut list) = (Vec::new(), Vec::new());
        for items in self.slices(gpu, converts)? {
            let begin = list.len();
            list.extend(work_list(
                shape,
                &items,
                (tile.queries(), division.heads),
                self.causal,
                parts(gpu),
            ));
            slices.push(ItemSlice {
                items,
                tiles: begin..list.len(),
            });
        }
        let list_bytes: &[u8] = bytemuck::cast_slice(&list);
        let bytes = list_bytes.len() as u64;
        if bytes > window_bytes(gpu) {
            let what = format!("{OPERATION} with a list of {} tiles of queries", list.len());
            let instead = "split the items over several plans";
            return Err(too_large_to_bind(gpu, what, bytes, instead));
        }
        let main = gpu.compile(&kernel).await?;
        let mut notes = vec![format!(
            "{} tiles of queries of {} items in one list, those with the most keys first",
            list.len(),
            shape.q().items()
        )];
        notes.extend(gpu.note_of_origin(origin));
        if slices.len() > 1 {
            notes.push(format!(
                "{} slices of items, so that operands can be bound",
                slices.len()
            ));
        }
        let convert = if converts {
            notes.push("rows of the output do not start at whole words: sums are kept in f32 and rounded by a second kernel".to_owned());
            let queries = |slice: &ItemSlice| tokens(shape.q().offsets(), &slice.items).len();
            let most = slices.iter().map(queries).max().unwrap_or(0);
            let elements = most * shape.q_heads() * shape.head_dim();
            Some(Convert::plan(gpu, self.types.out, elements).await?)
        } else {
            None
        };
        let merge = if in_parts {
            notes.push(division.note(k_len));
            let out = if converts { DType::F32 } else { self.types.out };
            let description = AttentionMergeKernel {
                head_dim: shape.head_dim(),
                token_major: true,
                out: storage(out),
            };
            let rows = shape.q_heads() * shape.q().total();
            self.check_sums(gpu, rows * division.parts)?;
            Some(Merge::plan(gpu, description, rows, division.parts).await?)
        } else {
            None
        };
        let list = gpu.upload_bytes("tiles of queries", list_bytes)?;
        let explanation = Explanation {
            operation: OPERATION,
            kernel: main.name().to_owned(),
            tile: tile.to_string(),
            tile_origin: Some(origin),
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: convert.as_ref().map_or(0, |c| c.sums.size())
                + merge.as_ref().map_or(0, Merge::bytes)
                + list.size(),
            notes,
        };
        Ok(VarlenAttentionPlan {
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
            list,
            slices,
            explanation,
        })
    }
}

impl VarlenAttentionPlan {
    /// Records the attention into the caller's pass; it runs when the caller submits. `mask` is given where the problem is `masked`; it may
    /// be one that an operation of the same pass writes.
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
        let operands = Operands {
            q,
            k,
            v,
            mask,
            out,
            lse,
        };
        self.check(&operands, OPERATION)?;
        self.record_checked(pass, &operands)
    }

    pub(crate) fn record_checked(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        operands: &Operands<'_>,
    ) -> Result<(), Error> {
        for slice in &self.slices {
            self.record_main(pass, operands, slice)?;
            self.record_merge(pass, operands, slice)?;
            self.record_convert(pass, operands.out, slice)?;
        }
        Ok(())
    }

    /// The kernel with its tile, as an entry of a [`crate::TileTable`] names it: those of [`BlockAttention`](crate::BlockAttention) serve both.
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
