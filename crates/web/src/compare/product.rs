//! A linear layer with sparse weights against the dense one of the same shape.

use sparse_core::synthetic::normal_matrix;
use sparse_core::{DType, Element, Epilogue, Matrix};
use sparse_gpu::{
    BsrMatmul, DenseMatmul, Error, Gpu, GpuBsr, GpuNm, GpuTensor, MatmulPlan, MatmulTypes,
    NaiveMatmul, NaiveMatmulPlan, NmMatmul, NmMatvec, wgpu,
};
use sparse_measure::check::{CheckError, Kernels, ProductReference};
use sparse_measure::{Copies, Ideal, Pattern, PrunedWeights, cold_copies_of};
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
    /// Plans `y [tokens, n_out] = x [tokens, k_in] w [n_out, k_in]^T` with so many copies of w, in the operation that takes such weights and so many tokens.
    ///
    /// # Errors
    /// Where planning fails or the operands do not fit into GPU memory.
    pub async fn plan<T: Element>(
        gpu: &Gpu,
        w: &PrunedWeights<T>,
        copies: usize,
        x: &GpuTensor,
    ) -> Result<Self, Error> {
        let tokens = x.shape().first().copied().unwrap_or(0);
        let upload = || {
            Ok::<_, Error>(match w {
                PrunedWeights::Dense(w) => Uploaded::Dense(gpu.upload(w)?),
                PrunedWeights::Nm(w) => Uploaded::Nm(gpu.upload_nm(w)?),
                PrunedWeights::Bsr(w) => Uploaded::Bsr(Box::new(gpu.upload_bsr(w)?)),
            })
        };
        Ok(Self {
            plan: plan(gpu, w, tokens).await?,
            w: Copies::upload(copies, upload)?,
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
#[derive(Debug)]
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
        copies: usize,
        x: &GpuTensor,
    ) -> anyhow::Result<Self> {
        let tokens = x.shape().first().copied().unwrap_or(0);
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
            w: Copies::upload(copies, || gpu.upload(&dense))?,
            x: x.clone(),
            y: gpu.empty_tensor(&[tokens, n_out], DType::F32)?,
        })
    }

    fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        self.plan.record(pass, self.w.turn(), &self.x, &mut self.y)
    }
}

/// What a product is timed against.
#[derive(Debug)]
enum Baseline {
    /// The dense kernel over the weights before pruning.
    Dense(Box<Product>),
    /// The naive kernel, for a product that is dense itself.
    Naive(Box<Naive>),
}

