//! What a product is compared with, planned and ready to run.

use sparse_core::{DType, Element};
use sparse_gpu::{Error, GpuTensor, NaiveMatmul, NaiveMatmulPlan, Tier, wgpu};
use sparse_measure::{Copies, PrunedWeights};

use crate::compare::bench::{BaselineWords, Bench, is_tuned};
use crate::device::MatmulRun;

/// A planned baseline with its operands in GPU memory, y in f32.
#[derive(Debug)]
pub(super) enum BaselineRun {
    /// A kernel that programs use.
    Planned(Box<MatmulRun>),
    /// One invocation per output.
    Naive(Box<NaiveRun>),
}

/// The naive kernel and its operands.
#[derive(Debug)]
pub(super) struct NaiveRun {
    plan: NaiveMatmulPlan,
    w: Copies<GpuTensor>,
    x: GpuTensor,
    y: GpuTensor,
}

impl BaselineRun {
    /// A kernel that programs use.
    pub(super) fn planned(run: MatmulRun) -> Self {
        Self::Planned(Box::new(run))
    }

    /// The naive product of an uploaded `x [tokens, k_in]` with the weights `[n_out, k_in]`, zeros included.
    pub(super) fn naive<T: Element>(
        bench: &Bench,
        w: &PrunedWeights<T>,
        x: &GpuTensor,
    ) -> anyhow::Result<Self> {
        let gpu = &bench.gpu;
        let (n_out, k_in) = w.shape();
        let tokens = x.shape().first().copied().unwrap_or(0);
        let w = w.to_dense()?;
        Ok(Self::Naive(Box::new(NaiveRun {
            plan: gpu.plan_blocking(&NaiveMatmul {
                tokens,
                n_out,
                k_in,
                dtype: T::DTYPE,
            })?,
            w: Copies::of(gpu.upload(&w)?),
            x: x.clone(),
            y: gpu.empty_tensor(&[tokens, n_out], DType::F32)?,
        })))
    }

    /// From now on, runs take so many copies of the weights by turns, which are those that it was planned with.
    pub(super) fn take_turns<T: Element>(
        &mut self,
        bench: &Bench,
        w: &PrunedWeights<T>,
        copies: usize,
    ) -> anyhow::Result<()> {
        match self {
            Self::Planned(run) => run.take_turns(&bench.gpu, w, copies)?,
            Self::Naive(run) => {
                let w = w.to_dense()?;
                run.w = Copies::upload(copies, || bench.gpu.upload(&w))?;
            }
        }
        Ok(())
    }

    /// Records the product.
    pub(super) fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        match self {
            Self::Planned(run) => run.record(pass),
            Self::Naive(run) => {
                let NaiveRun { plan, w, x, y } = &mut **run;
                plan.record(pass, w.turn(), x, y)
            }
        }
    }

    /// The result.
    pub(super) fn y(&self) -> &GpuTensor {
        match self {
            Self::Planned(run) => run.y(),
            Self::Naive(run) => &run.y,
        }
    }

    /// Which kernels it runs on.
    pub(super) fn tier(&self) -> Tier {
        match self {
            Self::Planned(run) => run.explain().tier,
            Self::Naive(_) => Tier::Portable,
        }
    }

    /// Whether it took a tile of a table.
    pub(super) fn is_tuned(&self) -> bool {
        match self {
            Self::Planned(run) => is_tuned([run.explain()]),
            Self::Naive(_) => false,
        }
    }

    /// Its kernel and its tile; the naive kernel has none.
    pub(super) fn kernel_and_tile(&self) -> BaselineWords {
        match self {
            Self::Planned(run) => BaselineWords::of(run.explain()),
            Self::Naive(_) => BaselineWords {
                kernel: "naive".into(),
                tile: None,
            },
        }
    }

    /// What it is, for people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Planned(run) => format!("the dense baseline {}", run.explain().kernel),
            Self::Naive(_) => "the naive kernel".into(),
        }
    }
}
