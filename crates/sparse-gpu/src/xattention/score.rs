//! Planning and recording the scores: pack, score, reduce, part by part with the same scratch memory.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_core::xattention::Pooling;
use sparse_shaders::{XAttentionPackKernel, XAttentionReduceKernel, XAttentionScoreKernel};

use super::params::{PackGroupsParams, ReduceParams, ScoreParams};
use super::parts::{MOST_BYTES, Parts, Sizes};
use super::{check_counts, choose, rules, word};
use crate::dispatch::dispatch;
use crate::error::storage;
use crate::kernel::CompiledKernel;
use crate::ops::XAttentionScore;
use crate::problem::Explanation;
use crate::window::{Window, window_bytes};
use crate::{Error, Gpu, GpuTensor};

const OPERATION: &str = "xattention_score";

/// A planned scoring.
#[derive(Debug)]
pub(crate) struct ScoreEngine {
    gpu: Gpu,
    sizes: Sizes,
    types: [DType; 2],
    /// None where there is nothing to score.
    work: Option<Work>,
    scale: f32,
    explanation: Explanation,
}

/// Kernels, scratch memory, and the division of the problem.
#[derive(Debug)]
struct Work {
    parts: Parts,
    score: Arc<CompiledKernel>,
    reduce: Arc<CompiledKernel>,
    queries: Packed,
    /// None where k is read where it is.
    keys: Option<Packed>,
    maxima: wgpu::Buffer,
}

/// A kernel that packs, and where it writes.
#[derive(Debug)]
struct Packed {
    kernel: Arc<CompiledKernel>,
    buffer: wgpu::Buffer,
    /// Elements that it loads at a time.
    unit: usize,
}

/// Refuses a scale that is a number in f64 and none, or 0, in f32.
fn check_scale(scale: f32) -> Result<(), Error> {
    if scale.is_finite() && scale > 0.0 {
        return Ok(());
    }
    let reason = format!("scale / norm is {scale} in f32, in which the kernels compute");
    Err(Error::invalid(OPERATION, reason))
}

