//! A linear layer with sparse weights against the dense one of the same shape.

use sparse_core::synthetic::normal_matrix;
use sparse_core::{DType, Element, Epilogue};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, Error, Gpu, GpuBsr, GpuNm, GpuTensor, MatmulPlan, MatmulTypes,
    NaiveMatmul, NaiveMatmulPlan, NmMatmul, NmMatvec, wgpu,
};
use sparse_measure::check::{Kernels, ProductReference};
use sparse_measure::{Copies, Ideal, Pattern, PrunedWeights, cold_copies};
use sparse_shaders::MatvecKernel;

use super::poison;
use crate::bench::{Bench, Measured};
use crate::device::Recorder;
use crate::rounds::{Progress, go_on, interleave};
use crate::rows::ProductRow;

/// Of the weights and of the activations.
const SEEDS: [u64; 2] = [1, 2];

/// A planned product with its operands in GPU memory, y in f32.
#[derive(Debug)]
pub struct Product {
    plan: MatmulPlan,
    w: Copies<Uploaded>,
    x: GpuTensor,
    y: GpuTensor,
}

/// Weights in GPU memory.
#[derive(Debug)]
enum Uploaded {
    Dense(GpuTensor),
    Nm(GpuNm),
    /// Boxed, since their lists make them much larger than the others.
    Bsr(Box<GpuBsr>),
}

impl Product {
    /// Plans `y [tokens, n_out] = x [tokens, k_in] w [n_out, k_in]^T`, in the operation that takes such weights and so many tokens.
    ///
    /// # Errors
    /// Where planning fails or the operands do not fit into GPU memory.
    pub async fn plan<T: Element>(
        gpu: &Gpu,
        w: &PrunedWeights<T>,
        x: &GpuTensor,
        tokens: usize,
    ) -> Result<Self, Error> {
        let upload = || {
            Ok::<_, Error>(match w {
                PrunedWeights::Dense(w) => Uploaded::Dense(gpu.upload(w)?),
                PrunedWeights::Nm(w) => Uploaded::Nm(gpu.upload_nm(w)?),
                PrunedWeights::Bsr(w) => Uploaded::Bsr(Box::new(gpu.upload_bsr(w)?)),
            })
        };
        Ok(Self {
            plan: plan(gpu, w, tokens).await?,
            w: Copies::upload(cold_copies(tokens, w.bytes()), upload)?,
            x: x.clone(),
            y: gpu.empty_tensor(&[tokens, w.shape().0], DType::F32)?,
        })
    }

    /// Records the product, with the copy of the weights whose turn it is.
    ///
    /// # Errors
    /// Those of [`MatmulPlan::record`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let (x, y) = (&self.x, &mut self.y);
        match self.w.turn() {
            Uploaded::Dense(w) => self.plan.record(pass, w, x, y),
            Uploaded::Nm(w) => self.plan.record(pass, w, x, y),
            Uploaded::Bsr(w) => self.plan.record(pass, &**w, x, y),
        }
    }
}

async fn plan<T: Element>(
    gpu: &Gpu,
    w: &PrunedWeights<T>,
    tokens: usize,
) -> Result<MatmulPlan, Error> {
    let (n_out, k_in) = w.shape();
    let types = MatmulTypes {
        x: T::DTYPE,
        w: T::DTYPE,
        y: DType::F32,
    };
    match w {
        PrunedWeights::Dense(_) => {
            let problem = DenseMatmul::new(tokens, n_out, k_in);
            gpu.plan(&DenseMatmul { types, ..problem }).await
        }
        PrunedWeights::Nm(w) if tokens <= MatvecKernel::MAX_TOKENS => {
            let problem = NmMatvec::new(tokens, n_out, k_in, w.pattern());
            gpu.plan(&NmMatvec { types, ..problem }).await
        }
        PrunedWeights::Nm(w) => {
            let problem = NmMatmul::new(tokens, n_out, k_in, w.pattern());
            gpu.plan(&NmMatmul { types, ..problem }).await
        }
        PrunedWeights::Bsr(w) => {
            let problem = BsrMatmul::new(tokens, n_out, k_in, w.block());
            gpu.plan(&BsrMatmul { types, ..problem }).await
        }
    }
}

