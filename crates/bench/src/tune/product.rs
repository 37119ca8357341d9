//! A product that tiles compete in: small integers, so that every tile has to give the same numbers.

use sparse_core::synthetic::integer_matrix;
use sparse_core::{DType, Element, Epilogue};
use sparse_gpu::{
    Error, Explanation, Extras, Gpu, GpuTensor, KernelTile, MatmulPlan, MatmulTypes, Tier, wgpu,
};
use sparse_measure::check::{Kernels, ProductReference};
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
    reference: ProductReference,
    element: std::marker::PhantomData<T>,
}

impl<T: Element> Product<T> {
    pub(super) fn new(gpu: &Gpu, sizes: [usize; 3], pattern: Pattern) -> anyhow::Result<Self> {
        let [tokens, n_out, k_in] = sizes;
        let w = PrunedWeights::prune(integer_matrix::<T>(n_out, k_in, LIMIT, 1)?, pattern)?;
        let x = integer_matrix::<T>(tokens, k_in, LIMIT, 2)?;
        Ok(Self {
            weights: GpuWeights::upload(gpu, &w, cold_copies(tokens, w.bytes()))?,
            sizes,
            types: MatmulTypes {
                x: T::DTYPE,
                w: T::DTYPE,
                y: DType::F32,
            },
            x: gpu.upload(&x)?,
            y: gpu.empty_tensor(&[tokens, n_out], DType::F32)?,
            reference: ProductReference::of(&w, &x, &Epilogue::NONE)?,
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

    /// The default is what the CPU reference is, in every tile of it, and every number of another is that of the default: sums of integers are exact.
    fn is_right(&self, results: &[Vec<f32>], default: Option<&[Vec<f32>]>) -> anyhow::Result<bool> {
        let [y] = results else {
            anyhow::bail!("{} results of a product", results.len());
        };
        let is_written = y.iter().all(|y| y.is_finite());
        let is_trivial = y.iter().all(|&y| y == 0.0);
        let is_same = match default {
            Some(default) => results == default,
            None => self.reference.check(y, Kernels::Exact)?.ratio() == 0.0,
        };
        Ok(is_written && !is_trivial && is_same)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cases::{TuneCase, TuneWork};
    use super::super::contest::Race;
    use super::*;
    use crate::cli::TuneOperation;
    use crate::commands::open;
    use crate::compare::bench::Bench;

    #[test]
    fn a_default_that_multiplies_wrongly_is_refused() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let [tokens, n_out, k_in] = [12, 40, 64];
        let sizes = [tokens, n_out, k_in];
        let case = TuneCase {
            operation: TuneOperation::DenseMatmul,
            tokens,
            dtype: DType::F32,
            work: TuneWork::Product {
                n_out,
                k_in,
                pattern: Pattern::Dense,
            },
        };
        let race = Race {
            bench: &bench,
            time: Duration::ZERO,
            most: 1,
        };
        let mut product = Product::<f32>::new(&bench.gpu, sizes, Pattern::Dense).unwrap();
        race.run(&case, &product, &mut || ()).unwrap();

        // One weight of another value than the host has.
        let mut w = integer_matrix::<f32>(n_out, k_in, LIMIT, 1).unwrap();
        w.data_mut()[7 * k_in + 5] += 1.0;
        let w = PrunedWeights::Dense(w);
        product.weights = GpuWeights::upload(&bench.gpu, &w, 1).unwrap();
        let error = race.run(&case, &product, &mut || ()).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("the default tile ") && error.contains("wrong results"));
    }
}
