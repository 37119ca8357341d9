//! Recording attention: operands checked, one dispatch per range of heads, halves rounded.

use std::ops::Range;

use sparse_core::attention::MaskHeads;

use super::few::Division;
use super::params::{AttentionParams, MergeParams};
use crate::counting::word;
use crate::dispatch::{Recorder, dispatch};
use crate::ops::block_attention::{BlockAttentionPlan, OPERATION};
use crate::window::Window;
use crate::{Error, GpuMask, GpuTensor};

/// What a recording works on.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) q: &'a GpuTensor,
    pub(crate) k: &'a GpuTensor,
    pub(crate) v: &'a GpuTensor,
    pub(crate) mask: Option<&'a GpuMask>,
    pub(crate) out: &'a GpuTensor,
    pub(crate) lse: &'a GpuTensor,
}

impl BlockAttentionPlan {
    pub(crate) fn check(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let [q_shape, kv_shape] = self.problem.tensor_shapes();
        let lse_shape = &self.problem.shape.q_shape()[..3];
        let shapes: [&[usize]; 3] = [&q_shape, &kv_shape, lse_shape];
        operands.check_tensors(&self.gpu, OPERATION, self.problem.types, shapes)?;
        operands.check_mask(
            &self.gpu,
            OPERATION,
            self.problem.masked,
            self.problem.mask_shape(),
        )?;
        let order = self
            .row_order()
            .map(|order| ("the plan's row order", order));
        operands.check_aliases(OPERATION, order.as_slice())
    }

    pub(crate) fn record_main(
        &self,
        recorder: &mut impl Recorder,
        operands: &Operands<'_>,
        heads: &Range<usize>,
        k_len: usize,
    ) -> Result<(), Error> {
        let shape = self.problem.shape;
        let (q_len, head_dim, k_capacity) =
            (shape.q_len(), shape.head_dim(), self.problem.k_capacity());
        let Division {
            heads: together,
            parts,
            ..
        } = self.division;
        let key_heads = self.bytes.key_heads(heads);
        let q = self.rows(operands.q, heads, q_len);
        let k = self.rows(operands.k, &key_heads, k_capacity);
        let v = self.rows(operands.v, &key_heads, k_capacity);
        let (out, lse) = match &self.merge {
            // Its rows are numbered as the log-sum-exps of the slice.
            Some(merge) => (
                Window::whole(&merge.sums),
                Window::whole(&merge.statistics).starting_at(word(heads.start * q_len)),
            ),
            None => (self.out(operands, heads), self.lse(operands, heads)),
        };
        let [_, _, query_blocks, _] = self.problem.mask_shape();
        let words_per_row = operands.mask.map_or(0, GpuMask::words_per_row);
        let mask_words = query_blocks * words_per_row;
        let mask_heads = match self.problem.mask_heads {
            MaskHeads::Query => heads,
            MaskHeads::Key => &key_heads,
        };
        let mask = operands.mask.map(|mask| {
            let words = elements(mask_heads, mask_words);
            Window::new(&self.gpu, &mask.words, 0, 4, words)
        });
        let mut walk: Vec<_> = mask
            .map(|window| ("mask", window.binding()))
            .into_iter()
            .collect();
        let kinds = self.kinds.as_ref();
        walk.extend(kinds.map(|kinds| ("kinds", kinds.as_entire_binding())));

        let q_tiles = (together * q_len).div_ceil(self.tile.queries());
        // As the kernel numbers them: those of a workgroup are one.
        let (heads_of_slice, cached) = (heads.len() / together, self.heads_together() / together);
        let params = AttentionParams {
            heads: word(heads_of_slice),
            heads_together: word(cached.min(heads_of_slice).max(1)),
            first_head: word(heads.start),
            q_heads: word(shape.q_heads()),
            heads_per_key_head: word(self.bytes.heads_per_key_head),
            q_len: word(q_len),
            k_len: word(k_len),
            k_capacity: word(k_capacity),
            q_tiles: word(q_tiles),
            scale_bits: self.factors.scale.to_bits(),
            cap_bits: self.factors.cap.to_bits(),
            q_first: q.first,
            k_first: k.first,
            v_first: v.first,
            out_first: out.first,
            lse_first: lse.first,
            mask_first: mask.map_or(0, |window| window.first),
            query_blocks: word(query_blocks),
            words_per_row: word(words_per_row),
            // llvmpipe gives each of its threads a contiguous part of a dispatch.
            alternate: self.gpu.is_software().into(),
            parts: word(parts),
            ..AttentionParams::default()
        };
        let fmas =
            2 * (self.tile.queries() * head_dim) as u64 * self.division.keys(shape.k_len()) as u64;
        let mut groups = heads_of_slice * q_tiles;
        let mut buffers = vec![
            ("q", q.binding()),
            ("k", k.binding()),
            ("v", v.binding()),
            ("out", out.binding()),
            ("lse", lse.binding()),
        ];
        if let Some(sort) = &self.sort {
            let rows = heads.len() * query_blocks;
            // A processor keeps no keys from one row to the next, and its threads take heads of their own.
            let together = if self.gpu.is_software() {
                rows
            } else {
                self.heads_together().min(heads.len()) * query_blocks
            };
            sort.record(
                &self.gpu,
                recorder,
                params,
                &walk,
                word(rows),
                word(together),
            )?;
            buffers.push(("work_list", sort.list.as_entire_binding()));
            groups = rows * (self.problem.block / self.tile.queries());
        }
        buffers.extend(walk);
        let groups = word(groups * parts);
        dispatch(
            &self.gpu, recorder, &self.main, params, &buffers, groups, fmas,
        )
    }

