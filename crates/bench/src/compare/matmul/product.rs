//! A job planned, checked and timed.

use sparse_core::{Activation, Element, Epilogue, Matrix, Tensor};
use sparse_gpu::{GpuTensor, Tier, defaults};
use sparse_measure::check::{Kernels, ProductReference};
use sparse_measure::{Ideal, PrunedWeights, Shape, Work, cold_copies};

use super::baseline::BaselineRun;
use super::{Baseline, MatmulJob, MatmulResult};
use crate::cli::{Operation, Pattern};
use crate::compare::bench::{Bench, Recorder, RowWords, changed, is_tuned};
use crate::device::MatmulRun;
use crate::peers::{Candidate, Finalists};
use crate::record::Record;

/// A job that is planned, with its operands on the host and in GPU memory.
pub(super) struct Product<T> {
    operation: Operation,
    pattern: Pattern,
    x: Matrix<T>,
    epilogue: Epilogue,
    /// Not pruned.
    dense: PrunedWeights<T>,
    pruned: PrunedWeights<T>,
    own: MatmulRun,
    /// Strategies of other libraries that run beside ours.
    candidates: Vec<Box<dyn Candidate>>,
    against: Baseline,
    /// None where the product is compared with itself.
    baseline: Option<BaselineRun>,
}

impl<T: Element> Product<T> {
    pub(super) fn plan(bench: &Bench, job: MatmulJob<T>) -> anyhow::Result<Self> {
        let gpu = &bench.gpu;
        let has_epilogue = job.bias.is_some() || job.activation != Activation::None;
        anyhow::ensure!(
            job.baseline != Baseline::Naive || !has_epilogue,
            "the naive kernel adds no bias and applies no activation; compare with the dense kernel, or leave them out"
        );
        let n_out = job.w.rows();
        let pruned = PrunedWeights::prune(job.w.clone(), job.pattern)?;
        let dense = PrunedWeights::Dense(job.w);
        let x = gpu.upload(&job.x)?;
        let bias = match &job.bias {
            Some(bias) => Some(gpu.upload(&Tensor::try_new(vec![n_out], bias.clone())?)?),
            None => None,
        };
        let on_gpu = sparse_gpu::Epilogue {
            activation: in_shader_words(job.activation),
            ..sparse_gpu::Epilogue::default()
        };
        let candidates = match &bench.peers {
            // The other libraries multiply; nothing else is fused into their products.
            Some(peers) if !has_epilogue => {
                Finalists::named(peers.matmul(&pruned, &job.x), &bench.strategies)
            }
            _ => Vec::new(),
        };
        let run =
            |w: &PrunedWeights<T>, tier| MatmulRun::plan(gpu, w, 1, &x, bias.clone(), on_gpu, tier);
        let own = run(&pruned, job.tier)?;
        let baseline = match job.baseline {
            Baseline::Own => None,
            Baseline::Dense => Some(BaselineRun::planned(run(&dense, job.tier)?)),
            Baseline::Portable => Some(BaselineRun::planned(run(&dense, Tier::Portable)?)),
            Baseline::Naive => Some(BaselineRun::naive(bench, &pruned, &x)?),
        };
        let mut epilogue = Epilogue::NONE.with_activation(job.activation);
        epilogue.bias = job
            .bias
            .as_ref()
            .map(|bias| bias.iter().map(|&b| f64::from(b)).collect());
        Ok(Self {
            own,
            candidates,
            operation: job.operation,
            pattern: job.pattern,
            epilogue,
            dense,
            pruned,
            against: job.baseline,
            baseline,
            x: job.x,
        })
    }

