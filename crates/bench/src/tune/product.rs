//! A product that tiles compete in: small integers, so that every tile has to give the same numbers.

use sparse_core::synthetic::integer_matrix;
use sparse_core::{DType, Element};
use sparse_gpu::{
    Error, Explanation, Extras, Gpu, GpuTensor, KernelTile, MatmulPlan, MatmulTypes, Tier, wgpu,
};
use sparse_measure::{PrunedWeights, cold_copies};

use super::contest::TunedOperation;
use crate::cli::Pattern;
use crate::device::GpuWeights;

/// Magnitude of the integers: sums of up to 2^19 products of two are exact in f32.
const LIMIT: u8 = 4;

/// `y = x w^T` on the device.
#[derive(Debug)]
pub(super) struct Product<T> {
    weights: GpuWeights,
    sizes: [usize; 3],
    types: MatmulTypes,
    x: GpuTensor,
    y: GpuTensor,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> Product<T> {
    pub(super) fn new(gpu: &Gpu, sizes: [usize; 3], pattern: Pattern) -> anyhow::Result<Self> {
        let [tokens, n_out, k_in] = sizes;
        let w = PrunedWeights::prune(integer_matrix::<T>(n_out, k_in, LIMIT, 1)?, pattern)?;
        Ok(Self {
            weights: GpuWeights::upload(gpu, &w, cold_copies(tokens, w.bytes()))?,
            sizes,
            types: MatmulTypes {
                x: T::DTYPE,
                w: T::DTYPE,
                y: DType::F32,
            },
            x: gpu.upload(&integer_matrix::<T>(tokens, k_in, LIMIT, 2)?)?,
            y: gpu.empty_tensor(&[tokens, n_out], DType::F32)?,
            element: std::marker::PhantomData,
        })
    }
}

impl<T: Element> TunedOperation for Product<T> {
    type Plan = MatmulPlan;

    fn plan(&self, gpu: &Gpu) -> Result<MatmulPlan, Error> {
        let epilogue = sparse_gpu::Epilogue::default();
        self.weights
            .plan(gpu, self.sizes, self.types, epilogue, Tier::Portable)
    }

    fn kernel_tile(plan: &MatmulPlan) -> Option<KernelTile> {
        plan.kernel_tile()
    }

    fn explain(plan: &MatmulPlan) -> &Explanation {
        plan.explain()
    }

    fn record(&self, plan: &MatmulPlan, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        // The clone shares the buffer.
        let mut y = self.y.clone();
        let extras = Extras::default();
        self.weights.record(plan, pass, &self.x, extras, &mut y)
    }

    fn outputs(&self) -> Vec<&GpuTensor> {
        vec![&self.y]
    }

    /// Every number is that of the default: sums of integers are exact.
    fn is_right(&self, results: &[Vec<f32>], default: Option<&[Vec<f32>]>) -> anyhow::Result<bool> {
        let is_written = results.iter().flatten().all(|y| y.is_finite());
        let is_trivial = results.iter().flatten().all(|&y| y == 0.0);
        Ok(is_written && !is_trivial && default.is_none_or(|default| results == default))
    }
}
