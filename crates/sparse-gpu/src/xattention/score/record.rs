//! Recording one step of a part: packing queries or keys, scoring, reducing.

use std::ops::Range;

use sparse_shaders::XAttentionPackKernel;

use super::ScoreEngine;
use super::work::{Packed, Work};
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::window::Window;
use crate::xattention::params::{PackGroupsParams, ReduceParams, ScoreParams};
use crate::xattention::source::Source;
use crate::{Error, GpuTensor};

impl ScoreEngine {
    pub(super) fn record_pack_queries(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        q: &GpuTensor,
        heads: &Range<usize>,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let sizes = &self.sizes;
        let groups = sizes.query_groups(rows);
        let panels = sizes.panels(rows);
        // An invocation moves 4 groups by 4 k.
        let per_panel =
            (sizes.steps * sizes.kernel.tile.panel() / 4).div_ceil(XAttentionPackKernel::MOVES);
        let workgroups = heads.len() * panels * per_panel;
        self.record_pack(
            pass,
            &work.queries,
            (q, &sizes.queries),
            heads,
            (groups, panels, workgroups),
        )
    }

    pub(super) fn record_pack_keys(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        k: &GpuTensor,
        heads: &Range<usize>,
        units: &Range<usize>,
    ) -> Result<(), Error> {
        let groups = self.sizes.key_groups(units);
        if let Some(keys) = work.keys.as_ref().filter(|_| !groups.is_empty()) {
            let key_heads = self.sizes.key_heads(heads);
            let rows = groups.len();
            let workgroups =
                (key_heads.len() * rows * self.sizes.steps).div_ceil(XAttentionPackKernel::MOVES);
            let source = (k, &self.sizes.keys);
            self.record_pack(pass, keys, source, &key_heads, (groups, rows, workgroups))?;
        }
        Ok(())
    }

    /// Packs some token groups of some heads of `x` into `rows` rows or panels a head.
    fn record_pack(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        packed: &Packed,
        (x, source): (&GpuTensor, &Source),
        heads: &Range<usize>,
        (groups, rows, workgroups): (Range<usize>, usize, usize),
    ) -> Result<(), Error> {
        let stride = self.sizes.layout.options().stride;
        let tokens = self.sizes.tokens(&groups, source.len);
        let elements = source.elements(heads, &tokens);
        let unit = packed.unit as u64;
        let window = Window::new(
            &self.gpu,
            x.buffer(),
            x.offset(),
            unit * x.dtype().bytes() as u64,
            elements.start / unit..elements.end / unit,
        );
        let params = PackGroupsParams {
            heads: word(heads.len()),
            first_head: word(heads.start),
            len: word(source.len),
            capacity: word(source.capacity),
            stride: word(stride),
            first_row: word(groups.start),
            rows: word(rows),
            steps: word(self.sizes.steps),
            x_first: window.first,
            ..PackGroupsParams::default()
        };
        let buffers = [
            ("x", window.binding()),
            ("packed", packed.buffer.as_entire_binding()),
        ];
        let count = word(workgroups);
        dispatch(
            &self.gpu,
            pass,
            &packed.kernel,
            params,
            &buffers,
            count,
            1024,
        )
    }

