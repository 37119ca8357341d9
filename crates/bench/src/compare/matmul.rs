//! One linear layer: pruned, multiplied, checked, timed against its dense baseline.

use sparse_core::bounds::{compare, cooperative_matmul_bounds, matmul_bounds};
use sparse_core::{Activation, DType, Element, Epilogue, Matrix};
use sparse_gpu::{GpuTensor, NaiveMatmul, Tier, defaults};

use super::bench::{Bench, Recorder, RowWords, is_tuned};
use crate::ceilings::Work;
use crate::cli::{Operation, Pattern};
use crate::device::{Copies, MatmulRun, cold_copies};
use crate::measure::Ideal;
use crate::peers::Finalists;
use crate::record::{Record, Shape};
use crate::weights::PrunedWeights;

/// Multiply-adds that the CPU reference may take; larger products are checked at sampled tokens.
const REFERENCE_TERMS: usize = 1 << 26;

/// What is multiplied.
#[derive(Clone, Debug)]
pub struct MatmulJob<T> {
    /// What the row is called.
    pub operation: Operation,
    /// `[n_out, k_in]`, not pruned yet.
    pub w: Matrix<T>,
    /// `[tokens, k_in]`.
    pub x: Matrix<T>,
    /// `[n_out]`.
    pub bias: Option<Vec<f32>>,
    /// Applied last.
    pub activation: Activation,
    /// What w is pruned to.
    pub pattern: Pattern,
    /// Which kernels compute it, and its dense twin.
    pub tier: Tier,
    /// What the time is compared with.
    pub baseline: Baseline,
}

/// What a product is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The dense kernel over the weights before pruning.
    Dense,
    /// The kernel named `naive`, one invocation per output.
    Naive,
    /// The dense product on portable kernels.
    Portable,
    /// Itself: the product is dense and nothing else is asked for.
    Own,
}

/// A measured product.
#[derive(Clone, Debug)]
pub struct MatmulResult<T> {
    /// The row.
    pub record: Record,
    /// Rows of the result.
    pub tokens: usize,
    /// The result, `[tokens, n_out]`.
    pub y: Vec<f32>,
    /// The weights as multiplied.
    pub w: PrunedWeights<T>,
    /// Why this kernel and this tile.
    pub notes: Vec<String>,
}

