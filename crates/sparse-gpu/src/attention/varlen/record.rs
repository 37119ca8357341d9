//! Recording attention over packed sequences: operands checked, one dispatch per range of items, halves rounded.

use std::ops::Range;

use super::slices::tokens;
use crate::attention::few::Division;
use crate::attention::params::{AttentionParams, MergeParams};
use crate::attention::record::Operands;
use crate::counting::word;
use crate::dispatch::{Recorder, dispatch};
use crate::ops::varlen_attention::{ItemSlice, VarlenAttentionPlan};
use crate::window::Window;
use crate::{Error, GpuMask, GpuTensor};

impl VarlenAttentionPlan {
    pub(crate) fn check(
        &self,
        operands: &Operands<'_>,
        operation: &'static str,
    ) -> Result<(), Error> {
        let problem = &self.problem;
        let shape = &problem.shape;
        let (q_shape, kv_shape) = (shape.q_shape(), shape.kv_shape());
        let lse_shape = [shape.q_heads(), shape.q().total()];
        let shapes: [&[usize]; 3] = [&q_shape, &kv_shape, &lse_shape];
        operands.check_tensors(&self.gpu, operation, problem.types, shapes)?;
        operands.check_mask(&self.gpu, operation, problem.masked, problem.mask_shape())?;
        operands.check_aliases(operation, &[])
    }

    pub(crate) fn record_main(
        &self,
        recorder: &mut impl Recorder,
        operands: &Operands<'_>,
        slice: &ItemSlice,
    ) -> Result<(), Error> {
        let shape = &self.problem.shape;
        let queries = tokens(shape.q().offsets(), &slice.items);
        let keys = tokens(shape.k().offsets(), &slice.items);
        let q = self.rows(operands.q, &queries, shape.q_heads());
        let k = self.rows(operands.k, &keys, shape.kv_heads());
        let v = self.rows(operands.v, &keys, shape.kv_heads());
        let (out, lse) = match &self.merge {
            // Its rows are numbered as the log-sum-exps.
            Some(merge) => (Window::whole(&merge.sums), Window::whole(&merge.statistics)),
            None => (self.out(operands, &queries), self.lse(operands)),
        };
        let [_, mask_heads, query_blocks, _] = self.problem.mask_shape();
        let words_per_row = operands.mask.map_or(0, GpuMask::words_per_row);
        let item_words = (mask_heads * query_blocks * words_per_row) as u64;
        let mask = operands.mask.map(|mask| {
            let words = slice.items.start as u64 * item_words..slice.items.end as u64 * item_words;
            Window::new(&self.gpu, &mask.words, 0, 4, words)
        });
        let mut buffers = vec![
            ("q", q.binding()),
            ("k", k.binding()),
            ("v", v.binding()),
            ("out", out.binding()),
            ("lse", lse.binding()),
            ("work_list", self.list.as_entire_binding()),
        ];
        buffers.extend(mask.map(|window| ("mask", window.binding())));
        let kinds = self.kinds.as_ref();
        buffers.extend(kinds.map(|kinds| ("kinds", kinds.as_entire_binding())));
        let params = AttentionParams {
            q_heads: word(shape.q_heads()),
            q_len: word(shape.q().total()),
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
            list_first: word(slice.tiles.start),
            parts: word(self.division.parts),
            ..AttentionParams::default()
        };
        let keys = self.division.keys(shape.k().longest());
        let fmas = 2 * (self.tile.queries() * shape.head_dim()) as u64 * keys as u64;
        let Division { heads, parts, .. } = self.division;
        let groups = word(slice.tiles.len() * (shape.q_heads() / heads) * parts);
        dispatch(
            &self.gpu, recorder, &self.main, params, &buffers, groups, fmas,
        )
    }

    pub(crate) fn record_merge(
        &self,
        recorder: &mut impl Recorder,
        operands: &Operands<'_>,
        slice: &ItemSlice,
    ) -> Result<(), Error> {
        let Some(merge) = &self.merge else {
            return Ok(());
        };
        let shape = &self.problem.shape;
        let queries = tokens(shape.q().offsets(), &slice.items);
        let params = MergeParams {
            rows: word(shape.q_heads() * queries.len()),
            tokens: word(queries.len()),
            first_token: word(queries.start),
            q_heads: word(shape.q_heads()),
            q_len: word(shape.q().total()),
            ..MergeParams::default()
        };
        let (out, lse) = (self.out(operands, &queries), self.lse(operands));
        merge.record(&self.gpu, recorder, params, out, lse)
    }

    /// Where the output of some tokens goes: what rounds it, or the tensor.
    fn out<'a>(&'a self, operands: &Operands<'a>, queries: &Range<usize>) -> Window<'a> {
        let shape = &self.problem.shape;
        match &self.convert {
            Some(convert) => {
                let row = shape.head_dim() / self.unit;
                let first = queries.start * shape.q_heads() * row;
                Window::whole(&convert.sums).starting_at(word(first))
            }
            None => self.rows(operands.out, queries, shape.q_heads()),
        }
    }

    fn lse<'a>(&'a self, operands: &Operands<'a>) -> Window<'a> {
        let shape = &self.problem.shape;
        let all = 0..(shape.q_heads() * shape.q().total()) as u64;
        let lse = operands.lse;
        Window::new(&self.gpu, lse.buffer(), lse.offset(), 4, all)
    }

    /// The window of some tokens of q, k, v or out, in units.
    fn rows<'a>(
        &'a self,
        tensor: &'a GpuTensor,
        tokens: &Range<usize>,
        heads: usize,
    ) -> Window<'a> {
        let unit_bytes = (self.unit * tensor.dtype().bytes()) as u64;
        let token = (heads * self.problem.shape.head_dim() / self.unit) as u64;
        let units = tokens.start as u64 * token..tokens.end as u64 * token;
        Window::new(
            &self.gpu,
            tensor.buffer(),
            tensor.offset(),
            unit_bytes,
            units,
        )
    }

    pub(crate) fn record_convert(
        &self,
        recorder: &mut impl Recorder,
        out: &GpuTensor,
        slice: &ItemSlice,
    ) -> Result<(), Error> {
        let Some(convert) = &self.convert else {
            return Ok(());
        };
        let shape = &self.problem.shape;
        let token = (shape.q_heads() * shape.head_dim()) as u64;
        let queries = tokens(shape.q().offsets(), &slice.items);
        let range = queries.start as u64 * token..queries.end as u64 * token;
        convert.record(&self.gpu, recorder, out, range)
    }
}
