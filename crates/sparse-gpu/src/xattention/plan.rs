//! A planned XAttention: which steps there are, and recording them.

use sparse_core::DType;
use sparse_core::attention::AttentionShape;
use sparse_core::xattention::XAttentionLayout;

use super::OPERATION;
use super::cost::{CostModel, Costs, Policy};
use super::decision::{Decision, decide};
use super::outcome::{Attended, Outcome, count};
use super::steps::SparseSteps;
use super::switch::{Switch, is_indirect_possible};
use crate::attention::record::Operands;
use crate::ops::{BlockAttentionPlan, XAttention};
use crate::problem::Explanation;
use crate::{AttentionTypes, Error, Gpu, GpuMask, GpuTensor, Tier};

/// A planned [`XAttention`]. It owns the scores and the mask of the last recording that has run.
#[derive(Debug)]
pub struct XAttentionPlan {
    gpu: Gpu,
    shape: AttentionShape,
    /// Of q and out, and of k and v.
    tensor_shapes: [[usize; 4]; 2],
    layout: XAttentionLayout,
    types: AttentionTypes,
    costs: Costs,
    decision: Decision,
    /// None where the plan is dense.
    sparse: Option<SparseSteps>,
    /// None where the plan is sparse.
    dense: Option<BlockAttentionPlan>,
    /// Where the device decides.
    switch: Option<Switch>,
    explanation: Explanation,
}

impl XAttentionPlan {
    pub(crate) async fn new(gpu: &Gpu, problem: &XAttention) -> Result<Self, Error> {
        let layout = problem.options.layout(problem.shape)?;
        // What attention would refuse is refused before anything is computed from it.
        problem.dense_attention().check_numbers(OPERATION)?;
        Error::check_tile(OPERATION, problem.score_tile)?;
        let model = problem.policy.model(gpu, OPERATION)?;
        let tile = gpu
            .score_tile(problem.score_tile, &layout, problem.types.k)
            .tile;
        let costs = Costs::of(model, &layout, tile, CostModel::DISPATCHES);
        let (decision, reason) = match problem.policy {
            Policy::Sparse => (Decision::Sparse, "sparse, as the policy says".to_owned()),
            Policy::Auto(_) => decide(&costs, &layout, is_indirect_possible(gpu).await),
        };
        let sparse = match decision {
            Decision::Dense => None,
            _ => Some(SparseSteps::plan(gpu, problem).await?),
        };
        let dense = match decision {
            Decision::Sparse => None,
            _ => Some(gpu.plan(&problem.dense_attention()).await?),
        };
        let switch = match decision {
            Decision::OnDevice => Some(Switch::plan(gpu, &layout, model.efficiency).await?),
            _ => None,
        };
        let mut plan = Self {
            gpu: gpu.clone(),
            shape: problem.shape,
            tensor_shapes: problem.attention().tensor_shapes(),
            layout,
            types: problem.types,
            costs,
            decision,
            explanation: Explanation {
                operation: OPERATION,
                kernel: String::new(),
                tile: String::new(),
                tile_origin: None,
                tier: Tier::Portable,
                adapter: gpu.adapter().name.clone(),
                scratch_bytes: 0,
                notes: vec![reason],
            },
            sparse,
            dense,
            switch,
        };
        plan.explain_steps();
        Ok(plan)
    }

    /// Fills in what the steps say.
    fn explain_steps(&mut self) {
        let steps: Vec<Explanation> = self.steps().into_iter().cloned().collect();
        self.explanation.tell_steps(&steps);
        let results = self.sparse.as_ref();
        let results = results.map_or(0, |s| s.scores.buffer().size() + s.mask.buffer().size());
        self.explanation.scratch_bytes = steps.iter().map(|step| step.scratch_bytes).sum::<u64>()
            + results
            + self.switch.as_ref().map_or(0, Switch::scratch_bytes);
    }

