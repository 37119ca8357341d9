//! The contest of one case: many candidates briefly, the best of them long, beside the default, by turns.

use std::time::{Duration, Instant};

use anyhow::Context;
use sparse_gpu::{
    Error, Explanation, Gpu, GpuTensor, KernelTile, MeasuredOn, TileEntry, TileOrigin, TileTable,
    TokenRange, wgpu,
};
use sparse_measure::{Budget, Runs};

use super::candidates::candidates;
use super::cases::TuneCase;
use super::finding::{Best, Finding, Verdict};
use crate::compare::bench::{Bench, Recorder};

/// Candidates of the second round.
const FINALISTS: usize = 3;
/// A candidate that gains less in the first round is not run again.
const PROMISING: f64 = 1.01;
/// Rounds of the first round.
const SCREENING_ROUNDS: usize = 3;
/// Tokens of a block of attention and scores.
const BLOCK: usize = 128;

/// Operands on a device, and plans for them.
pub(super) trait TunedOperation {
    /// What records the operation.
    type Plan;

    /// Plans with the tiles of `gpu`.
    fn plan(&self, gpu: &Gpu) -> Result<Self::Plan, Error>;
    /// What the plan took.
    fn kernel_tile(plan: &Self::Plan) -> Option<KernelTile>;
    /// Why.
    fn explain(plan: &Self::Plan) -> &Explanation;
    /// Records the operation.
    fn record(&self, plan: &Self::Plan, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error>;
    /// What it writes, in f32.
    fn outputs(&self) -> Vec<&GpuTensor>;
    /// Whether the outputs are right, where `default` is what the default tile gave, if these are of another.
    fn is_right(&self, results: &[Vec<f32>], default: Option<&[Vec<f32>]>) -> anyhow::Result<bool>;
}

/// How a case is run.
#[derive(Debug)]
pub(super) struct Race<'a> {
    pub(super) bench: &'a Bench,
    /// In all, about.
    pub(super) time: Duration,
    /// Most candidates of the first round.
    pub(super) most: usize,
}

/// A plan that competes.
struct Candidate<P> {
    kernel: KernelTile,
    plan: P,
}