impl ScoreEngine {
    pub(crate) async fn plan(gpu: &Gpu, problem: &XAttentionScore) -> Result<Self, Error> {
        let layout = problem.options.layout(problem.shape)?;
        let (q_shape, kv_shape) = (problem.shape.q_shape(), problem.shape.kv_shape());
        let sums_shape = layout.score_shape();
        check_counts(
            OPERATION,
            &[("q", &q_shape), ("k", &kv_shape), ("sums", &sums_shape)],
        )?;
        if let Some(tile) = problem.tile {
            tile.check(&|| tile.to_string())
                .map_err(|e| Error::tile(OPERATION, &e))?;
        }
        let kernel = XAttentionScoreKernel {
            groups_per_block: layout.groups_per_block(),
            tile: problem
                .tile
                .unwrap_or_else(|| choose::tile(layout.q_groups(), gpu.class())),
            rules: rules(&problem.options),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the nearest f32 is the purpose"
        )]
        let scale = (layout.scale() / problem.options.norm) as f32;
        check_scale(scale)?;
        let sizes = Sizes::new(layout, kernel);
        let mut explanation = Explanation {
            operation: OPERATION,
            kernel: "none".to_owned(),
            tile: format!(
                "{} key groups x {} query groups x {} lanes",
                kernel.rows(),
                kernel.tile.cols,
                kernel.tile.lanes
            ),
            tier: "portable",
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: 0,
            notes: Vec::new(),
        };
        let work = if sums_shape.contains(&0) {
            explanation.notes.push("nothing to score".to_owned());
            None
        } else {
            Some(Work::plan(gpu, problem, &sizes, &mut explanation).await?)
        };
        Ok(Self {
            gpu: gpu.clone(),
            sizes,
            types: [problem.q, problem.k],
            work,
            scale,
            explanation,
        })
    }

    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }

    pub(crate) fn sums_shape(&self) -> [usize; 4] {
        self.sizes.layout.score_shape()
    }

    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        sums: &GpuTensor,
    ) -> Result<(), Error> {
        let shape = self.sizes.layout.shape();
        q.expect(OPERATION, "q", &shape.q_shape(), self.types[0])?;
        k.expect(OPERATION, "k", &shape.kv_shape(), self.types[1])?;
        sums.expect(OPERATION, "sums", &self.sums_shape(), DType::F32)?;
        for (input, buffer) in [("q", q.buffer()), ("k", k.buffer())] {
            if buffer == sums.buffer() {
                return Err(Error::Aliased {
                    operation: OPERATION,
                    output: "sums",
                    input,
                });
            }
        }
        let Some(work) = &self.work else {
            return Ok(());
        };
        for heads in &work.parts.heads {
            let mut packed_slice = None;
            for rows in &work.parts.strips {
                if !self.sizes.query_groups(rows).is_empty() {
                    self.record_pack_queries(pass, work, q, heads, rows);
                    for units in &work.parts.slices {
                        if packed_slice != Some(units) {
                            self.record_pack_keys(pass, work, k, heads, units);
                            packed_slice = Some(units);
                        }
                        self.record_score(pass, work, k, heads, rows, units);
                    }
                }
                self.record_reduce(pass, work, sums, heads, rows);
            }
        }
        Ok(())
    }

    fn record_pack_queries(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        q: &GpuTensor,
        heads: &Range<usize>,
        rows: &Range<usize>,
    ) {
        let sizes = &self.sizes;
        let len = sizes.layout.shape().q_len();
        let groups = sizes.query_groups(rows);
        let panels = sizes.panels(rows);
        // An invocation moves 4 groups by 4 k.
        let per_panel = (sizes.steps * sizes.kernel.tile.panel() / 4).div_ceil(64);
        let workgroups = heads.len() * panels * per_panel;
        self.record_pack(
            pass,
            &work.queries,
            q,
            len,
            heads,
            (groups, panels, workgroups),
        );
    }

    fn record_pack_keys(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        k: &GpuTensor,
        heads: &Range<usize>,
        units: &Range<usize>,
    ) {
        let groups = self.sizes.key_groups(units);
        if let Some(keys) = work.keys.as_ref().filter(|_| !groups.is_empty()) {
            let key_heads = self.sizes.key_heads(heads);
            let len = self.sizes.layout.shape().k_len();
            let rows = groups.len();
            let workgroups = (key_heads.len() * rows * self.sizes.steps).div_ceil(64);
            self.record_pack(pass, keys, k, len, &key_heads, (groups, rows, workgroups));
        }
    }

    /// Packs some token groups of some heads of `x` into `rows` rows or panels a head.
    fn record_pack(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        packed: &Packed,
        x: &GpuTensor,
        len: usize,
        heads: &Range<usize>,
        (groups, rows, workgroups): (Range<usize>, usize, usize),
    ) {
        let layout = &self.sizes.layout;
        let (head_dim, stride) = (layout.shape().head_dim(), layout.options().stride);
        let tokens = groups.start * stride..(groups.end * stride).min(len);
        let element = |head: usize, token: usize| (head * len + token) * head_dim / packed.unit;
        let units = element(heads.start, tokens.start)..element(heads.end - 1, tokens.end);
        let window = Window::new(
            &self.gpu,
            x.buffer(),
            x.offset(),
            (packed.unit * x.dtype().bytes()) as u64,
            units.start as u64..units.end as u64,
        );
        let params = PackGroupsParams {
            heads: word(heads.len()),
            len: word(len),
            stride: word(stride),
            first_row: word(groups.start),
            rows: word(rows),
            steps: word(self.sizes.steps),
            // Below zero, as the kernel adds it, where the window starts after the head does.
            x_lead: word(element(heads.start, 0)).wrapping_sub(window.first),
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
        );
    }

    fn record_score(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        k: &GpuTensor,
        heads: &Range<usize>,
        rows: &Range<usize>,
        units: &Range<usize>,
    ) {
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
            return;
        }
        let key_heads = sizes.key_heads(heads);
        let (window, bound, stride, lead) = match &work.keys {
            Some(keys) => {
                let bound = sizes.key_groups(&units);
                let stride = self.slice_groups(work, &units) * sizes.steps;
                (Window::whole(&keys.buffer), bound, stride, 0)
            }
            None => {
                let stride = sizes.real_key_groups * sizes.steps;
                let range = key_heads.start * stride..key_heads.end * stride;
                let window = Window::new(
                    &self.gpu,
                    k.buffer(),
                    k.offset(),
                    16,
                    range.start as u64..range.end as u64,
                );
                let lead = word(range.start) - window.first;
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
        dispatch(&self.gpu, pass, &work.score, params, &buffers, count, fmas);
    }

    /// Key groups of a head that were packed together with these units.
    fn slice_groups(&self, work: &Work, units: &Range<usize>) -> usize {
        let slices = work.parts.slices.iter();
        let slice = slices.filter(|slice| slice.contains(&units.start));
        slice.map(|slice| self.sizes.key_groups(slice).len()).sum()
    }

    fn record_reduce(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        work: &Work,
        sums: &GpuTensor,
        heads: &Range<usize>,
        rows: &Range<usize>,
    ) {
        let sizes = &self.sizes;
        let layout = &sizes.layout;
        let shape = layout.shape();
        let element = |head: usize, row: usize| (head * sizes.rows + row) * sizes.blocks;
        let range = element(heads.start, rows.start)..element(heads.end - 1, rows.end);
        let window = Window::new(
            &self.gpu,
            sums.buffer(),
            sums.offset(),
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
            sums_first: window.first,
            q_len: word(shape.q_len()),
            k_len: word(shape.k_len()),
            stride: word(layout.options().stride),
            k_groups: word(layout.k_groups()),
            group_offset: self.group_offset(),
            ..ReduceParams::default()
        };
        let buffers = [
            ("maxima_and_sums", work.maxima.as_entire_binding()),
            ("sums", window.binding()),
        ];
        let count = word(heads.len() * rows.len());
        let fmas = 2 * (layout.groups_per_block() as u64).saturating_mul(sizes.blocks as u64);
        dispatch(&self.gpu, pass, &work.reduce, params, &buffers, count, fmas);
    }

    fn group_offset(&self) -> u32 {
        let reference = self.sizes.layout.reference();
        word(reference.map_or(0, |reference| reference.group_offset))
    }
}