    pub(super) fn record_score(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        k: &GpuTensor,
        heads: &Range<usize>,
        rows: &Range<usize>,
        units: &Range<usize>,
    ) -> Result<(), Error> {
        let sizes = &self.sizes;
        let layout = &sizes.layout;
        let shape = layout.shape();
        let groups = sizes.query_groups(rows);
        // Units from here on no query group of the strip may look at.
        let unit_groups = sizes.kernel.unit_blocks() * sizes.kernel.groups_per_block;
        let reachable = layout
            .allowed_k_groups(groups.end - 1)
            .div_ceil(unit_groups);
        let units = units.start..units.end.min(reachable);
        if units.is_empty() {
            return Ok(());
        }
        let key_heads = sizes.key_heads(heads);
        let (window, bound, stride, lead) = match &work.keys {
            Some(keys) => {
                let bound = sizes.key_groups(&units);
                let stride = self.slice_groups(work, &units) * sizes.steps;
                (Window::whole(&keys.buffer), bound, stride, 0)
            }
            None => {
                // In vec4s, as is the distance from one key head to the next.
                let elements = sizes.keys.elements(&key_heads, &(0..shape.k_len()));
                let range = elements.start / 4..elements.end / 4;
                let stride = sizes.keys.capacity * shape.head_dim() / 4;
                let lead = key_heads.start * stride;
                let window = Window::new(&self.gpu, k.buffer(), k.offset(), 16, range);
                let lead = word(lead) - window.first;
                (window, 0..sizes.real_key_groups, stride, lead)
            }
        };
        let panels = sizes.panels(rows);
        let params = ScoreParams {
            units: word(units.len()),
            first_unit: word(units.start),
            panels: word(panels),
            first_query_group: word(groups.start),
            query_group_end: word(groups.end),
            heads_per_key_head: word(sizes.shared),
            first_shared: word(heads.start % sizes.shared),
            steps: word(sizes.steps),
            first_key_group: word(bound.start),
            key_group_end: word(bound.end),
            real_key_groups: word(sizes.real_key_groups),
            key_lead: lead,
            key_head_stride: word(stride),
            blocks: word(sizes.blocks),
            scale_bits: self.scale.to_bits(),
            q_len: word(shape.q_len()),
            k_len: word(shape.k_len()),
            stride: word(layout.options().stride),
            k_groups: word(layout.k_groups()),
            group_offset: self.group_offset(),
            ..ScoreParams::default()
        };
        let buffers = [
            ("packed_queries", work.queries.buffer.as_entire_binding()),
            ("key_rows", window.binding()),
            ("maxima_and_sums", work.maxima.as_entire_binding()),
        ];
        let count = word(heads.len() * panels * units.len());
        let per_step = 4 * sizes.kernel.rows() * sizes.kernel.tile.panel();
        let fmas = (per_step * sizes.kernel.tiles()) as u64 * sizes.steps as u64;
        dispatch(&self.gpu, pass, &work.score, params, &buffers, count, fmas)
    }

    /// Key groups of a head that were packed together with these units.
    fn slice_groups(&self, work: &Work, units: &Range<usize>) -> usize {
        let slices = work.parts.slices.iter();
        let slice = slices.filter(|slice| slice.contains(&units.start));
        slice.map(|slice| self.sizes.key_groups(slice).len()).sum()
    }

    pub(super) fn record_reduce(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        scores: &GpuTensor,
        heads: &Range<usize>,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let sizes = &self.sizes;
        let layout = &sizes.layout;
        let shape = layout.shape();
        let element = |head: usize, row: usize| (head * sizes.rows + row) * sizes.blocks;
        let range = element(heads.start, rows.start)..element(heads.end - 1, rows.end);
        let window = Window::new(
            &self.gpu,
            scores.buffer(),
            scores.offset(),
            4,
            range.start as u64..range.end as u64,
        );
        let quads = sizes.panels(rows) * sizes.kernel.tile.panel() / 4;
        let params = ReduceParams {
            block_rows: word(rows.len()),
            first_block_row: word(rows.start),
            first_query_group: word(sizes.query_groups(rows).start),
            query_groups: word(layout.q_groups()),
            score_rows: word(sizes.rows),
            first_head: word(heads.start),
            quads: word(quads),
            blocks: word(sizes.blocks),
            scores_first: window.first,
            q_len: word(shape.q_len()),
            k_len: word(shape.k_len()),
            stride: word(layout.options().stride),
            k_groups: word(layout.k_groups()),
            group_offset: self.group_offset(),
            ..ReduceParams::default()
        };
        let buffers = [
            ("maxima_and_sums", work.maxima.as_entire_binding()),
            ("scores", window.binding()),
        ];
        let count = word(heads.len() * rows.len());
        let fmas = 2 * (layout.groups_per_block() as u64).saturating_mul(sizes.blocks as u64);
        dispatch(&self.gpu, pass, &work.reduce, params, &buffers, count, fmas)
    }
}