    pub(super) fn measure(
        mut self,
        bench: &Bench,
        after_round: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<MatmulResult<T>> {
        let explanation = self.own.explain().clone();
        let reference = ProductReference::of(&self.pruned, &self.x, &self.epilogue)?;
        bench.poison(self.own.y());
        bench.run_once(&mut |pass| self.own.record(pass))?;
        let y = read(bench, self.own.y())?;
        let checked = reference.check(&y, kernels(explanation.tier))?;
        let mut faults: Vec<String> = checked.fault(&explanation.kernel).into_iter().collect();
        let mut max_err_over_bound = checked.ratio();
        let mut baseline_y = Vec::new();
        if let Some(baseline) = &mut self.baseline {
            bench.poison(baseline.y());
            bench.run_once(&mut |pass| baseline.record(pass))?;
            baseline_y = read(bench, baseline.y())?;
            // A twin that multiplies what ours does has the reference of ours.
            let of_all = if self.pattern == Pattern::Dense || self.against == Baseline::Naive {
                None
            } else {
                Some(ProductReference::of(&self.dense, &self.x, &self.epilogue)?)
            };
            let reference = of_all.as_ref().unwrap_or(&reference);
            let checked = reference.check(&baseline_y, kernels(baseline.tier()))?;
            faults.extend(checked.fault(&baseline.words()));
            max_err_over_bound = max_err_over_bound.max(checked.ratio());
        }

        let candidates = std::mem::take(&mut self.candidates);
        let finalists = Finalists::of(candidates, &bench.interrupt, &|y| {
            Ok(reference.check(y, Kernels::Portable)?.ratio())
        });
        let weight_copies = self.take_turns(bench, &finalists)?;
        let is_tuned =
            is_tuned([&explanation]) || self.baseline.as_ref().is_some_and(BaselineRun::is_tuned);
        // What the timed runs leave is seen then.
        bench.poison(self.own.y());
        if let Some(baseline) = &self.baseline {
            bench.poison(baseline.y());
        }
        let own: Recorder<'_> = &mut |pass| self.own.record(pass);
        let times = match &mut self.baseline {
            None => bench.time_beside(&mut [own], finalists, after_round)?,
            Some(baseline) => {
                let baseline: Recorder<'_> = &mut |pass| baseline.record(pass);
                bench.time_beside(&mut [baseline, own], finalists, after_round)?
            }
        };
        let after = read(bench, self.own.y())?;
        let mut differing = changed(&explanation.kernel, &[[&y, &after]]);
        if let Some(baseline) = &self.baseline {
            let after = read(bench, baseline.y())?;
            differing = differing.or(changed(&baseline.words(), &[[&baseline_y, &after]]));
        }
        if let Some(fault) = differing {
            faults.push(fault);
            max_err_over_bound = f64::INFINITY;
        }
        let (tokens, (n_out, k_in)) = (self.x.rows(), self.pruned.shape());
        let density = self.pruned.density();
        let words = RowWords {
            operation: self.operation,
            shape: Shape::matmul(tokens, n_out, k_in),
            dtype: T::DTYPE,
            pattern: self.pattern.to_string(),
            density,
            ideal_speedup: Ideal::Kept.speedup(density),
            kernel: explanation.kernel,
            tile: explanation.tile,
            tier: explanation.tier.to_string(),
            max_err_over_bound,
            faults,
            peer: match self.against {
                Baseline::Naive => Some("naive"),
                Baseline::Portable => Some("portable"),
                Baseline::Dense | Baseline::Own => None,
            },
            is_tuned,
            baseline: self.baseline.as_ref().map(BaselineRun::kernel_and_tile),
            // The ceilings are of f32 multiply-adds, which matrices are not.
            work: (explanation.tier != Tier::CooperativeMatrix).then(|| {
                let bytes = self.pruned.bytes();
                let sizes = [tokens, n_out, k_in];
                Work::matmul(sizes, density, bytes, T::DTYPE.bytes())
                    .with_copies(weight_copies, bytes)
            }),
        };
        Ok(MatmulResult {
            record: Record {
                weight_copies: Some(weight_copies),
                ..bench.record_beside(words, times)?
            },
            tokens,
            y,
            w: self.pruned,
            notes: explanation.notes,
        })
    }

    /// Makes copies of the weights for the timed runs, and says how many ours take by turns. Other libraries run on one copy of theirs, and
    /// so do ours beside them: beside those that do run, of which none may be left of many that were asked.
    fn take_turns(&mut self, bench: &Bench, beside: &Finalists) -> anyhow::Result<usize> {
        if !beside.is_empty() {
            return Ok(1);
        }
        let copies = |w: &PrunedWeights<T>| cold_copies(self.x.rows(), w.bytes());
        let (of_own, of_dense) = (copies(&self.pruned), copies(&self.dense));
        if of_own > 1 {
            self.own.take_turns(&bench.gpu, &self.pruned, of_own)?;
        }
        if let Some(baseline) = &mut self.baseline
            && of_dense > 1
        {
            let w = match self.against {
                Baseline::Naive => &self.pruned,
                Baseline::Dense | Baseline::Portable | Baseline::Own => &self.dense,
            };
            baseline.take_turns(bench, w, of_dense)?;
        }
        Ok(of_own)
    }
}

fn read(bench: &Bench, y: &GpuTensor) -> Result<Vec<f32>, sparse_gpu::Error> {
    Ok(bench.gpu.read_blocking::<f32>(y)?.into_parts().1)
}

fn kernels(tier: Tier) -> Kernels {
    if tier == Tier::CooperativeMatrix {
        Kernels::CooperativeMatrix {
            most_parts: defaults::MOST_PARTS,
        }
    } else {
        Kernels::Portable
    }
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
    use std::time::Duration;

    use sparse_core::synthetic::normal_matrix;
    use sparse_measure::Timing;

    use super::*;
    use crate::commands::open;
    use crate::peers::Outcome;

    const SIZES: [usize; 3] = [40, 48, 64];

    fn bench() -> Bench {
        Bench::new(open(None).unwrap(), Duration::ZERO)
    }

    fn job(pattern: &str, baseline: Baseline) -> MatmulJob<f32> {
        let [tokens, n_out, k_in] = SIZES;
        MatmulJob {
            operation: Operation::NmMatmul,
            w: normal_matrix(n_out, k_in, 1).unwrap(),
            x: normal_matrix(tokens, k_in, 2).unwrap(),
            bias: None,
            activation: Activation::None,
            pattern: pattern.parse().unwrap(),
            tier: Tier::Portable,
            baseline,
        }
    }

    fn measured(bench: &Bench, product: Product<f32>) -> Record {
        product.measure(bench, &mut |_, _| ()).unwrap().record
    }

    /// Each baseline, right and with one weight of another value than the host has.
    #[test]
    fn a_wrong_baseline_makes_the_row_wrong_and_is_named() {
        let bench = bench();
        for (pattern, baseline, name) in [
            ("8:2:8", Baseline::Dense, "the dense baseline matmul_dense_"),
            (
                "dense",
                Baseline::Portable,
                "the dense baseline matmul_dense_",
            ),
            ("dense", Baseline::Naive, "the naive kernel"),
        ] {
            let right = measured(
                &bench,
                Product::plan(&bench, job(pattern, baseline)).unwrap(),
            );
            assert!(right.is_right(), "{pattern} {baseline:?} {right:?}");
            assert!(right.faults.is_empty(), "{:?}", right.faults);

            let mut other = job(pattern, baseline);
            let [_, n_out, k_in] = SIZES;
            let mut weights = other.w.data().to_vec();
            weights[5 * k_in + 7] += 1.0;
            other.w = Matrix::try_new(n_out, k_in, weights).unwrap();
            let mut product = Product::plan(&bench, job(pattern, baseline)).unwrap();
            product.baseline = Product::plan(&bench, other).unwrap().baseline;
            let wrong = measured(&bench, product);
            assert!(!wrong.is_right(), "{pattern} {baseline:?} {wrong:?}");
            let [fault] = &wrong.faults[..] else {
                panic!("{:?}", wrong.faults);
            };
            assert!(fault.starts_with(name), "{fault}");
            // Output 5 is the one that the weight belongs to.
            assert!(fault.contains(", 5] is "), "{fault}");
        }
    }

    #[test]
    fn a_wrong_product_of_ours_is_named_and_its_baseline_is_not() {
        let bench = bench();
        let mut product = Product::plan(&bench, job("8:2:8", Baseline::Dense)).unwrap();
        let mut other = job("8:2:8", Baseline::Dense);
        other.w = normal_matrix(SIZES[1], SIZES[2], 3).unwrap();
        product.own = Product::plan(&bench, other).unwrap().own;
        let wrong = measured(&bench, product);
        let [fault] = &wrong.faults[..] else {
            panic!("{:?}", wrong.faults);
        };
        assert!(
            !wrong.is_right() && fault.starts_with(&wrong.kernel),
            "{fault}"
        );
    }

    /// Somebody else writes while runs are timed.
    #[test]
    fn a_result_that_the_timed_runs_leave_otherwise_makes_the_row_wrong() {
        let bench = bench();
        for of_baseline in [false, true] {
            let product = Product::plan(&bench, job("8:2:8", Baseline::Dense)).unwrap();
            let y = match &product.baseline {
                Some(baseline) if of_baseline => baseline.y().clone(),
                _ => product.own.y().clone(),
            };
            let zeros = vec![0_u8; 4 * y.len()];
            let overwrite = &mut |_, _| {
                let queue = bench.gpu.queue();
                queue.write_buffer(y.buffer(), y.offset(), &zeros);
            };
            let wrong = product.measure(&bench, overwrite).unwrap().record;
            assert!(!wrong.is_right(), "{wrong:?}");
            let [fault] = &wrong.faults[..] else {
                panic!("{:?}", wrong.faults);
            };
            assert_eq!(fault.starts_with("the dense baseline"), of_baseline);
            assert!(fault.contains("left another result"), "{fault}");
        }
    }

    /// A strategy with this result that runs so often.
    struct Other {
        y: Vec<f32>,
        runs_left: u32,
    }

    impl Candidate for Other {
        fn name(&self) -> String {
            "other".into()
        }
        fn prepare(&mut self) -> anyhow::Result<()> {
            Ok(())
        }
        fn run(&mut self, _repeats: u32) -> anyhow::Result<()> {
            let left = self.runs_left.checked_sub(1);
            self.runs_left = left.ok_or_else(|| anyhow::anyhow!("device lost"))?;
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        }
        fn result(&mut self) -> anyhow::Result<Vec<f32>> {
            Ok(self.y.clone())
        }
    }

    /// A row of one token beside a strategy that runs so often.
    fn beside(bench: &Bench, runs_left: u32) -> Record {
        let few = || MatmulJob {
            x: normal_matrix(1, SIZES[2], 2).unwrap(),
            ..job("8:2:8", Baseline::Dense)
        };
        let alone = Product::plan(bench, few()).unwrap();
        let y = alone.measure(bench, &mut |_, _| ()).unwrap().y;
        let mut product = Product::plan(bench, few()).unwrap();
        product.candidates = vec![Box::new(Other { y, runs_left })];
        measured(bench, product)
    }

    #[test]
    fn only_rows_beside_other_libraries_have_one_copy() {
        let bench = bench();
        let record = beside(&bench, 1000);
        assert_eq!(
            (record.weight_copies, record.timing),
            (Some(1), Timing::Wall)
        );
        assert_eq!(record.peer.unwrap().name, "other");
        // Other libraries were asked, but none of them runs.
        let record = beside(&bench, 0);
        assert_eq!(record.contenders.len(), 1);
        assert_eq!(record.timing, bench.timer.timing());
        assert_eq!(record.weight_copies, Some(sparse_measure::MOST_COPIES));
        assert!(record.is_right(), "{:?}", record.faults);
    }

    #[test]
    fn what_another_library_does_beside_ours_ends_no_row() {
        let record = beside(&bench(), 6);
        let told = &record.contenders[0].outcome;
        let expected = "failed beside ours in round 3: device lost";
        assert_eq!(*told, Outcome::Refused(expected.into()));
        assert!(record.is_right() && record.sparse_ms > 0.0, "{record:?}");
        assert_eq!((record.runs, record.peer), (5, None));
    }

    #[test]
    fn the_naive_kernel_is_no_baseline_of_a_bias() {
        let job = MatmulJob {
            bias: Some(vec![0.0; SIZES[1]]),
            ..job("dense", Baseline::Naive)
        };
        let planned = Product::plan(&bench(), job);
        let error = planned.map(|product| product.pattern).unwrap_err();
        assert!(error.to_string().contains("adds no bias"), "{error}");
    }
}
