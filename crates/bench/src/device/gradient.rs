//! The gradient of weights at those that are kept, planned, whatever the pattern.

use anyhow::Context as _;
use sparse_core::{DType, Element, Matrix};
use sparse_gpu::{
    BsrSddmm, BsrSddmmPlan, DenseMatmul, Error, Explanation, Gpu, GpuBsr, GpuNm, GpuTensor,
    MatmulPlan, MatmulTypes, NmSddmm, NmSddmmPlan, Transposed, wgpu,
};
use sparse_measure::PrunedWeights;

/// A planned `dw = dy^T x` with its operands in GPU memory, dw in f32.
#[derive(Debug)]
pub struct GradientRun {
    planned: Planned,
    dy: GpuTensor,
    x: GpuTensor,
}

#[derive(Debug)]
enum Planned {
    /// Of all weights; boxed, as blocks are, since it is much larger than the others.
    Dense(Box<MatmulPlan>, GpuTensor),
    /// Of N of every M.
    Nm(NmSddmmPlan, GpuNm),
    /// Of blocks.
    Bsr(BsrSddmmPlan, Box<GpuBsr>),
}

impl GradientRun {
    /// Plans the gradient of `weights [n_out, k_in]`, of which only counts which are kept, from uploaded `dy [tokens, n_out]` and `x [tokens, k_in]`.
    ///
    /// # Errors
    /// Where planning fails or the result does not fit into GPU memory.
    pub fn plan<T: Element>(
        gpu: &Gpu,
        weights: &PrunedWeights<T>,
        [dy, x]: [&GpuTensor; 2],
    ) -> Result<Self, Error> {
        let (n_out, k_in) = weights.shape();
        let tokens = x.shape().first().copied().unwrap_or(0);
        let types = MatmulTypes {
            x: x.dtype(),
            w: DType::F32,
            y: dy.dtype(),
        };
        let planned = match weights {
            PrunedWeights::Dense(_) => {
                // As a product: x stands where the weights do, dy where x does.
                let plan = gpu.plan_blocking(&DenseMatmul {
                    transposed: Transposed {
                        x: true,
                        w: true,
                        y: false,
                    },
                    types: MatmulTypes {
                        x: dy.dtype(),
                        w: x.dtype(),
                        y: DType::F32,
                    },
                    ..DenseMatmul::new(n_out, k_in, tokens)
                })?;
                Planned::Dense(
                    Box::new(plan),
                    gpu.empty_tensor(&[n_out, k_in], DType::F32)?,
                )
            }
            PrunedWeights::Nm(w) => {
                let plan = gpu.plan_blocking(&NmSddmm {
                    types,
                    ..NmSddmm::new(tokens, n_out, k_in, w.pattern())
                })?;
                Planned::Nm(plan, gpu.empty_nm_like(&gpu.upload_nm(w)?, DType::F32)?)
            }
            PrunedWeights::Bsr(w) => {
                let plan = gpu.plan_blocking(&BsrSddmm {
                    types,
                    ..BsrSddmm::new(tokens, n_out, k_in, w.block())
                })?;
                Planned::Bsr(plan, Box::new(gpu.empty_bsr(w.selection(), DType::F32)?))
            }
        };
        Ok(Self {
            planned,
            dy: dy.clone(),
            x: x.clone(),
        })
    }

    /// Records the gradient.
    ///
    /// # Errors
    /// Where the device has no memory for parameters.
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        let Self { planned, dy, x } = self;
        match planned {
            Planned::Dense(plan, dw) => plan.record(pass, &*x, dy, dw),
            Planned::Nm(plan, dw) => plan.record(pass, dy, x, dw),
            Planned::Bsr(plan, dw) => plan.record(pass, dy, x, dw),
        }
    }

    /// Which kernel and tile were chosen.
    pub fn explain(&self) -> &Explanation {
        match &self.planned {
            Planned::Dense(plan, _) => plan.explain(),
            Planned::Nm(plan, _) => plan.explain(),
            Planned::Bsr(plan, _) => plan.explain(),
        }
    }

    /// What is stored of the result.
    pub fn values(&self) -> GpuTensor {
        match &self.planned {
            Planned::Dense(_, dw) => dw.clone(),
            Planned::Nm(_, dw) => dw.values(),
            Planned::Bsr(_, dw) => dw.values(),
        }
    }

    /// The result `[n_out, k_in]`, zeros where nothing is kept.
    ///
    /// # Errors
    /// Where it cannot be read, or its padding is not zero.
    pub fn read(&self, gpu: &Gpu) -> anyhow::Result<Matrix<f32>> {
        Ok(match &self.planned {
            Planned::Dense(_, dw) => {
                let (shape, data) = gpu.read_blocking::<f32>(dw)?.into_parts();
                let &[rows, cols] = &shape[..] else {
                    anyhow::bail!("the dense gradient has shape {shape:?}");
                };
                Matrix::try_new(rows, cols, data)?
            }
            Planned::Nm(_, dw) => gpu.read_nm_blocking::<f32>(dw)?.to_dense()?,
            Planned::Bsr(_, dw) => {
                let read = gpu.read_bsr_blocking::<f32>(dw);
                read.context("reading the blocks of the gradient")?
                    .to_dense()?
            }
        })
    }
}
