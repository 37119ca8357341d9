//! `xattention_select`: per block row, the smallest set of key blocks that holds the wanted share of the mass.

use std::ops::Range;
use std::sync::Arc;

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::{XAttentionLayout, XAttentionOptions};
use sparse_shaders::{Kernel as _, XAttentionSelectKernel};

use crate::counting::{check_countable, word};
use crate::dispatch::dispatch;
use crate::kernel::CompiledKernel;
use crate::operand::refuse_aliases;
use crate::problem::{Explanation, Problem};
use crate::window::{Window, fit_in_window, too_large_to_bind, window_bytes};
use crate::xattention::params::SelectParams;
use crate::xattention::rules;
use crate::xattention::select::head_rule;
use crate::xattention::sum_heads::HeadSums;
use crate::{Error, Gpu, GpuMask, GpuTensor, Tier};

const OPERATION: &str = "xattention_select";

/// The blocks to keep of every block row, from the scores of [`crate::XAttentionScore`]: those that are forced, and by mass descending, lower
/// index first among equals, as few more as reach the threshold, or as make a fixed count. The rows of dense and of streaming heads hold
/// what their kind means, and their scores are not read.
///
/// scores f32 `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode; all of them are finite and `>= 0`. The mask is
/// `[batch, mask heads, q_blocks, k_blocks]` on real lengths, [`XAttentionSelect::mask_shape`]. Where query heads share a mask
/// ([`XAttentionOptions::mask_heads`]), its blocks are selected from the sum of the scores of its sparse heads, in f32 (which has to hold it) and in head order; dense and streaming heads of
/// such a group have no row, so that attention over this mask takes [`XAttentionOptions::head_kinds`] too, as [`crate::XAttention::attention`] does
/// ([`XAttentionLayout::mask_of_query_heads`] gives the mask of each head). Deterministic: masses are added as
/// integers, exact to 2^-31 of a row's largest. Both modes of [`XAttentionOptions`]. The kernels are `xattention_sum_heads.wgsl` and
/// `xattention_select.wgsl`; the CPU twin is [`sparse_core::xattention::xattention_select`].
///
/// ```no_run
/// use sparse_gpu::sparse_core::attention::AttentionShape;
/// use sparse_gpu::sparse_core::xattention::XAttentionOptions;
/// use sparse_gpu::sparse_core::Tensor;
/// use sparse_gpu::{Gpu, XAttentionSelect};
///
/// let gpu = Gpu::new_blocking()?;
/// let shape = AttentionShape::try_new(1, 2, 1, 512, 512, 64)?;
/// let plan = gpu.plan_blocking(&XAttentionSelect::new(shape, XAttentionOptions::default()))?;
/// // As XAttentionScore leaves them: 4 x 4 blocks of 128 tokens for each of two heads.
/// let scores = gpu.upload(&Tensor::new(vec![1, 2, 4, 4], vec![1.0_f32; 2 * 4 * 4]))?;
/// let mut mask = plan.new_mask()?;
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let mut pass = encoder.begin_compute_pass(&Default::default());
/// plan.record(&mut pass, &scores, &mut mask)?;
/// drop(pass);
/// gpu.queue().submit([encoder.finish()]);
/// let mask = gpu.read_mask_blocking(&mask)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct XAttentionSelect {
    /// Sizes of the attention problem.
    pub shape: AttentionShape,
    /// Block, stride, threshold or count, causality, forced blocks, kinds of heads and mode.
    pub options: XAttentionOptions,
    /// Invocations that share a row, 1 to 256; none: chosen by the plan.
    pub row_lanes: Option<usize>,
}

impl XAttentionSelect {
    /// Invocations of a row by the plan.
    pub fn new(shape: AttentionShape, options: XAttentionOptions) -> Self {
        Self {
            shape,
            options,
            row_lanes: None,
        }
    }

    /// Shape of the mask: `[batch, mask heads, q_blocks, k_blocks]`, on real lengths in both modes.
    ///
    /// # Errors
    /// [`Error::XAttention`] where options and shape do not fit together.
    pub fn mask_shape(&self) -> Result<[usize; 4], Error> {
        Ok(self.options.layout(self.shape)?.mask_shape())
    }
}

