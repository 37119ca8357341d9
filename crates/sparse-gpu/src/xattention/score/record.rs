//! Recording one step of a part: packing queries or keys, scoring, reducing.

use std::ops::Range;

use sparse_shaders::XAttentionPackKernel;

use super::work::{Packer, Work};
use super::{FirstTokens, ScoreEngine, ScoreScratch};
use crate::counting::word;
use crate::dispatch::dispatch;
use crate::window::Window;
use crate::xattention::params::{PackGroupsParams, ReduceParams, ScoreParams};
use crate::xattention::source::Source;
use crate::{Error, GpuTensor};

/// What is recorded, with which operands.
pub(super) struct Recording<'a> {
    pub(super) work: &'a Work,
    pub(super) q: &'a GpuTensor,
    pub(super) k: &'a GpuTensor,
    pub(super) first: FirstTokens,
    pub(super) scores: &'a GpuTensor,
    pub(super) scratch: &'a ScoreScratch,
}

/// Token groups to pack, and where from and to.
struct Packing<'a> {
    packer: &'a Packer,
    x: &'a GpuTensor,
    source: &'a Source,
    /// Of the tensor.
    first_token: usize,
    heads: &'a Range<usize>,
    groups: Range<usize>,
    /// Rows or panels of a head.
    rows: usize,
    workgroups: usize,
    packed: &'a wgpu::Buffer,
}

impl ScoreEngine {
    pub(super) fn record_pack_queries(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        of: &Recording<'_>,
        heads: &Range<usize>,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let sizes = &self.sizes;
        let panels = sizes.panels(rows);
        // An invocation moves 4 groups by 4 k.
        let per_panel =
            (sizes.steps * sizes.kernel.tile.panel() / 4).div_ceil(XAttentionPackKernel::MOVES);
        let packing = Packing {
            packer: &of.work.queries,
            x: of.q,
            source: &sizes.queries,
            first_token: of.first.q,
            heads,
            groups: sizes.query_groups(rows),
            rows: panels,
            workgroups: heads.len() * panels * per_panel,
            packed: &of.scratch.queries,
        };
        self.record_pack(pass, &packing)
    }

    pub(super) fn record_pack_keys(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        of: &Recording<'_>,
        heads: &Range<usize>,
        units: &Range<usize>,
    ) -> Result<(), Error> {
        let groups = self.sizes.key_groups(units);
        let (Some(packer), Some(packed)) = (&of.work.keys, &of.scratch.keys) else {
            return Ok(());
        };
        if groups.is_empty() {
            return Ok(());
        }
        let key_heads = self.sizes.key_heads(heads);
        let rows = groups.len();
        let packing = Packing {
            packer,
            x: of.k,
            source: &self.sizes.keys,
            first_token: of.first.k,
            heads: &key_heads,
            groups,
            rows,
            workgroups: (key_heads.len() * rows * self.sizes.steps)
                .div_ceil(XAttentionPackKernel::MOVES),
            packed,
        };
        self.record_pack(pass, &packing)
    }

    fn record_pack(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        packing: &Packing<'_>,
    ) -> Result<(), Error> {
        let Packing { source, x, .. } = *packing;
        let tokens = self.sizes.tokens(&packing.groups, source.len);
        let elements = source.elements(packing.heads, &tokens);
        let before = source.elements_before(packing.first_token);
        let unit = packing.packer.unit as u64;
        let window = Window::new(
            &self.gpu,
            x.buffer(),
            x.offset(),
            unit * x.dtype().bytes() as u64,
            (before + elements.start) / unit..(before + elements.end) / unit,
        );
        let params = PackGroupsParams {
            heads: word(packing.heads.len()),
            first_head: word(packing.heads.start),
            len: word(source.len),
            capacity: word(source.capacity),
            stride: word(self.sizes.layout.options().stride),
            first_row: word(packing.groups.start),
            rows: word(packing.rows),
            steps: word(self.sizes.steps),
            x_first: window.first_in_item(1, before / unit),
            ..PackGroupsParams::default()
        };
        let buffers = [
            ("x", window.binding()),
            ("packed", packing.packed.as_entire_binding()),
        ];
        let (kernel, count) = (&packing.packer.kernel, word(packing.workgroups));
        dispatch(&self.gpu, pass, kernel, params, &buffers, count, 1024)
    }

    pub(super) fn record_score(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        of: &Recording<'_>,
        heads: &Range<usize>,
        rows: &Range<usize>,
        units: &Range<usize>,
    ) -> Result<(), Error> {
        let Recording {
            work, k, scratch, ..
        } = *of;
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
        let (window, bound, stride, lead) = match &scratch.keys {
            Some(keys) if work.keys.is_some() => {
                let bound = sizes.key_groups(&units);
                let stride = self.slice_groups(work, &units) * sizes.steps;
                (Window::whole(keys), bound, stride, 0)
            }
            _ => {
                // In vec4s, as is the distance from one key head to the next.
                let elements = sizes.keys.elements(&key_heads, &(0..shape.k_len()));
                let before = sizes.keys.elements_before(of.first.k);
                let range = (before + elements.start) / 4..(before + elements.end) / 4;
                let stride = sizes.keys.capacity * shape.head_dim() / 4;
                let lead = key_heads.start * stride;
                let window = Window::new(&self.gpu, k.buffer(), k.offset(), 16, range);
                let lead = word(lead).wrapping_sub(window.first_in_item(1, before / 4));
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
            ("packed_queries", scratch.queries.as_entire_binding()),
            ("key_rows", window.binding()),
            ("maxima_and_sums", scratch.maxima.as_entire_binding()),
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
        of: &Recording<'_>,
        heads: &Range<usize>,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let Recording {
            work,
            scores,
            scratch,
            ..
        } = *of;
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
            ("maxima_and_sums", scratch.maxima.as_entire_binding()),
            ("scores", window.binding()),
        ];
        let count = word(heads.len() * rows.len());
        let fmas = 2 * (layout.groups_per_block() as u64).saturating_mul(sizes.blocks as u64);
        dispatch(&self.gpu, pass, &work.reduce, params, &buffers, count, fmas)
    }
}
