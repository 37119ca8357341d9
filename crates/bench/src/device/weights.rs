//! Pruned weights in GPU memory, and their product recorded by one plan, whatever the pattern.

use sparse_core::{DType, Element, Nm};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, Epilogue, Error, Explanation, Extras, Gpu, GpuBsr, GpuNm, GpuTensor,
    MatmulPlan, MatmulTypes, NmMatmul, NmMatvec, Tier, wgpu,
};
use sparse_measure::{COLD_TOKENS, Copies, PrunedWeights};
use sparse_shaders::MatvecKernel;

// The weights that are measured out of caches are those that the mat-vec kernel takes.
const _: () = assert!(COLD_TOKENS == MatvecKernel::MAX_TOKENS);

/// Weights in GPU memory, in one copy or in several that runs take by turns.
#[derive(Debug)]
pub struct GpuWeights(Copies<Uploaded>);

#[derive(Debug)]
enum Uploaded {
    /// All of them.
    Dense(GpuTensor),
    /// N of every M.
    Nm(GpuNm),
    /// Blocks; boxed, since their lists make them much larger than the others.
    Bsr(Box<GpuBsr>),
}

impl GpuWeights {
    /// Copies weights to the GPU, so many times: [`cold_copies`](sparse_measure::cold_copies).
    ///
    /// # Errors
    /// Where they do not fit.
    pub fn upload<T: Element>(
        gpu: &Gpu,
        weights: &PrunedWeights<T>,
        copies: usize,
    ) -> Result<Self, Error> {
        let upload = || -> Result<Uploaded, Error> {
            Ok(match weights {
                PrunedWeights::Dense(w) => Uploaded::Dense(gpu.upload(w)?),
                PrunedWeights::Nm(w) => Uploaded::Nm(gpu.upload_nm(w)?),
                PrunedWeights::Bsr(w) => Uploaded::Bsr(Box::new(gpu.upload_bsr(w)?)),
            })
        };
        Copies::upload(copies, upload).map(Self)
    }

    /// Plans `y = x w^T` and what `epilogue` adds, in the operation that takes so many tokens.
    ///
    /// # Errors
    /// Where planning fails.
    pub(crate) fn plan(
        &self,
        gpu: &Gpu,
        [tokens, n_out, k_in]: [usize; 3],
        types: MatmulTypes,
        epilogue: Epilogue,
        tier: Tier,
    ) -> Result<MatmulPlan, Error> {
        match self.0.first() {
            Uploaded::Dense(_) => gpu.plan_blocking(&DenseMatmul {
                types,
                epilogue,
                tier,
                ..DenseMatmul::new(tokens, n_out, k_in)
            }),
            Uploaded::Nm(w) => plan_nm(
                gpu,
                [tokens, n_out, k_in],
                w.pattern(),
                types,
                epilogue,
                tier,
            ),
            Uploaded::Bsr(w) => gpu.plan_blocking(&BsrMatmul {
                types,
                epilogue,
                tier,
                ..BsrMatmul::new(tokens, n_out, k_in, w.block())
            }),
        }
    }

    /// Records a plan that was made for these weights, with the copy whose turn it is.
    ///
    /// # Errors
    /// Those of [`MatmulPlan::record_with`].
    pub(crate) fn record(
        &self,
        plan: &MatmulPlan,
        pass: &mut wgpu::ComputePass<'_>,
        x: &GpuTensor,
        extras: Extras<'_>,
        y: &mut GpuTensor,
    ) -> Result<(), Error> {
        match self.0.turn() {
            Uploaded::Dense(w) => plan.record_with(pass, w, x, extras, y),
            Uploaded::Nm(w) => plan.record_with(pass, w, x, extras, y),
            Uploaded::Bsr(w) => plan.record_with(pass, &**w, x, extras, y),
        }
    }
}

fn plan_nm(
    gpu: &Gpu,
    [tokens, n_out, k_in]: [usize; 3],
    pattern: Nm,
    types: MatmulTypes,
    epilogue: Epilogue,
    tier: Tier,
) -> Result<MatmulPlan, Error> {
    if tokens <= MatvecKernel::MAX_TOKENS && tier != Tier::CooperativeMatrix {
        gpu.plan_blocking(&NmMatvec {
            types,
            epilogue,
            ..NmMatvec::new(tokens, n_out, k_in, pattern)
        })
    } else {
        gpu.plan_blocking(&NmMatmul {
            types,
            epilogue,
            tier,
            ..NmMatmul::new(tokens, n_out, k_in, pattern)
        })
    }
}

/// A planned product with its operands in GPU memory, y in f32.
#[derive(Debug)]
pub struct MatmulRun {
    plan: MatmulPlan,
    weights: GpuWeights,
    x: GpuTensor,
    bias: Option<GpuTensor>,
    y: GpuTensor,
}

impl MatmulRun {
    /// Plans `y = activation(x w^T + bias)` with so many copies of weights `[n_out, k_in]` and an uploaded `x [tokens, k_in]`. The storage
    /// type of a bias in `epilogue` is replaced by that of `bias`.
    ///
    /// # Errors
    /// Where planning fails or the operands do not fit into GPU memory.
    pub fn plan<T: Element>(
        gpu: &Gpu,
        weights: &PrunedWeights<T>,
        copies: usize,
        x: &GpuTensor,
        bias: Option<GpuTensor>,
        epilogue: Epilogue,
        tier: Tier,
    ) -> Result<Self, Error> {
        let (n_out, k_in) = weights.shape();
        let tokens = x.shape().first().copied().unwrap_or(0);
        let uploaded = GpuWeights::upload(gpu, weights, copies)?;
        let types = MatmulTypes {
            x: x.dtype(),
            w: T::DTYPE,
            y: DType::F32,
        };
        let epilogue = Epilogue {
            bias: bias.as_ref().map(GpuTensor::dtype),
            ..epilogue
        };
        let plan = uploaded.plan(gpu, [tokens, n_out, k_in], types, epilogue, tier)?;
        let y = gpu.empty_tensor(&[tokens, n_out], DType::F32)?;
        Ok(Self {
            plan,
            weights: uploaded,
            x: x.clone(),
            bias,
            y,
        })
    }

    /// From now on, runs take so many copies of the weights by turns, which are those that it was planned with.
    ///
    /// # Errors
    /// Where they do not fit into GPU memory.
    pub fn take_turns<T: Element>(
        &mut self,
        gpu: &Gpu,
        weights: &PrunedWeights<T>,
        copies: usize,
    ) -> Result<(), Error> {
        self.weights = GpuWeights::upload(gpu, weights, copies)?;
        Ok(())
    }

    /// Records the product.
    ///
    /// # Errors
    /// Those of [`MatmulPlan::record_with`].
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let extras = Extras {
            bias: self.bias.as_ref(),
            ..Extras::default()
        };
        self.weights
            .record(&self.plan, pass, &self.x, extras, &mut self.y)
    }

    /// The result.
    pub fn y(&self) -> &GpuTensor {
        &self.y
    }

    /// Which kernel and tile were chosen, and why.
    pub fn explain(&self) -> &Explanation {
        self.plan.explain()
    }
}