/// A planned [`XAttentionSelect`]. Where query heads share a mask, it owns the sums of their scores.
#[derive(Debug)]
pub struct XAttentionSelectPlan {
    gpu: Gpu,
    layout: XAttentionLayout,
    kernel: Arc<CompiledKernel>,
    /// Rows of a workgroup.
    rows: usize,
    head_rules: wgpu::Buffer,
    /// Where query heads share a mask.
    sums: Option<HeadSums>,
    /// The mask of forced blocks, where there is one.
    forced: Option<GpuMask>,
    explanation: Explanation,
}

impl Problem for XAttentionSelect {
    type Plan = XAttentionSelectPlan;

    async fn plan(&self, gpu: &Gpu) -> Result<XAttentionSelectPlan, Error> {
        let layout = self.options.layout(self.shape)?;
        let (score_shape, mask_shape) = (layout.score_shape(), layout.mask_shape());
        check_countable(
            OPERATION,
            &[("scores", &score_shape), ("mask", &mask_shape)],
        )?;
        let row_bytes = 4 * score_shape[3] as u64;
        if row_bytes > window_bytes(gpu) {
            let what = format!("{OPERATION} with rows of {} blocks", score_shape[3]);
            return Err(too_large_to_bind(
                gpu,
                what,
                row_bytes,
                "take larger blocks",
            ));
        }
        // The rules of all heads are bound at once.
        let rule_bytes = size_of::<[u32; 4]>() as u64 * mask_shape[1] as u64;
        if rule_bytes > window_bytes(gpu) {
            let what = format!("{OPERATION} of {} heads", mask_shape[1]);
            return Err(too_large_to_bind(
                gpu,
                what,
                rule_bytes,
                "select for some of the heads at a time",
            ));
        }
        let (row_lanes, note) = self.row_lanes(gpu, score_shape[3])?;
        let kernel = XAttentionSelectKernel {
            rules: rules(&self.options),
            row_lanes,
            rows: if row_lanes == 1 { 8 } else { 1 },
            top_k: self.options.top_k.is_some(),
            forced_mask: self.options.forced.is_some(),
        };
        kernel.check().map_err(|e| Error::tile(OPERATION, &e))?;
        let compiled = gpu.compile(&kernel).await?;
        let head_rules: Vec<[u32; 4]> = (0..mask_shape[1])
            .map(|head| head_rule(&layout, head))
            .collect();
        let head_rules = gpu.upload_words("head rules", head_rules.as_flattened())?;
        let forced = self.options.forced.as_ref();
        let forced = forced.map(|mask| gpu.upload_mask(mask)).transpose()?;
        let sums = if self.options.any_sparse() {
            HeadSums::plan(gpu, &layout, fit_in_window(gpu, 4)).await?
        } else {
            None
        };
        let mut explanation = Explanation {
            operation: OPERATION,
            kernel: compiled.name().to_owned(),
            tile: format!("{} row(s) x {row_lanes} lanes", kernel.rows),
            tile_origin: None,
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: head_rules.size() + forced.as_ref().map_or(0, |mask| mask.words.size()),
            notes: vec![note.to_owned()],
        };
        if let Some(sums) = &sums {
            explanation.kernel = format!("{} + {}", sums.kernel_name(), explanation.kernel);
            explanation.scratch_bytes += sums.scratch_bytes();
            let group = layout.group_of_mask_head(0).len();
            let note = format!("the scores of {group} query heads are added up for each mask");
            explanation.notes.push(note);
        }
        Ok(XAttentionSelectPlan {
            gpu: gpu.clone(),
            layout,
            kernel: compiled,
            rows: kernel.rows,
            head_rules,
            sums,
            forced,
            explanation,
        })
    }
}

