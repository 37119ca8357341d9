//! q, k and v in GPU memory, and attention over them recorded by plans: dense, over a mask, or XAttention end to end.

use std::rc::Rc;

use sparse_core::attention::{AttentionOptions, AttentionShape, HeadKind, MaskHeads};
use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Element, Tensor};
use sparse_gpu::{
    AttentionTypes, BlockAttention, BlockAttentionPlan, Error, Explanation, Gpu, GpuMask,
    GpuTensor, XAttentionSelect, XAttentionSelectPlan, wgpu,
};
use sparse_measure::{Copies, OutputAndLse};

use super::{GpuResults, ScoreRun};

/// The operands of attention in GPU memory. Clones share it.
#[derive(Clone, Debug)]
pub struct GpuQkv {
    /// `[batch, heads, q_len, head_dim]`.
    pub q: GpuTensor,
    /// `[batch, kv_heads, k_len, head_dim]`.
    pub k: GpuTensor,
    /// `[batch, kv_heads, k_len, head_dim]`.
    pub v: GpuTensor,
    /// The sizes of all three.
    pub shape: AttentionShape,
}

impl GpuQkv {
    /// Copies the operands to the GPU, in their storage type.
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn upload<T: Element>(
        gpu: &Gpu,
        inputs: &AttentionInputs<T>,
        shape: AttentionShape,
    ) -> Result<Self, Error> {
        Ok(Self {
            q: gpu.upload(&inputs.q)?,
            k: gpu.upload(&inputs.k)?,
            v: gpu.upload(&inputs.v)?,
            shape,
        })
    }

    /// Its keys and values, and so many copies of them in all.
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn copies<T: Element>(
        &self,
        gpu: &Gpu,
        inputs: &AttentionInputs<T>,
        count: usize,
    ) -> Result<KvCopies, Error> {
        let mut own = Some([self.k.clone(), self.v.clone()]);
        let upload = || -> Result<[GpuTensor; 2], Error> {
            match own.take() {
                Some(own) => Ok(own),
                None => Ok([gpu.upload(&inputs.k)?, gpu.upload(&inputs.v)?]),
            }
        };
        Ok(KvCopies(Rc::new(Copies::upload(count, upload)?)))
    }

    /// Its keys and values alone.
    pub(super) fn one_copy(&self) -> KvCopies {
        let own = [self.k.clone(), self.v.clone()];
        KvCopies(Rc::new(Copies::of(own)))
    }
}

/// Keys and values in GPU memory, in one copy or in several that runs take by turns. Clones share them, and the turns: each run takes the copy behind
/// that of the run before it, whoever that was.
#[derive(Clone, Debug)]
pub struct KvCopies(Rc<Copies<[GpuTensor; 2]>>);

impl KvCopies {
    /// Keys and values of the copy whose turn it is.
    pub fn turn(&self) -> [&GpuTensor; 2] {
        self.0.turn().each_ref()
    }
}

/// Planned attention over all key blocks or over those of a mask, with its results, in f32.
#[derive(Debug)]
pub struct AttendRun {
    plan: BlockAttentionPlan,
    qkv: GpuQkv,
    kv: KvCopies,
    mask: Option<GpuMask>,
    results: GpuResults,
}

impl AttendRun {
    /// Plans attention; without a mask it is dense.
    ///
    /// # Errors
    /// Where planning fails or the results do not fit into GPU memory.
    pub fn plan(
        gpu: &Gpu,
        qkv: &GpuQkv,
        options: &AttentionOptions,
        mask: Option<GpuMask>,
    ) -> Result<Self, Error> {
        Self::with_kinds(gpu, qkv, options, mask, None)
    }

