//! Recording attention over packed sequences: operands checked, one dispatch per range of items, halves rounded.

use std::ops::Range;

use super::slices::tokens;
use crate::attention::params::AttentionParams;
use crate::attention::record::Operands;
use crate::counting::word;
use crate::dispatch::{Recorder, dispatch};
use crate::ops::varlen_attention::{ItemSlice, OPERATION, VarlenAttentionPlan};
use crate::window::Window;
use crate::{Error, GpuMask, GpuTensor};

impl VarlenAttentionPlan {
    pub(crate) fn check(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let problem = &self.problem;
        let shape = &problem.shape;
        let (q_shape, kv_shape) = (shape.q_shape(), shape.kv_shape());
        let lse_shape = [shape.q_heads(), shape.q().total()];
        let shapes: [&[usize]; 3] = [&q_shape, &kv_shape, &lse_shape];
        operands.check_tensors(&self.gpu, OPERATION, problem.types, shapes)?;
        operands.check_mask(&self.gpu, OPERATION, problem.masked, problem.mask_shape())?;
        operands.check_aliases(OPERATION, &[])
    }

    pub(crate) fn record_main(
        &self,
        recorder: &mut impl Recorder,
        operands: &Operands<'_>,
        slice: &ItemSlice,
    ) {
        let shape = &self.problem.shape;
        let queries = tokens(shape.q().offsets(), &slice.items);
        let keys = tokens(shape.k().offsets(), &slice.items);
        let q = self.rows(operands.q, &queries, shape.q_heads());
        let k = self.rows(operands.k, &keys, shape.kv_heads());
        let v = self.rows(operands.v, &keys, shape.kv_heads());
        let out = match &self.convert {
            Some(convert) => {
                let row = shape.head_dim() / self.unit;
                let first = queries.start * shape.q_heads() * row;
                Window::whole(&convert.sums).starting_at(word(first))
            }
            None => self.rows(operands.out, &queries, shape.q_heads()),
        };
        let lse = Window::new(
            &self.gpu,
            operands.lse.buffer(),
            operands.lse.offset(),
            4,
            0..(shape.q_heads() * shape.q().total()) as u64,
        );
        let [_, q_heads, query_blocks, _] = self.problem.mask_shape();
        let words_per_row = operands.mask.map_or(0, GpuMask::words_per_row);
        let item_words = (q_heads * query_blocks * words_per_row) as u64;
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
            q_heads: word(q_heads),
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
            ..AttentionParams::default()
        };
        let fmas = 2 * (self.tile.queries() * shape.head_dim()) as u64 * shape.k().longest() as u64;
        let groups = word(slice.tiles.len() * q_heads);
        dispatch(
            &self.gpu, recorder, &self.main, params, &buffers, groups, fmas,
        );
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
    ) {
        let Some(convert) = &self.convert else { return };
        let shape = &self.problem.shape;
        let token = (shape.q_heads() * shape.head_dim()) as u64;
        let queries = tokens(shape.q().offsets(), &slice.items);
        let range = queries.start as u64 * token..queries.end as u64 * token;
        convert.record(&self.gpu, recorder, out, range);
    }
}