impl Race<'_> {
    /// Runs the contest.
    pub(super) fn run<O: TunedOperation>(
        &self,
        case: &TuneCase,
        operation: &O,
        after_round: &mut dyn FnMut(),
    ) -> anyhow::Result<Finding> {
        let start = Instant::now();
        let default = operation.plan(&self.bench.gpu.without_tiles())?;
        let kernel = O::kernel_tile(&default).context("a table has no name for this kernel")?;
        let results = self.results(operation, &default)?;
        anyhow::ensure!(
            operation.is_right(&results, None)?,
            "the default tile {} gives wrong results on this device",
            kernel.tile_words()
        );
        if case.is_of_dense_kernel(&kernel) {
            let once = self
                .bench
                .run_once(&mut |pass| operation.record(&default, pass))?;
            return Ok(Finding {
                case: case.clone(),
                default: kernel,
                default_ms: 1e3 * once.as_secs_f64(),
                best: None,
                tried: 0,
                wrong: Vec::new(),
                verdict: Verdict::RunsDense,
            });
        }
        // Half of the time to compile candidates and to see that they run at all.
        let deadline = start + self.time / 2;
        let field = self.field(case, operation, &kernel, deadline, after_round)?;
        let tried = field.len();
        let mut best_first = self.screen(operation, &default, field, after_round)?;
        let mut wrong = Vec::new();
        let mut finalists = Vec::new();
        while finalists.len() < FINALISTS
            && let Some(candidate) = best_first.next()
        {
            after_round();
            let own = self.results(operation, &candidate.plan)?;
            if operation.is_right(&own, Some(&results))? {
                finalists.push(candidate);
            } else {
                wrong.push(candidate.kernel);
            }
        }
        let left = self.time.saturating_sub(start.elapsed());
        let (default_ms, best) = self.finale(operation, &default, &finalists, left, after_round)?;
        let verdict = Verdict::of(best.as_ref().map(|best| best.gain));
        Ok(Finding {
            case: case.clone(),
            default: kernel,
            default_ms,
            best,
            tried,
            wrong,
            verdict,
        })
    }

    /// Plans the candidates that there is time for, through a table each, as programs will: what a plan takes then is what is measured.
    fn field<O: TunedOperation>(
        &self,
        case: &TuneCase,
        operation: &O,
        default: &KernelTile,
        deadline: Instant,
        after_round: &mut dyn FnMut(),
    ) -> anyhow::Result<Vec<Candidate<O::Plan>>> {
        let mut field = Vec::new();
        for kernel in candidates(default, case.tokens, BLOCK) {
            if field.len() >= self.most || (!field.is_empty() && Instant::now() > deadline) {
                break;
            }
            after_round();
            let mut table = TileTable::new(MeasuredOn::of(self.bench.gpu.adapter()));
            table.entries.push(TileEntry {
                kernel,
                element_bytes: case.dtype.bytes(),
                tokens: TokenRange {
                    from: case.tokens,
                    to: case.tokens,
                },
                measured: None,
            });
            let plan = match operation.plan(&self.bench.gpu.with_tiles(&table)?) {
                Ok(plan) => plan,
                // A driver may refuse what the templates allow: too many registers, too much memory.
                Err(Error::Kernel { .. } | Error::Unavailable { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            // The device had no room for it, or the problem.
            let is_taken = O::kernel_tile(&plan) == Some(kernel)
                && O::explain(&plan).tile_origin == Some(TileOrigin::Table);
            if is_taken {
                // Drivers may compile at the first run only: that belongs to this part of the time.
                self.bench
                    .run_once(&mut |pass| operation.record(&plan, pass))?;
                field.push(Candidate { kernel, plan });
            }
        }
        Ok(field)
    }

    /// The candidates that were faster than the default in a few rounds, the fastest first.
    fn screen<O: TunedOperation>(
        &self,
        operation: &O,
        default: &O::Plan,
        field: Vec<Candidate<O::Plan>>,
        after_round: &mut dyn FnMut(),
    ) -> anyhow::Result<impl Iterator<Item = Candidate<O::Plan>> + use<O>> {
        let plans: Vec<&O::Plan> = std::iter::once(default)
            .chain(field.iter().map(|candidate| &candidate.plan))
            .collect();
        let budget = Budget {
            warm_up: 0,
            least_rounds: SCREENING_ROUNDS,
            most_rounds: SCREENING_ROUNDS,
            time: Duration::ZERO,
        };
        let times = self.time_plans(operation, &plans, budget, after_round)?;
        let (default, times) = times.split_first().context("the default was not timed")?;
        let mut faster: Vec<_> = field
            .into_iter()
            .zip(times)
            .map(|(candidate, runs)| (candidate, runs.speedup_over(default).median))
            .filter(|&(_, gain)| gain > PROMISING)
            .collect();
        faster.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Ok(faster.into_iter().map(|(candidate, _)| candidate))
    }

    /// The time of the default beside the finalists, and the fastest of them. Their times in the first round do not count: the fastest of
    /// many is the luckiest, too.
    fn finale<O: TunedOperation>(
        &self,
        operation: &O,
        default: &O::Plan,
        finalists: &[Candidate<O::Plan>],
        time: Duration,
        after_round: &mut dyn FnMut(),
    ) -> anyhow::Result<(f64, Option<Best>)> {
        let plans: Vec<&O::Plan> = std::iter::once(default)
            .chain(finalists.iter().map(|candidate| &candidate.plan))
            .collect();
        let budget = Budget {
            warm_up: 0,
            ..Budget::of(if finalists.is_empty() {
                Duration::ZERO
            } else {
                time
            })
        };
        let times = self.time_plans(operation, &plans, budget, after_round)?;
        let (default, times) = times.split_first().context("the default was not timed")?;
        let best = finalists
            .iter()
            .zip(times)
            .map(|(candidate, runs)| Best {
                kernel: candidate.kernel,
                ms: runs.summary().median_ms,
                gain: runs.speedup_over(default),
            })
            .max_by(|a, b| a.gain.median.total_cmp(&b.gain.median));
        Ok((default.summary().median_ms, best))
    }

    fn time_plans<O: TunedOperation>(
        &self,
        operation: &O,
        plans: &[&O::Plan],
        budget: Budget,
        after_round: &mut dyn FnMut(),
    ) -> anyhow::Result<Vec<Runs>> {
        let mut records: Vec<_> = plans
            .iter()
            .map(|plan| move |pass: &mut wgpu::ComputePass<'_>| operation.record(plan, pass))
            .collect();
        let mut recorders: Vec<Recorder<'_>> = records
            .iter_mut()
            .map(|record| record as Recorder<'_>)
            .collect();
        self.bench
            .time_for(budget, &mut recorders, &mut |_, _| after_round())
    }

    /// The outputs of one run into memory full of NaN.
    fn results<O: TunedOperation>(
        &self,
        operation: &O,
        plan: &O::Plan,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        for output in operation.outputs() {
            self.bench.poison(output);
        }
        self.bench
            .run_once(&mut |pass| operation.record(plan, pass))?;
        let read = |output: &GpuTensor| -> Result<Vec<f32>, Error> {
            Ok(self.bench.gpu.read_blocking::<f32>(output)?.into_parts().1)
        };
        Ok(operation
            .outputs()
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()?)
    }
}