/// The dense product on the kernel named `naive`, one invocation per output: what the dense product itself is compared with.
struct Naive {
    plan: NaiveMatmulPlan,
    w: Copies<GpuTensor>,
    x: GpuTensor,
    y: GpuTensor,
}

impl Naive {
    async fn plan<T: Element>(
        gpu: &Gpu,
        w: &PrunedWeights<T>,
        x: &GpuTensor,
        tokens: usize,
    ) -> anyhow::Result<Self> {
        let (n_out, k_in) = w.shape();
        let problem = NaiveMatmul {
            tokens,
            n_out,
            k_in,
            dtype: T::DTYPE,
        };
        let dense = w.to_dense()?;
        Ok(Self {
            plan: gpu.plan(&problem).await?,
            w: Copies::upload(cold_copies(tokens, w.bytes()), || gpu.upload(&dense))?,
            x: x.clone(),
            y: gpu.empty_tensor(&[tokens, n_out], DType::F32)?,
        })
    }

    fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        self.plan.record(pass, self.w.turn(), &self.x, &mut self.y)
    }
}

/// Measures one row on weights and activations of type `T`, normally distributed.
///
/// # Errors
/// Where pruning, planning or the device fails; [`crate::rounds::Stopped`].
pub async fn measure<T: Element>(
    bench: &Bench,
    row: &ProductRow,
    watch: &impl AsyncFn(Progress) -> bool,
) -> anyhow::Result<Measured> {
    let gpu = &bench.gpu;
    let ProductRow {
        tokens,
        n_out,
        k_in,
        pattern,
        ..
    } = *row;
    go_on(watch, Progress::Step("make and prune weights")).await?;
    let w = normal_matrix::<T>(n_out, k_in, SEEDS[0])?;
    let x = normal_matrix::<T>(tokens, k_in, SEEDS[1])?;
    let pruned = PrunedWeights::prune(w.clone(), pattern)?;
    let dense = PrunedWeights::Dense(w);

    go_on(watch, Progress::Step("compile and run once")).await?;
    let x_on_gpu = gpu.upload(&x)?;
    let mut own = Product::plan(gpu, &pruned, &x_on_gpu, tokens).await?;
    poison(gpu, &own.y);
    bench.timer.time(1, &mut |pass| own.record(pass)).await?;
    let (_, y) = gpu.read::<f32>(&own.y).await?.into_parts();

    go_on(watch, Progress::Step("check against the CPU reference")).await?;
    let reference = ProductReference::of(&pruned, &x, &Epilogue::NONE)?;
    let max_err_over_bound = reference.check(&y, Kernels::Portable)?.ratio();

    let explanation = own.plan.explain().clone();
    let run_own: Recorder<'_> = &mut |pass| own.record(pass);
    let (timer, budget) = (&bench.timer, bench.budget);
    let is_dense = pattern == Pattern::Dense;
    let runs = if is_dense {
        let mut naive = Naive::plan(gpu, &pruned, &x_on_gpu, tokens).await?;
        let run_naive: Recorder<'_> = &mut |pass| naive.record(pass);
        interleave(timer, &mut [run_naive, run_own], budget, watch).await?
    } else {
        let mut dense = Product::plan(gpu, &dense, &x_on_gpu, tokens).await?;
        let run_dense: Recorder<'_> = &mut |pass| dense.record(pass);
        interleave(timer, &mut [run_dense, run_own], budget, watch).await?
    };
    let density = pruned.density();
    Ok(Measured {
        density,
        ideal_speedup: Ideal::Kept.speedup(density),
        tier: explanation.tier.to_string(),
        kernel: explanation.kernel,
        tile: explanation.tile,
        peer: is_dense.then_some("naive"),
        max_err_over_bound,
        runs,
    })
}