/// Runs one job.
///
/// # Errors
/// Where pruning, planning or the device fails.
pub fn measure<T: Element>(
    bench: &Bench,
    job: MatmulJob<T>,
    after_round: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<MatmulResult<T>> {
    let gpu = &bench.gpu;
    let (tokens, n_out, k_in) = (job.x.rows(), job.w.rows(), job.w.cols());
    let dense = PrunedWeights::Dense(job.w);
    let pruned = match &dense {
        PrunedWeights::Dense(w) => PrunedWeights::prune(w.clone(), job.pattern)?,
        other => other.clone(),
    };
    let x = gpu.upload(&job.x)?;
    let bias = match &job.bias {
        Some(bias) => Some(gpu.upload(&sparse_core::Tensor::try_new(vec![n_out], bias.clone())?)?),
        None => None,
    };
    let on_gpu = sparse_gpu::Epilogue {
        activation: in_shader_words(job.activation),
        ..sparse_gpu::Epilogue::default()
    };
    // Other libraries run on one copy of their weights, and so do ours beside them.
    let copies = |w: &PrunedWeights<T>| match &bench.peers {
        Some(_) => 1,
        None => cold_copies(tokens, w.bytes()),
    };
    let own_copies = copies(&pruned);
    let mut own = MatmulRun::plan(gpu, &pruned, own_copies, &x, bias.clone(), on_gpu, job.tier)?;
    bench.poison(own.y());
    bench.run_once(&mut |pass| own.record(pass))?;
    let (_, y) = gpu.read_blocking::<f32>(own.y())?.into_parts();

    let mut epilogue = Epilogue::NONE.with_activation(job.activation);
    epilogue.bias = job
        .bias
        .as_ref()
        .map(|bias| bias.iter().map(|&b| f64::from(b)).collect());
    let on_matrices = own.explain().tier == Tier::CooperativeMatrix;
    let max_err_over_bound = check(&pruned, &job.x, &epilogue, &y, on_matrices)?;

    let finalists = match &bench.peers {
        // The other libraries multiply; nothing else is fused into their products.
        Some(peers) if job.bias.is_none() && job.activation == Activation::None => {
            let candidates = Finalists::named(peers.matmul(&pruned, &job.x), &bench.strategies);
            Finalists::of(candidates, &bench.interrupt, &|y| {
                check(&pruned, &job.x, &epilogue, y, false)
            })
        }
        _ => Finalists::default(),
    };
    let explanation = own.explain().clone();
    let mut tuned = is_tuned([&explanation]);
    let times = match job.baseline {
        Baseline::Own => {
            let recorders: &mut [Recorder<'_>] = &mut [&mut |pass| own.record(pass)];
            bench.time_beside(recorders, finalists, after_round)?
        }
        Baseline::Dense | Baseline::Portable => {
            let tier = match job.baseline {
                Baseline::Portable => Tier::Portable,
                _ => job.tier,
            };
            let mut dense = MatmulRun::plan(gpu, &dense, copies(&dense), &x, bias, on_gpu, tier)?;
            tuned |= is_tuned([dense.explain()]);
            let recorders: &mut [Recorder<'_>] =
                &mut [&mut |pass| dense.record(pass), &mut |pass| own.record(pass)];
            bench.time_beside(recorders, finalists, after_round)?
        }
        Baseline::Naive => {
            let plan = gpu.plan_blocking(&NaiveMatmul {
                tokens,
                n_out,
                k_in,
                dtype: T::DTYPE,
            })?;
            let w = pruned.to_dense()?;
            let w = Copies::upload(copies(&dense), || gpu.upload(&w))?;
            let mut y = result(bench, tokens, n_out)?;
            let recorders: &mut [Recorder<'_>] = &mut [
                &mut |pass| plan.record(pass, w.turn(), &x, &mut y),
                &mut |pass| own.record(pass),
            ];
            bench.time_beside(recorders, finalists, after_round)?
        }
    };
    let density = pruned.density();
    let words = RowWords {
        operation: job.operation,
        shape: Shape::matmul(tokens, n_out, k_in),
        dtype: T::DTYPE,
        pattern: job.pattern.to_string(),
        density,
        ideal_speedup: Ideal::Kept.speedup(density),
        kernel: explanation.kernel,
        tile: explanation.tile,
        tier: explanation.tier.to_string(),
        max_err_over_bound,
        peer: match job.baseline {
            Baseline::Naive => Some("naive"),
            Baseline::Portable => Some("portable"),
            Baseline::Dense | Baseline::Own => None,
        },
        is_tuned: tuned,
        // The ceilings are of f32 multiply-adds, which matrices are not.
        work: (!on_matrices).then(|| {
            Work::matmul(
                [tokens, n_out, k_in],
                density,
                pruned.bytes(),
                T::DTYPE.bytes(),
            )
            .with_copies(own_copies, pruned.bytes())
        }),
    };
    Ok(MatmulResult {
        record: bench.record_beside(words, times)?,
        tokens,
        y,
        w: pruned,
        notes: explanation.notes,
    })
}

fn result(bench: &Bench, tokens: usize, n_out: usize) -> Result<GpuTensor, sparse_gpu::Error> {
    bench.gpu.empty_tensor(&[tokens, n_out], DType::F32)
}

/// Error over bound at as many evenly spread tokens as the CPU can take.
fn check<T: Element>(
    w: &PrunedWeights<T>,
    x: &Matrix<T>,
    epilogue: &Epilogue,
    y: &[f32],
    on_matrices: bool,
) -> anyhow::Result<f64> {
    let (n_out, k_in) = w.shape();
    let affordable = REFERENCE_TERMS / (n_out * k_in).max(1);
    let tokens = spread_out(x.rows(), affordable.max(2));
    let reference = w.reference(x, epilogue, &tokens)?;
    let sampled = tokens
        .iter()
        .flat_map(|&token| &y[token * n_out..(token + 1) * n_out])
        .map(|&y| f64::from(y));
    let (terms, activation) = (w.most_terms(), epilogue.activation);
    let bounds = if on_matrices {
        cooperative_matmul_bounds(
            &reference,
            terms,
            defaults::MOST_PARTS,
            activation,
            DType::F32,
        )
    } else {
        matmul_bounds(&reference, terms, activation, DType::F32)
    };
    Ok(compare(sampled, &reference.y, &bounds).ratio)
}

/// At most `most` of `0..count`, evenly spread, first and last among them.
pub fn spread_out(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let steps = most.saturating_sub(1).max(1);
    let mut chosen: Vec<usize> = (0..most).map(|i| i * (count - 1) / steps).collect();
    chosen.dedup();
    chosen
}

const fn in_shader_words(activation: Activation) -> sparse_gpu::Activation {
    match activation {
        Activation::None => sparse_gpu::Activation::None,
        Activation::Relu => sparse_gpu::Activation::Relu,
        Activation::Gelu => sparse_gpu::Activation::Gelu,
        Activation::Silu => sparse_gpu::Activation::Silu,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_all_tokens() {
        assert_eq!(spread_out(4, 9), [0, 1, 2, 3]);
        assert_eq!(spread_out(1024, 3), [0, 511, 1023]);
        assert_eq!(spread_out(10, 1), [0]);
        assert!(spread_out(0, 3).is_empty());
    }
}