    /// The same with kinds of heads that the mask does not hold.
    fn with_kinds(
        gpu: &Gpu,
        qkv: &GpuQkv,
        options: &AttentionOptions,
        mask: Option<GpuMask>,
        head_kinds: Option<Vec<HeadKind>>,
    ) -> Result<Self, Error> {
        let plan = gpu.plan_blocking(&BlockAttention {
            block: options.block,
            causal: options.causal,
            scale: options.scale,
            soft_cap: options.soft_cap,
            masked: mask.is_some(),
            mask_heads: match mask {
                Some(_) => options.mask_heads,
                None => MaskHeads::Query,
            },
            head_kinds,
            types: AttentionTypes {
                q: qkv.q.dtype(),
                k: qkv.k.dtype(),
                v: qkv.v.dtype(),
                out: DType::F32,
            },
            ..BlockAttention::new(qkv.shape)
        })?;
        Ok(Self {
            plan,
            kv: qkv.one_copy(),
            qkv: qkv.clone(),
            mask,
            results: GpuResults::empty(gpu, qkv.shape)?,
        })
    }

    /// Makes recordings take these copies of keys and values by turns.
    pub fn take_turns(&mut self, kv: &KvCopies) {
        self.kv = kv.clone();
    }

    /// Records the attention.
    ///
    /// # Errors
    /// Those of [`BlockAttentionPlan::record`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let kv = self.kv.clone();
        self.record_over(pass, kv.turn())
    }

    fn record_over(
        &mut self,
        pass: &mut wgpu::ComputePass<'_>,
        [k, v]: [&GpuTensor; 2],
    ) -> Result<(), Error> {
        let GpuResults { out, lse } = &mut self.results;
        self.plan
            .record(pass, &self.qkv.q, k, v, self.mask.as_ref(), out, lse)
    }

    /// The results of the last recording that has run, on the host.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn read(&self, gpu: &Gpu) -> Result<OutputAndLse, Error> {
        self.results.read(gpu)
    }

    /// What recordings write.
    pub fn results(&self) -> &GpuResults {
        &self.results
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.plan.explain()
    }
}

/// Planned XAttention: score, select, attend, with everything that it computes.
#[derive(Debug)]
pub struct XAttentionRun {
    score: ScoreRun,
    select: XAttentionSelectPlan,
    mask: GpuMask,
    attend: AttendRun,
}

impl XAttentionRun {
    /// Plans the three steps.
    ///
    /// # Errors
    /// Where planning fails or the results do not fit into GPU memory.
    pub fn plan(gpu: &Gpu, qkv: &GpuQkv, options: &XAttentionOptions) -> Result<Self, Error> {
        let score = ScoreRun::plan(gpu, qkv, options)?;
        let select = gpu.plan_blocking(&XAttentionSelect::new(qkv.shape, options.clone()))?;
        let mask = select.new_mask()?;
        // A mask that heads share cannot hold what kinds they are.
        let kinds = options.head_kinds.clone();
        let kinds = kinds.filter(|_| options.mask_heads == MaskHeads::Key);
        let attention = options.attention();
        // The clone shares the memory that the selection writes. Of shared masks only sparse heads read.
        let read = kinds.is_none() || options.any_sparse();
        let read = read.then(|| mask.clone());
        let attend = AttendRun::with_kinds(gpu, qkv, &attention, read, kinds)?;
        Ok(Self {
            score,
            select,
            mask,
            attend,
        })
    }

    /// Makes recordings take these copies of keys and values by turns.
    pub fn take_turns(&mut self, kv: &KvCopies) {
        self.attend.take_turns(kv);
    }