impl Work {
    async fn plan(
        gpu: &Gpu,
        problem: &XAttentionScore,
        sizes: &Sizes,
        explanation: &mut Explanation,
    ) -> Result<Self, Error> {
        let options = &problem.options;
        let limit = window_bytes(gpu);
        let notes = &mut explanation.notes;
        let in_place = keys_in_place(problem, sizes, limit);
        notes.push(if in_place {
            "k is read where it is".to_owned()
        } else {
            "k is copied into rows of f32 that start at multiples of four".to_owned()
        });
        let most = problem.most_scratch.unwrap_or(MOST_BYTES);
        let parts = Parts::new(sizes, in_place, most, limit)
            .ok_or_else(|| too_large(gpu, problem, sizes))?;
        notes.push(format!(
            "q and k packed, and one maximum and one sum per query group and key block, in at most {} KiB each: {} part(s) of heads, {} \
             of query blocks, {} of keys",
            most >> 10,
            parts.heads.len(),
            parts.strips.len(),
            parts.slices.len()
        ));
        let reference = sizes.layout.reference();
        let softmax = reference.is_none_or(|r| r.options.softmax);
        let slash = reference.is_some_and(|r| r.options.pooling == Pooling::Slash);
        let rules = rules(options);
        check_loops(gpu, sizes)?;
        let reduce = XAttentionReduceKernel {
            groups_per_block: sizes.kernel.groups_per_block,
            rules,
            softmax,
        };
        let heads = parts.heads.iter().map(Range::len).max().unwrap_or(0);
        let key_heads = parts.heads.iter().map(|h| sizes.key_heads(h).len());
        let key_heads = key_heads.max().unwrap_or(0);
        let head_dim = problem.shape.head_dim();
        let pack = |input: DType, panel: usize, reversed: bool| XAttentionPackKernel {
            input: storage(input),
            head_dim,
            panel,
            reversed,
        };
        let bytes = Parts::largest(&parts.strips, |rows| sizes.query_bytes(heads, rows));
        let kernel = pack(problem.q, sizes.kernel.tile.panel(), !slash);
        let queries = Packed::new(gpu, "packed queries", kernel, bytes).await?;
        let keys = if in_place {
            None
        } else {
            let bytes = Parts::largest(&parts.slices, |units| sizes.key_bytes(key_heads, units));
            let kernel = pack(problem.k, 0, false);
            Some(Packed::new(gpu, "packed keys", kernel, bytes).await?)
        };
        let bytes = Parts::largest(&parts.strips, |rows| sizes.maxima_bytes(heads, rows));
        let maxima = gpu.allocate("maxima and sums", bytes, wgpu::BufferUsages::STORAGE)?;
        explanation.scratch_bytes = queries.buffer.size()
            + keys.as_ref().map_or(0, |keys| keys.buffer.size())
            + maxima.size();
        let score = gpu.compile(&sizes.kernel).await?;
        explanation.kernel = score.name().to_owned();
        Ok(Self {
            parts,
            score,
            reduce: gpu.compile(&reduce).await?,
            queries,
            keys,
            maxima,
        })
    }
}