    pub(crate) fn record_merge(
        &self,
        recorder: &mut impl Recorder,
        operands: &Operands<'_>,
        heads: &Range<usize>,
    ) -> Result<(), Error> {
        let Some(merge) = &self.merge else {
            return Ok(());
        };
        let shape = self.problem.shape;
        let params = MergeParams {
            rows: word(heads.len() * shape.q_len()),
            tokens: word(shape.q_len()),
            first_head: word(heads.start),
            q_heads: word(shape.q_heads()),
            q_len: word(shape.q_len()),
            ..MergeParams::default()
        };
        let (out, lse) = (self.out(operands, heads), self.lse(operands, heads));
        merge.record(&self.gpu, recorder, params, out, lse)
    }

    /// Where the output of some heads goes: what rounds it, or the tensor.
    fn out<'a>(&'a self, operands: &Operands<'a>, heads: &Range<usize>) -> Window<'a> {
        let q_len = self.problem.shape.q_len();
        let row = self.problem.shape.head_dim() / self.unit;
        match &self.convert {
            Some(convert) => {
                Window::whole(&convert.sums).starting_at(word(heads.start * q_len * row))
            }
            None => self.rows(operands.out, heads, q_len),
        }
    }

    /// The log-sum-exps of some heads.
    fn lse<'a>(&'a self, operands: &Operands<'a>, heads: &Range<usize>) -> Window<'a> {
        let lse = operands.lse;
        let range = elements(heads, self.problem.shape.q_len());
        Window::new(&self.gpu, lse.buffer(), lse.offset(), 4, range)
    }

    /// The window of some heads of q, k, v or out, in units.
    pub(crate) fn rows<'a>(
        &'a self,
        tensor: &'a GpuTensor,
        heads: &Range<usize>,
        tokens: usize,
    ) -> Window<'a> {
        let unit_bytes = (self.unit * tensor.dtype().bytes()) as u64;
        let units = elements(heads, tokens * self.problem.shape.head_dim() / self.unit);
        Window::new(
            &self.gpu,
            tensor.buffer(),
            tensor.offset(),
            unit_bytes,
            units,
        )
    }

    /// Query heads whose keys and values are in use at the same time.
    pub(crate) fn heads_together(&self) -> usize {
        // A processor works on one or two rows of one head at a time.
        let cache: u64 = if self.gpu.is_software() { 0 } else { 16 << 20 };
        let key_heads = cache.checked_div(2 * self.bytes.key).unwrap_or(u64::MAX);
        usize::try_from(key_heads)
            .unwrap_or(usize::MAX)
            .max(1)
            .saturating_mul(self.bytes.heads_per_key_head)
    }

    pub(crate) fn record_convert(
        &self,
        recorder: &mut impl Recorder,
        out: &GpuTensor,
        heads: &Range<usize>,
    ) -> Result<(), Error> {
        let Some(convert) = &self.convert else {
            return Ok(());
        };
        let shape = self.problem.shape;
        let range = elements(heads, shape.q_len() * shape.head_dim());
        convert.record(&self.gpu, recorder, out, range)
    }
}

/// The elements of some heads of `head_elements` each.
fn elements(heads: &Range<usize>, head_elements: usize) -> Range<u64> {
    heads.start as u64 * head_elements as u64..heads.end as u64 * head_elements as u64
}