    /// Records all steps into the caller's pass; they run when the caller submits. May be recorded any number of times; the recordings share
    /// scores and mask, and run one after the other.
    ///
    /// # Errors
    /// [`Error::OtherDevice`], [`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::Aliased`]: nothing has been recorded then.
    /// [`Error::OutOfMemory`] and [`Error::DeviceLost`] where the parameters of a dispatch find no memory: dispatches before it have been recorded.
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        q: &GpuTensor,
        k: &GpuTensor,
        v: &GpuTensor,
        out: &mut GpuTensor,
        lse: &mut GpuTensor,
    ) -> Result<(), Error> {
        let with = |mask| Operands {
            q,
            k,
            v,
            mask,
            out,
            lse,
        };
        self.check(&with(None))?;
        let Some(steps) = &self.sparse else {
            let mut dense = self.dense.iter();
            return dense
                .try_for_each(|dense| dense.record_checked(pass, &with(None), self.shape.k_len()));
        };
        // Clones share the buffers.
        let (mut scores, mut mask) = (steps.scores.clone(), steps.mask.clone());
        steps.score.record(pass, q, k, &mut scores)?;
        steps.select.record(pass, &scores, &mut mask)?;
        let sparse = with(steps.masked.then_some(&mask));
        match (&self.switch, &self.dense) {
            (Some(switch), Some(dense)) => {
                let both = [(&steps.attention, &sparse), (dense, &with(None))];
                switch.record(pass, &mask, both)
            }
            _ => steps
                .attention
                .record_checked(pass, &sparse, self.shape.k_len()),
        }
    }

    /// Everything that a step would refuse, before the first is recorded.
    fn check(&self, operands: &Operands<'_>) -> Result<(), Error> {
        let [q_shape, kv_shape] = &self.tensor_shapes;
        let lse_shape = &self.shape.q_shape()[..3];
        let shapes: [&[usize]; 3] = [q_shape, kv_shape, lse_shape];
        operands.check_tensors(&self.gpu, OPERATION, self.types, shapes)?;
        let scores = self
            .scores()
            .map(|scores| ("the plan's scores", scores.buffer()));
        let mask = self.mask().map(|mask| ("the plan's mask", mask.buffer()));
        let own: Vec<_> = scores.into_iter().chain(mask).collect();
        for &written in &own {
            operands.check_inputs(OPERATION, written)?;
        }
        operands.check_aliases(OPERATION, &own)
    }

    /// What the last recording that has run selected, and which kernel attended.
    ///
    /// # Errors
    /// Those of [`Gpu::read_mask`].
    pub async fn outcome(&self) -> Result<Outcome, Error> {
        let Some(steps) = &self.sparse else {
            return self.tell(None, None);
        };
        let mask = self.gpu.read_mask(&steps.mask).await?;
        let decision = match &self.switch {
            Some(switch) => Some(self.gpu.read_words(switch.decision(), 2).await?),
            None => None,
        };
        self.tell(Some(&mask), decision.as_deref())
    }

    /// As [`XAttentionPlan::outcome`], waiting.
    ///
    /// # Errors
    /// Those of [`Gpu::read_mask_blocking`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn outcome_blocking(&self) -> Result<Outcome, Error> {
        let Some(steps) = &self.sparse else {
            return self.tell(None, None);
        };
        let mask = self.gpu.read_mask_blocking(&steps.mask)?;
        let decision = match &self.switch {
            Some(switch) => Some(self.gpu.read_words_blocking(switch.decision(), 2)?),
            None => None,
        };
        self.tell(Some(&mask), decision.as_deref())
    }

    /// The outcome with this mask, and the words of the device's decision.
    fn tell(
        &self,
        mask: Option<&sparse_core::BlockMask>,
        decision: Option<&[u32]>,
    ) -> Result<Outcome, Error> {
        let dense = match decision {
            Some(words) => words.get(1) == Some(&1),
            None => self.decision == Decision::Dense,
        };
        let heads = mask.map(|mask| count(mask, &self.layout)).transpose()?;
        Ok(Outcome::new(
            if dense {
                Attended::Dense
            } else {
                Attended::Sparse
            },
            heads.unwrap_or_default(),
            &self.layout,
            &self.costs,
        ))
    }

    /// Which attention the plan records; the first of the notes of [`XAttentionPlan::explain`] says why.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// Time of dense attention over the time of the whole of XAttention where a share `density` of the blocks is selected, as the cost model
    /// predicts it.
    pub fn predicted_speed_up(&self, density: f64) -> f64 {
        self.costs.speed_up(density)
    }

    /// The block scores of the last recording that has run, f32 `[batch, q_heads, q_blocks, k_blocks]`, on padded lengths in Reference mode;
    /// `None` where the plan is dense.
    pub fn scores(&self) -> Option<&GpuTensor> {
        self.sparse.as_ref().map(|steps| &steps.scores)
    }

    /// The blocks that it selected, `[batch, mask heads, q_blocks, k_blocks]`, whichever kernel attended; those of each query head are
    /// [`XAttentionLayout::mask_of_query_heads`]. [`Gpu::read_mask`] brings them to the host. `None` where the plan is dense.
    pub fn mask(&self) -> Option<&GpuMask> {
        self.sparse.as_ref().map(|steps| &steps.mask)
    }

    /// A tensor for the output, of the shape and storage type that the plan was made for.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_out(&self) -> Result<GpuTensor, Error> {
        let [q_shape, _] = &self.tensor_shapes;
        self.gpu.empty_tensor(q_shape, self.types.out)
    }

    /// A tensor for the log-sum-exps.
    ///
    /// # Errors
    /// Those of [`Gpu::empty_tensor`].
    pub fn new_lse(&self) -> Result<GpuTensor, Error> {
        self.gpu
            .empty_tensor(&self.shape.q_shape()[..3], DType::F32)
    }

    /// The decision and its reason, then kernels, tiles and reasons of all steps.
    pub fn explain(&self) -> &Explanation {
        &self.explanation
    }

    /// The explanations of score, selection, attention over the selected blocks, and dense attention, as far as the plan has them.
    pub fn steps(&self) -> Vec<&Explanation> {
        let sparse = self.sparse.iter().flat_map(SparseSteps::explain);
        let dense = self.dense.iter().map(BlockAttentionPlan::explain);
        sparse.chain(dense).collect()
    }
}
