//! The gradient of a linear layer's weights at those that are kept: checked, timed against the dense gradient.

use sparse_core::synthetic::normal_matrix;
use sparse_core::{DType, Element, Epilogue, Matrix};
use sparse_gpu::{GpuTensor, Tier};
use sparse_measure::check::{CheckedProduct, Kernels, ProductReference};
use sparse_measure::{Ideal, PrunedWeights, Shape, Work};

use super::bench::{BaselineWords, Bench, Recorder, RowWords, changed, is_tuned};
use crate::device::GradientRun;
use crate::presets::GradientCase;
use crate::record::Record;

/// Runs one row on generated tensors: the gradient and the dense one once each for their results, which are checked, then by turns for the times.
///
/// # Errors
/// Where pruning, planning or the device fails.
pub fn measure<T: Element>(
    bench: &Bench,
    case: &GradientCase,
    after_round: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<Record> {
    Gradient::<T>::plan(bench, case)?.measure(bench, case, after_round)
}

/// A row that is planned.
struct Gradient<T> {
    pruned: PrunedWeights<T>,
    reference: ProductReference,
    own: GradientRun,
    dense: GradientRun,
}

impl<T: Element> Gradient<T> {
    fn plan(bench: &Bench, case: &GradientCase) -> anyhow::Result<Self> {
        let gpu = &bench.gpu;
        let w = normal_matrix(case.n_out, case.k_in, 1)?;
        let pruned = PrunedWeights::<T>::prune(w, case.pattern)?;
        let dy: Matrix<T> = normal_matrix(case.tokens, case.n_out, 2)?;
        let x: Matrix<T> = normal_matrix(case.tokens, case.k_in, 3)?;
        let on_gpu: [GpuTensor; 2] = [gpu.upload(&dy)?, gpu.upload(&x)?];
        let operands = on_gpu.each_ref();
        let own = GradientRun::plan(gpu, &pruned, operands)?;
        // As a product: outputs are its tokens, tokens its k.
        let all = PrunedWeights::Dense(x.transposed());
        let reference = ProductReference::of(&all, &dy.transposed(), &Epilogue::NONE)?;
        let of_all = PrunedWeights::Dense(pruned.to_dense()?);
        let dense = GradientRun::plan(gpu, &of_all, operands)?;
        Ok(Self {
            pruned,
            reference,
            own,
            dense,
        })
    }

    fn measure(
        mut self,
        bench: &Bench,
        case: &GradientCase,
        after_round: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<Record> {
        let explanation = self.own.explain().clone();
        let kept = self.pruned.kept();
        let dw = run(bench, &mut self.own)?;
        let checked = self.check(&dw, &|at| kept[at])?;
        let dense_words = format!("the dense baseline {}", self.dense.explain().kernel);
        let dense_dw = run(bench, &mut self.dense)?;
        let dense_checked = self.check(&dense_dw, &|_| true)?;
        let faults = [
            checked.fault(&explanation.kernel),
            dense_checked.fault(&dense_words),
        ];
        let mut faults = Vec::from_iter(faults.into_iter().flatten());
        let mut max_err_over_bound = checked.ratio().max(dense_checked.ratio());

        // What the timed runs leave is seen then.
        bench.poison(&self.own.values());
        bench.poison(&self.dense.values());
        let own: Recorder<'_> = &mut |pass| self.own.record(pass);
        let baseline: Recorder<'_> = &mut |pass| self.dense.record(pass);
        let runs = bench.time(&mut [baseline, own], after_round)?;
        let after = self.own.read(&bench.gpu)?;
        let dense_after = self.dense.read(&bench.gpu)?;
        let differing = changed(&explanation.kernel, &[[dw.data(), after.data()]])
            .or_else(|| changed(&dense_words, &[[dense_dw.data(), dense_after.data()]]));
        if let Some(fault) = differing {
            faults.push(fault);
            max_err_over_bound = f64::INFINITY;
        }
        let density = self.pruned.density();
        let sizes = [case.tokens, case.n_out, case.k_in];
        let dense = self.dense.explain();
        let words = RowWords {
            operation: case.operation,
            shape: Shape::matmul(case.tokens, case.n_out, case.k_in),
            dtype: T::DTYPE,
            pattern: case.pattern.to_string(),
            density,
            ideal_speedup: Ideal::Kept.speedup(density),
            kernel: explanation.kernel.clone(),
            tile: explanation.tile.clone(),
            tier: Tier::Portable.to_string(),
            max_err_over_bound,
            faults,
            peer: None,
            is_tuned: is_tuned([&explanation, dense]),
            baseline: Some(BaselineWords::of(dense)),
            work: Some(Work::gradient(
                sizes,
                density,
                self.pruned.bytes_stored_as(DType::F32),
                T::DTYPE.bytes(),
            )),
        };
        bench.record(words, &runs)
    }

    fn check(
        &self,
        dw: &Matrix<f32>,
        is_kept: &dyn Fn(usize) -> bool,
    ) -> anyhow::Result<CheckedProduct> {
        let checked = self
            .reference
            .check_where(dw.data(), Kernels::Portable, is_kept);
        Ok(checked?)
    }
}

/// The result of one run, which has to write all of it.
fn run(bench: &Bench, gradient: &mut GradientRun) -> anyhow::Result<Matrix<f32>> {
    bench.poison(&gradient.values());
    bench.run_once(&mut |pass| gradient.record(pass))?;
    gradient.read(&bench.gpu)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::Operation;
    use crate::commands::open;

    fn case(operation: Operation, pattern: &str) -> GradientCase {
        GradientCase {
            operation,
            model: "test",
            tokens: 21,
            n_out: 40,
            k_in: 70,
            dtype: DType::F32,
            pattern: pattern.parse().unwrap(),
        }
    }

    const CASES: [(Operation, &str); 4] = [
        (Operation::NmSddmm, "2:4"),
        (Operation::NmSddmm, "8:2:8"),
        (Operation::BsrSddmm, "bsr:16x16@0.25"),
        (Operation::BsrSddmm, "bsr:6x5@0.5"),
    ];

    fn bench() -> Bench {
        Bench::new(open(None).unwrap(), Duration::ZERO)
    }

    fn measured(bench: &Bench, case: &GradientCase, gradient: Gradient<f32>) -> Record {
        gradient.measure(bench, case, &mut |_, _| ()).unwrap()
    }

    #[test]
    fn rows_are_right_and_say_what_they_ran() {
        let bench = bench();
        for (operation, pattern) in CASES {
            let case = case(operation, pattern);
            let record = measure::<f32>(&bench, &case, &mut |_, _| ()).unwrap();
            assert!(record.is_right(), "{record:?}");
            assert!(record.max_err_over_bound > 0.0, "{record:?}");
            assert!(record.kernel.starts_with(operation.name()), "{record:?}");
            assert!(record.speedup.is_some() && record.ideal_speedup.is_some());
            measure::<half::bf16>(&bench, &case, &mut |_, _| ()).unwrap();
        }
    }

    /// Either contender takes the operands of another row.
    #[test]
    fn a_wrong_gradient_is_named() {
        let bench = bench();
        for (operation, pattern) in CASES {
            let right = case(operation, pattern);
            let fewer = GradientCase {
                tokens: 20,
                ..right.clone()
            };
            for of_baseline in [false, true] {
                let mut gradient = Gradient::plan(&bench, &right).unwrap();
                let other = Gradient::<f32>::plan(&bench, &fewer).unwrap();
                if of_baseline {
                    gradient.dense = other.dense;
                } else {
                    gradient.own = other.own;
                }
                let record = measured(&bench, &right, gradient);
                assert!(!record.is_right(), "{record:?}");
                let [fault] = &record.faults[..] else {
                    panic!("{:?}", record.faults);
                };
                assert_eq!(fault.starts_with("the dense baseline"), of_baseline);
                assert!(fault.contains(": y["), "{fault}");
            }
        }
    }

    /// Somebody else writes while runs are timed.
    #[test]
    fn a_result_that_the_timed_runs_leave_otherwise_makes_the_row_wrong() {
        let bench = bench();
        for (operation, pattern) in CASES {
            let case = case(operation, pattern);
            let gradient = Gradient::<f32>::plan(&bench, &case).unwrap();
            let values = gradient.own.values();
            let zeros = vec![0_u8; 4 * values.len()];
            let overwrite = &mut |_, _| {
                let queue = bench.gpu.queue();
                queue.write_buffer(values.buffer(), values.offset(), &zeros);
            };
            let record = gradient.measure(&bench, &case, overwrite).unwrap();
            assert!(!record.is_right(), "{record:?}");
            assert!(record.faults[0].contains("left another result"));
        }
    }
}