impl Baseline {
    fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        match self {
            Self::Dense(product) => product.record(pass),
            Self::Naive(naive) => naive.record(pass),
        }
    }

    fn y(&self) -> &GpuTensor {
        match self {
            Self::Dense(product) => &product.y,
            Self::Naive(naive) => &naive.y,
        }
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
        cold_bytes,
        ..
    } = *row;
    go_on(watch, Progress::Step("make and prune weights")).await?;
    let w = normal_matrix::<T>(n_out, k_in, SEEDS[0])?;
    let x = normal_matrix::<T>(tokens, k_in, SEEDS[1])?;
    let pruned = PrunedWeights::prune(w.clone(), pattern)?;
    let dense = PrunedWeights::Dense(w);

    go_on(watch, Progress::Step("compile and run once")).await?;
    let x_on_gpu = gpu.upload(&x)?;
    let copies = |w: &PrunedWeights<T>| cold_copies_of(cold_bytes, tokens, w.bytes());
    let mut own = Product::plan(gpu, &pruned, copies(&pruned), &x_on_gpu).await?;
    let is_dense = pattern == Pattern::Dense;
    let mut baseline = if is_dense {
        let naive = Naive::plan(gpu, &dense, copies(&dense), &x_on_gpu).await?;
        Baseline::Naive(Box::new(naive))
    } else {
        let dense = Product::plan(gpu, &dense, copies(&dense), &x_on_gpu).await?;
        Baseline::Dense(Box::new(dense))
    };
    poison(gpu, &own.y);
    poison(gpu, baseline.y());
    let once = &mut |pass: &mut wgpu::ComputePass<'_>| {
        own.record(pass)?;
        baseline.record(pass)
    };
    bench.timer.time(1, once).await?;
    let (_, y) = gpu.read::<f32>(&own.y).await?.into_parts();
    let (_, baseline_y) = gpu.read::<f32>(baseline.y()).await?.into_parts();

    go_on(watch, Progress::Step("check against the CPU reference")).await?;
    let explanation = own.plan.explain().clone();
    let products = [
        (&*explanation.kernel, &pruned, &*y),
        ("the baseline", &dense, &*baseline_y),
    ];
    let (max_err_over_bound, faults) = worst(products, &x)?;
    let run_own: Recorder<'_> = &mut |pass| own.record(pass);
    let run_baseline: Recorder<'_> = &mut |pass| baseline.record(pass);
    let contenders = &mut [run_baseline, run_own];
    let runs = interleave(&bench.timer, contenders, bench.budget, watch).await?;
    let density = pruned.density();
    Ok(Measured {
        density,
        ideal_speedup: Ideal::Kept.speedup(density),
        tier: explanation.tier.to_string(),
        kernel: explanation.kernel,
        tile: explanation.tile,
        peer: is_dense.then_some("naive"),
        max_err_over_bound,
        faults,
        runs,
    })
}

/// The largest error over its bound of products `y [tokens, n_out] = x w^T`, each named and with weights of its own, and what is wrong with which.
fn worst<T: Element>(
    products: [(&str, &PrunedWeights<T>, &[f32]); 2],
    x: &Matrix<T>,
) -> Result<(f64, Vec<String>), CheckError> {
    let (mut worst, mut faults) = (0.0_f64, Vec::new());
    for (name, w, y) in products {
        let checked = ProductReference::of(w, x, &Epilogue::NONE)?.check(y, Kernels::Portable)?;
        worst = worst.max(checked.ratio());
        faults.extend(checked.fault(name));
    }
    Ok((worst, faults))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of small integers, which a product of f32 has exactly.
    #[test]
    fn a_wrong_element_of_either_side_makes_the_row_wrong() {
        let count = |rows: usize, cols: usize| {
            let numbers = (0..rows * cols).map(|i| (i % 7) as f32 - 3.0);
            Matrix::try_new(rows, cols, numbers.collect()).unwrap()
        };
        let (w, x) = (count(16, 24), count(5, 24));
        let pruned = PrunedWeights::prune(w.clone(), "8:2:8".parse().unwrap()).unwrap();
        let dense = PrunedWeights::Dense(w);
        let product = |w: &PrunedWeights<f32>| -> Vec<f32> {
            let w = w.to_dense().unwrap();
            let rows = x.data().chunks(24);
            rows.flat_map(|x| {
                let outputs = w.data().chunks(24);
                outputs.map(move |w| x.iter().zip(w).map(|(x, w)| x * w).sum())
            })
            .collect()
        };
        let right = [product(&pruned), product(&dense)];
        let worst = |y: &[Vec<f32>; 2]| {
            worst([("ours", &pruned, &y[0]), ("theirs", &dense, &y[1])], &x).unwrap()
        };
        assert_eq!(worst(&right), (0.0, Vec::new()));
        for side in [0, 1] {
            let mut wrong = right.clone();
            wrong[side][37] += 1.0;
            let (ratio, faults) = worst(&wrong);
            assert!(ratio > 1.0, "{side}");
            let place = format!("{}: y[2, 5] is ", ["ours", "theirs"][side]);
            assert!(
                faults.len() == 1 && faults[0].starts_with(&place),
                "{faults:?}"
            );
            wrong[side][37] = f32::NAN;
            assert_eq!(worst(&wrong).0, f64::INFINITY, "{side}");
        }
    }
}