impl XAttentionSelectPlan {
    /// Records the selection into the caller's pass; it runs when the caller submits. May be recorded any number of times.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        scores: &GpuTensor,
        mask: &mut GpuMask,
    ) -> Result<(), Error> {
        let mask_shape = self.mask_shape();
        scores.expect(
            &self.gpu,
            OPERATION,
            "scores",
            &self.layout.score_shape(),
            DType::F32,
        )?;
        mask.expect(&self.gpu, OPERATION, mask_shape)?;
        refuse_aliases(
            OPERATION,
            ("mask", &mask.words),
            &[("scores", scores.buffer())],
        )?;
        if mask_shape.contains(&0) {
            return Ok(());
        }
        if let Some(sums) = &self.sums {
            sums.record(pass, scores)?;
        }
        let scores = self.sums.as_ref().map_or(scores, HeadSums::sums);
        for rows in self.slices() {
            self.record_rows(pass, scores, mask, &rows)?;
        }
        Ok(())
    }

    /// Shape of the mask: `[batch, mask heads, q_blocks, k_blocks]`, on real lengths in both modes.
    pub fn mask_shape(&self) -> [usize; 4] {
        self.layout.mask_shape()
    }

    /// A mask for the selection.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_mask`].
    pub fn new_mask(&self) -> Result<GpuMask, Error> {
        self.gpu.empty_mask(self.mask_shape())
    }

    /// Which kernel was chosen, and why.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// Rows of the mask, through batch and heads, whose scores can be bound at once.
    fn slices(&self) -> Vec<Range<usize>> {
        let [batch, heads, q_blocks, _] = self.mask_shape();
        let [_, _, score_rows, score_blocks] = self.layout.score_shape();
        let bound = fit_in_window(&self.gpu, 4 * score_blocks as u64).max(1);
        let all = batch * heads * q_blocks;
        // Whole heads where one fits, else rows of one head.
        let (outer, step) = if bound >= score_rows {
            (all, bound / score_rows * q_blocks)
        } else {
            (q_blocks, bound)
        };
        (0..all)
            .step_by(outer)
            .flat_map(|begin| {
                (begin..begin + outer)
                    .step_by(step)
                    .map(move |first| first..(first + step).min(begin + outer))
            })
            .collect()
    }

    fn record_rows(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        scores: &GpuTensor,
        mask: &GpuMask,
        rows: &Range<usize>,
    ) -> Result<(), Error> {
        let layout = &self.layout;
        let [_, heads, q_blocks, k_blocks] = self.mask_shape();
        let [_, _, score_rows, score_blocks] = layout.score_shape();
        let words_per_row = mask.words_per_row();
        let score_row = |row: usize| row / q_blocks * score_rows + row % q_blocks;
        let elements = score_row(rows.start) as u64 * score_blocks as u64
            ..(score_row(rows.end - 1) as u64 + 1) * score_blocks as u64;
        let scores = Window::new(&self.gpu, scores.buffer(), scores.offset(), 4, elements);
        let words = (rows.start * words_per_row) as u64..(rows.end * words_per_row) as u64;
        let forced = self.forced.as_ref();
        // Of the same shape, so bound from the same word on.
        let forced = forced.map(|mask| Window::new(&self.gpu, &mask.words, 0, 4, words.clone()));
        let mask = Window::new(&self.gpu, &mask.words, 0, 4, words);
        let options = layout.options();
        let shape = layout.shape();
        let reference = layout.reference();
        // More blocks than there are force nothing more.
        let columns = |n: usize| word(n.min(k_blocks));
        let params = SelectParams {
            first_row: word(rows.start),
            row_end: word(rows.end),
            heads: word(heads),
            q_blocks: word(q_blocks),
            k_blocks: word(k_blocks),
            words_per_row: word(words_per_row),
            score_rows: word(score_rows),
            score_blocks: word(score_blocks),
            index_bits: XAttentionSelectKernel::index_bits(score_blocks),
            scores_first: scores.first,
            mask_first: mask.first,
            block: word(options.block),
            q_len: word(shape.q_len()),
            k_len: word(shape.k_len()),
            sink_blocks: columns(options.sink_blocks),
            recent_blocks: word(options.recent_blocks.min(1 << 30)),
            block_offset: word(reference.map_or(0, |r| r.block_offset)),
            blocks_per_chunk: word(reference.map_or(1, |r| r.chunk / options.block)),
            keep_sink: reference.is_some_and(|r| r.options.keep_sink).into(),
            keep_recent: reference.is_some_and(|r| r.options.keep_recent).into(),
            ..SelectParams::default()
        };
        let mut buffers = vec![
            ("scores", scores.binding()),
            ("head_rules", self.head_rules.as_entire_binding()),
            ("mask_words", mask.binding()),
        ];
        buffers.extend(forced.map(|window| ("forced_words", window.binding())));
        let passes = XAttentionSelectKernel::passes(score_blocks) as u64;
        let work = passes * (self.rows * score_blocks) as u64;
        let count = word(rows.len().div_ceil(self.rows));
        dispatch(&self.gpu, pass, &self.kernel, params, &buffers, count, work)
    }
}
