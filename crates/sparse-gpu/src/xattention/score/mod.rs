//! Planning and recording the scores: pack, score, reduce, part by part with the same scratch memory.

mod limits;
mod record;
mod scratch;
mod work;

pub(crate) use scratch::{ScoreScratch, ScratchBytes};

use sparse_core::DType;
use sparse_core::xattention::XAttentionLayout;
use sparse_shaders::XAttentionScoreKernel;

use self::record::Recording;
use self::work::Work;
use super::parts::Sizes;
use super::rules;
use crate::attention::check;
use crate::counting::{check_countable, word};
use crate::operand::refuse_aliases;
use crate::ops::XAttentionScore;
use crate::problem::Explanation;
use crate::tile_table::Chosen;
use crate::{Error, Gpu, GpuTensor, KernelTile, Tier};

const OPERATION: &str = "xattention_score";

/// Where the tokens of a problem lie in its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequences {
    /// The tensors hold nothing else.
    Alone,
    /// From any token of packed sequences on.
    Packed,
}

/// The first tokens of a problem, of those that the tensors hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstTokens {
    pub(crate) q: usize,
    pub(crate) k: usize,
}

/// A planned scoring. Its scratch memory belongs to whoever records it.
#[derive(Debug)]
pub(crate) struct ScoreEngine {
    gpu: Gpu,
    sizes: Sizes,
    /// Of q and k.
    tensor_shapes: [[usize; 4]; 2],
    types: [DType; 2],
    /// None where there is nothing to score.
    work: Option<Work>,
    scale: f32,
    explanation: Explanation,
}

/// Refuses a scale that is a number in f64 and none, 0, or one that a device may take for 0, in f32.
fn check_scale(scale: f32, layout: &XAttentionLayout) -> Result<(), Error> {
    if scale.is_finite() && scale >= f32::MIN_POSITIVE {
        return Ok(());
    }
    let reason = format!(
        "softmax scale {:?} over norm {:?} is beyond what the kernels multiply by in f32; it may be 1.2e-38 to 3e38, and a norm of 1 is usual",
        layout.scale(),
        layout.options().norm
    );
    Err(Error::invalid(OPERATION, reason))
}

impl ScoreEngine {
    pub(crate) async fn plan(
        gpu: &Gpu,
        problem: &XAttentionScore,
        sequences: Sequences,
    ) -> Result<Self, Error> {
        let layout = problem.options.layout(problem.shape)?;
        check::capacity(OPERATION, problem.k_capacity, problem.shape.k_len())?;
        let tensor_shapes = problem.tensor_shapes();
        let [q_shape, kv_shape] = &tensor_shapes;
        let score_shape = layout.score_shape();
        check_countable(
            OPERATION,
            &[("q", q_shape), ("k", kv_shape), ("scores", &score_shape)],
        )?;
        Error::check_tile(OPERATION, problem.tile)?;
        let Chosen { tile, origin } = gpu.score_tile(problem.tile, &layout, problem.k);
        let kernel = XAttentionScoreKernel {
            groups_per_block: layout.groups_per_block(),
            tile,
            rules: rules(&problem.options),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the nearest f32 is the purpose"
        )]
        let scale = (layout.scale() / problem.options.norm) as f32;
        check_scale(scale, &layout)?;
        let sizes = Sizes::new(layout, kernel, problem.sources());
        let mut explanation = Explanation {
            operation: OPERATION,
            kernel: "none".to_owned(),
            tile: format!(
                "{} key groups x {} query groups x {} lanes",
                kernel.rows(),
                kernel.tile.cols,
                kernel.tile.lanes
            ),
            tile_origin: Some(origin),
            tier: Tier::Portable,
            adapter: gpu.adapter().name.clone(),
            scratch_bytes: 0,
            notes: gpu.note_of_origin(origin).into_iter().collect(),
        };
        let work = if score_shape.contains(&0) || !problem.options.any_sparse() {
            explanation.notes.push("nothing to score".to_owned());
            None
        } else {
            Some(Work::plan(gpu, problem, &sizes, sequences, &mut explanation).await?)
        };
        Ok(Self {
            gpu: gpu.clone(),
            sizes,
            tensor_shapes,
            types: [problem.q, problem.k],
            work,
            scale,
            explanation,
        })
    }

    pub(crate) fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// Kernel and tile as a table names them.
    pub(crate) fn kernel_tile(&self) -> KernelTile {
        let kernel = &self.sizes.kernel;
        KernelTile::XattentionScore {
            groups_per_block: kernel.groups_per_block,
            tile: kernel.tile,
        }
    }

    pub(crate) fn score_shape(&self) -> [usize; 4] {
        self.sizes.layout.score_shape()
    }

    pub(crate) fn new_scores(&self) -> Result<GpuTensor, Error> {
        self.gpu.empty_tensor(&self.score_shape(), DType::F32)
    }

    /// What it needs; none where there is nothing to score.
    pub(crate) fn scratch_bytes(&self) -> Option<ScratchBytes> {
        self.work.as_ref().map(|work| work.scratch)
    }

    /// Scratch memory of its own, which its explanation counts then; none where there is nothing to score.
    pub(crate) fn allocate_scratch(&mut self) -> Result<Option<ScoreScratch>, Error> {
        let scratch = self.scratch_bytes().map(|bytes| bytes.allocate(&self.gpu));
        let scratch = scratch.transpose()?;
        self.explanation.scratch_bytes = scratch.as_ref().map_or(0, ScoreScratch::bytes);
        Ok(scratch)
    }

    /// Checks operands that hold nothing else than this problem.
    pub(crate) fn check(
        &self,
        q: &GpuTensor,
        k: &GpuTensor,
        scores: &GpuTensor,
    ) -> Result<(), Error> {
        let [q_shape, kv_shape] = &self.tensor_shapes;
        q.expect(&self.gpu, OPERATION, "q", q_shape, self.types[0])?;
        k.expect(&self.gpu, OPERATION, "k", kv_shape, self.types[1])?;
        scores.expect(
            &self.gpu,
            OPERATION,
            "scores",
            &self.score_shape(),
            DType::F32,
        )?;
        let read = [("q", q.buffer()), ("k", k.buffer())];
        refuse_aliases(OPERATION, ("scores", scores.buffer()), &read)
    }

    /// Records the scoring of operands that have been checked; `scratch` has at least the bytes that it needs.
    pub(crate) fn record_checked(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        [q, k]: [&GpuTensor; 2],
        first: FirstTokens,
        scores: &GpuTensor,
        scratch: &ScoreScratch,
    ) -> Result<(), Error> {
        let Some(work) = &self.work else {
            return Ok(());
        };
        let of = Recording {
            work,
            q,
            k,
            first,
            scores,
            scratch,
        };
        for heads in &work.parts.heads {
            let mut packed_slice = None;
            for rows in &work.parts.strips {
                if !self.sizes.query_groups(rows).is_empty() {
                    self.record_pack_queries(pass, &of, heads, rows)?;
                    for units in &work.parts.slices {
                        if packed_slice != Some(units) {
                            self.record_pack_keys(pass, &of, heads, units)?;
                            packed_slice = Some(units);
                        }
                        self.record_score(pass, &of, heads, rows, units)?;
                    }
                }
                self.record_reduce(pass, &of, heads, rows)?;
            }
        }
        Ok(())
    }

    /// Key groups before the one of query group 0, in Reference mode.
    fn group_offset(&self) -> u32 {
        let reference = self.sizes.layout.reference();
        word(reference.map_or(0, |reference| reference.group_offset))
    }
}