    /// Records all three steps, over one copy of keys and values: attention may find in a cache what the scores have read.
    ///
    /// # Errors
    /// Those of the steps.
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let kv = self.attend.kv.clone();
        let [k, v] = kv.turn();
        self.score.record(pass, k)?;
        self.record_select(pass)?;
        self.attend.record_over(pass, [k, v])
    }

    /// Records the first step: block scores.
    ///
    /// # Errors
    /// Those of [`ScoreRun::record`].
    pub fn record_score(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let kv = self.attend.kv.clone();
        let [k, _] = kv.turn();
        self.score.record(pass, k)
    }

    /// Records the second step: the mask, from the scores that are there.
    ///
    /// # Errors
    /// Those of [`XAttentionSelectPlan::record`].
    pub fn record_select(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let scores = self.score.scores();
        self.select.record(pass, scores, &mut self.mask)
    }

    /// Records the third step: attention, over the mask that is there.
    ///
    /// # Errors
    /// Those of [`AttendRun::record`].
    pub fn record_attend(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        self.attend.record(pass)
    }

    /// Makes the second step select by other options, such as other thresholds.
    ///
    /// # Errors
    /// Where planning fails.
    pub fn select_by(&mut self, gpu: &Gpu, options: &XAttentionOptions) -> Result<(), Error> {
        let shape = self.attend.qkv.shape;
        self.select = gpu.plan_blocking(&XAttentionSelect::new(shape, options.clone()))?;
        Ok(())
    }

    /// Block scores `[batch, heads, q_blocks, k_blocks]`, on padded lengths in Reference mode.
    pub fn scores(&self) -> &GpuTensor {
        self.score.scores()
    }

    /// The block scores on the host, those of [`ScoreRun::read`].
    ///
    /// # Errors
    /// Where the device fails.
    pub fn read_scores(&self, gpu: &Gpu) -> Result<Tensor<f32>, Error> {
        self.score.read(gpu)
    }

    /// What the second step writes, `[batch, mask heads, q_blocks, k_blocks]`, on real lengths. Where query heads share a mask, that of each is
    /// [`XAttentionLayout::mask_of_query_heads`](sparse_core::xattention::XAttentionLayout::mask_of_query_heads).
    pub fn mask(&self) -> &GpuMask {
        &self.mask
    }

    /// The third step.
    pub fn attend(&self) -> &AttendRun {
        &self.attend
    }

    /// What was chosen for score, selection and attention, and why.
    pub fn explain(&self) -> [&Explanation; 3] {
        [
            self.score.explain(),
            self.select.explain(),
            self.attend.explain(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::open;
    use crate::compare::attention::planted_at;
    use crate::compare::bench::Bench;

    /// Copies of other numbers tell whose turn it was.
    #[test]
    fn every_run_takes_the_next_copy_and_all_steps_of_one_the_same() {
        let bench = Bench::new(open(None).unwrap(), std::time::Duration::ZERO);
        let gpu = &bench.gpu;
        let shape = AttentionShape::try_new(1, 2, 1, 1, 200, 16).unwrap();
        let own = planted_at::<f32>(shape, 0.9).unwrap();
        let negative = |tensor: &Tensor<f32>| {
            let numbers = tensor.data().iter().map(|x| -x).collect();
            Tensor::new(tensor.shape().to_vec(), numbers)
        };
        let other = AttentionInputs {
            q: own.q.clone(),
            k: negative(&own.k),
            v: negative(&own.v),
        };
        let options = XAttentionOptions {
            block: 16,
            stride: 4,
            top_k: Some(3),
            ..XAttentionOptions::default()
        };
        let plan = |inputs| {
            let qkv = GpuQkv::upload(gpu, inputs, shape).unwrap();
            let dense = AttendRun::plan(gpu, &qkv, &options.attention(), None).unwrap();
            let whole = XAttentionRun::plan(gpu, &qkv, &options).unwrap();
            (qkv, dense, whole)
        };
        let run = |dense: &mut AttendRun, whole: &mut XAttentionRun| {
            bench.run_once(&mut |pass| dense.record(pass)).unwrap();
            bench.run_once(&mut |pass| whole.record(pass)).unwrap();
            [&*dense, whole.attend()].map(|run| run.read(gpu).unwrap().out)
        };
        let (qkv, mut dense, mut whole) = plan(&own);
        let [of_dense, of_whole] = run(&mut dense, &mut whole);
        let (_, mut other_dense, mut other_whole) = plan(&other);
        let [of_other_dense, of_other_whole] = run(&mut other_dense, &mut other_whole);
        assert_ne!(of_dense, of_other_dense);
        assert_ne!(of_whole, of_other_whole);
        let copies = || qkv.copies(gpu, &other, 2).unwrap();
        dense.take_turns(&copies());
        whole.take_turns(&copies());
        for _ in 0..2 {
            let first = run(&mut dense, &mut whole);
            assert_eq!(first, [of_dense.clone(), of_whole.clone()]);
            let second = run(&mut dense, &mut whole);
            assert_eq!(second, [of_other_dense.clone(), of_other_whole.clone()]);
        }
    }
}