impl Packed {
    async fn new(
        gpu: &Gpu,
        what: &str,
        kernel: XAttentionPackKernel,
        bytes: u64,
    ) -> Result<Self, Error> {
        Ok(Self {
            kernel: gpu.compile(&kernel).await?,
            buffer: gpu.allocate(what, bytes, wgpu::BufferUsages::STORAGE)?,
            unit: if kernel.vectors() { 4 } else { 1 },
        })
    }
}

/// Whether k is already rows of whole vec4s without padding.
fn keys_in_place(problem: &XAttentionScore, sizes: &Sizes, window: u64) -> bool {
    let (shape, stride) = (problem.shape, problem.options.stride);
    problem.k == DType::F32
        && (stride * shape.head_dim()).is_multiple_of(4)
        && shape.k_len().is_multiple_of(stride)
        && sizes.key_bytes(1, &(0..sizes.units())) <= window
}

/// Refuses problems whose loops a driver would end early.
fn check_loops(gpu: &Gpu, sizes: &Sizes) -> Result<(), Error> {
    let (groups, blocks) = (sizes.kernel.groups_per_block, sizes.blocks);
    let what = |step: &str| {
        format!(
            "{step} of blocks of {groups} groups, {blocks} of them, and groups of {} numbers",
            4 * sizes.steps
        )
    };
    let rounds = sizes.kernel.tiles().saturating_mul(sizes.steps + 1);
    gpu.check_loops(what(OPERATION), rounds)?;
    // Per 64 query groups: their key blocks and parts, then whole key blocks.
    let width = groups.next_power_of_two().min(64);
    let chunk = blocks.saturating_mul(width).div_ceil(64)
        + 2 * 64 / width
        + blocks.div_ceil(64).saturating_mul(width + 1);
    let rounds = groups.div_ceil(width).saturating_mul(chunk + 1);
    gpu.check_loops(what("xattention_reduce"), rounds)
}

fn too_large(gpu: &Gpu, problem: &XAttentionScore, sizes: &Sizes) -> Error {
    let row = 0..1;
    let needs = sizes
        .query_bytes(1, &row)
        .max(sizes.maxima_bytes(1, &row))
        .max(sizes.key_bytes(1, &row));
    Error::Unavailable {
        what: format!(
            "{OPERATION} with stride {}, head_dim {} and k_len {}",
            problem.options.stride,
            problem.shape.head_dim(),
            problem.shape.k_len()
        ),
        needs: format!("bindings of {needs} bytes for one row of blocks"),
        has: gpu.limits().max_storage_buffer_binding_size.to_string(),
        hint: "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or take a smaller stride, or larger blocks".to_owned(),
    }
}
