//! What all rows of a run share: the device, its timer, and how long a row may take.

use std::time::Duration;

use sparse_core::DType;
use sparse_gpu::{Error, Explanation, Gpu, GpuMask, GpuTensor, TileOrigin, wgpu};
use sparse_measure::{Budget, OutputAndLse, Runs, Shape, Timing, Work};

use crate::ceilings::{CeilingError, Ceilings, Roofline};
use crate::cli::Operation;
use crate::compare::repeated::{MOST_REPEATS, Repeated, SHORTEST_PASS};
use crate::device::{AdapterWords, GpuResults, Timer};
use crate::interleave::{SystemClock, Timed, interleave};
use crate::interrupt::Interrupt;
use crate::peers::{Contender, Finalists, PeerError, Peers};
use crate::record::{Peer, Record};

/// The device and how it is timed.
#[derive(Debug)]
pub struct Bench {
    /// The device.
    pub gpu: Gpu,
    /// Its timer.
    pub timer: Timer,
    /// Its names.
    pub words: AdapterWords,
    /// Time of a row.
    pub budget: Budget,
    /// What the device can do at best, where it has been measured.
    pub ceilings: Option<Ceilings>,
    /// Other libraries, where they were asked for.
    pub peers: Option<Peers>,
    /// Parts of the names of their strategies that run; all where there are none.
    pub strategies: Vec<String>,
    /// Ends a row between two runs.
    pub interrupt: Interrupt,
}

/// Records an operation into a pass.
pub type Recorder<'a> = &'a mut dyn FnMut(&mut wgpu::ComputePass<'_>) -> Result<(), Error>;

/// What the kernels of a row are and what the row computes.
#[derive(Clone, Debug)]
pub struct RowWords {
    /// Operation.
    pub operation: Operation,
    /// Sizes.
    pub shape: Shape,
    /// Storage of the operands.
    pub dtype: DType,
    /// What is sparse.
    pub pattern: String,
    /// Kept share.
    pub density: f64,
    /// Speed-up that skipping could give.
    pub ideal_speedup: f64,
    /// Kernel of the measured operation.
    pub kernel: String,
    /// Its tile.
    pub tile: String,
    /// Its tier.
    pub tier: String,
    /// Error over bound, the largest of all contenders that were checked.
    pub max_err_over_bound: f64,
    /// What lies outside of its bound, see [`Record::faults`].
    pub faults: Vec<String>,
    /// Name of the baseline where it is no kernel of ours for this operation.
    pub peer: Option<&'static str>,
    /// Whether one of the contenders took a tile of a table.
    pub is_tuned: bool,
    /// Kernel and tile of the baseline, where there is one.
    pub baseline: Option<BaselineWords>,
    /// What the row has to do at least, where a ceiling of the device holds for its kernel.
    pub work: Option<Work>,
}

/// What the kernel of a baseline is.
#[derive(Clone, Debug)]
pub struct BaselineWords {
    /// Its name.
    pub kernel: String,
    /// Its tile, where it has one.
    pub tile: Option<String>,
}

impl BaselineWords {
    /// Of a plan.
    pub(crate) fn of(plan: &Explanation) -> Self {
        Self {
            kernel: plan.kernel.clone(),
            tile: Some(plan.tile.clone()),
        }
    }
}

/// Whether one of these plans took a tile of a table that was given.
pub(crate) fn is_tuned<'a>(plans: impl IntoIterator<Item = &'a Explanation>) -> bool {
    plans
        .into_iter()
        .any(|plan| plan.tile_origin == Some(TileOrigin::Table))
}

/// The times of a row.
#[derive(Clone, Debug)]
pub struct Times {
    /// Of our contenders, in their order.
    pub ours: Vec<Runs>,
    /// What became of the strategies of other libraries, the fastest first.
    pub contenders: Vec<Contender>,
    /// The runs of the first of those, where it ran beside ours.
    pub best_peer: Option<Runs>,
    /// How all of them were timed.
    pub timing: Timing,
}

impl Bench {
    /// Times on `gpu`, each row for about `row_time`.
    pub fn new(gpu: Gpu, row_time: Duration) -> Self {
        Self {
            timer: Timer::new(&gpu),
            words: AdapterWords::of(&gpu),
            // Every contender has run before its first round: `Repeated::all`.
            budget: Budget {
                warm_up: 0,
                ..Budget::of(row_time)
            },
            gpu,
            ceilings: None,
            peers: None,
            strategies: Vec::new(),
            interrupt: Interrupt::default(),
        }
    }

    /// Measures the ceilings of the device, which takes some seconds; where they have been measured before, the higher ones stay.
    ///
    /// # Errors
    /// Those of [`Ceilings::measure`].
    pub fn measure_ceilings(&mut self) -> Result<&Ceilings, CeilingError> {
        let seen = Ceilings::measure(&self.gpu, &self.timer)?;
        let highest = match &self.ceilings {
            Some(before) => before.raised_by(&seen),
            None => seen,
        };
        Ok(self.ceilings.insert(highest))
    }

    /// Opens the other libraries on the same adapter, for the strategies whose names contain one of `strategies`, or for all of them.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn open_peers(&mut self, strategies: &[String]) -> Result<(), PeerError> {
        self.peers = Some(Peers::open(&self.gpu, strategies)?);
        self.strategies = strategies.to_vec();
        Ok(())
    }

    /// Fills an f32 tensor with NaN, so that an element that is not written cannot pass for right.
    pub fn poison(&self, tensor: &GpuTensor) {
        let nan = vec![f32::NAN; tensor.len()];
        self.gpu
            .queue()
            .write_buffer(tensor.buffer(), tensor.offset(), bytemuck::cast_slice(&nan));
    }

    /// The same of output and log-sum-exp of attention.
    pub fn poison_results(&self, results: &GpuResults) {
        self.poison(&results.out);
        self.poison(&results.lse);
    }

    /// Sets every bit of a mask, those past the last block included: a mask that is not written cannot pass for right.
    pub fn poison_mask(&self, mask: &GpuMask) {
        let [batch, heads, q_blocks, _] = mask.shape();
        let ones = vec![u32::MAX; batch * heads * q_blocks * mask.words_per_row()];
        let queue = self.gpu.queue();
        queue.write_buffer(mask.buffer(), 0, bytemuck::cast_slice(&ones));
    }

    /// Submits `record` once and waits.
    ///
    /// # Errors
    /// Those of `record` and of the device; [`crate::interrupt::Interrupted`].
    pub fn run_once(&self, record: Recorder<'_>) -> anyhow::Result<Duration> {
        self.interrupt.check()?;
        self.timer.time(record)
    }

    /// Times the recorders by turns.
    ///
    /// # Errors
    /// The first error of a recorder or of the device.
    pub fn time(
        &self,
        recorders: &mut [Recorder<'_>],
        after_round: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<Vec<Runs>> {
        Ok(self
            .time_beside(recorders, Finalists::default(), after_round)?
            .ours)
    }

    /// Times the recorders by turns within another budget than that of a row; each has run once or twice before its first round.
    ///
    /// # Errors
    /// The first error of a recorder or of the device.
    pub fn time_for(
        &self,
        budget: Budget,
        recorders: &mut [Recorder<'_>],
        after_round: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<Vec<Runs>> {
        let mut runs = Repeated::all(&self.timer, &self.interrupt, recorders)?;
        let mut all: Vec<&mut dyn Timed> =
            runs.iter_mut().map(|run| run as &mut dyn Timed).collect();
        interleave(&mut all, budget, &SystemClock::start(), after_round)
    }

    /// Times the recorders by turns, and the finalists of other libraries with them. Where there are any, all are timed by the clock on
    /// the wall around recording, submitting and waiting: what other libraries allow.
    ///
    /// # Errors
    /// The first error of a contender or of the device.
    pub fn time_beside(
        &self,
        recorders: &mut [Recorder<'_>],
        mut finalists: Finalists,
        after_round: &mut dyn FnMut(usize, usize),
    ) -> anyhow::Result<Times> {
        let timer = if finalists.is_empty() {
            self.timer.clone()
        } else {
            self.timer.by_the_wall()
        };
        let mut runs = Repeated::all(&timer, &self.interrupt, recorders)?;
        let passes = runs.iter().map(Repeated::pass);
        let longest_pass = passes.fold(SHORTEST_PASS, Duration::max);
        let mut all: Vec<&mut dyn Timed> =
            runs.iter_mut().map(|run| run as &mut dyn Timed).collect();
        all.extend(finalists.racers(longest_pass, MOST_REPEATS));
        let clock = SystemClock::start();
        let mut ours = interleave(&mut all, self.budget, &clock, after_round)?;
        let theirs = ours.split_off(recorders.len());
        let (contenders, best_peer) = finalists.finish(theirs);
        Ok(Times {
            ours,
            contenders,
            best_peer,
            timing: timer.timing(),
        })
    }

    /// The record of a row from the runs of its baseline and its own, or from its own alone where there is no baseline.
    ///
    /// # Errors
    /// [`anyhow::Error`] where nothing was run.
    pub fn record(&self, words: RowWords, runs: &[Runs]) -> anyhow::Result<Record> {
        let (baseline, own) = baseline_and_own(runs)?;
        let ratio = baseline.map(|baseline| own.speedup_over(baseline));
        let speedup = ratio.map(|ratio| ratio.median);
        let dense_ms = baseline.map(|baseline| baseline.summary().median_ms);
        let sparse_ms = own.summary().median_ms;
        // Where nothing is skipped an ideal of 1 would read as a goal that was missed or beaten.
        let ideal = (words.density < 1.0).then_some(words.ideal_speedup);
        let (ideal_speedup, share_of_ideal) = against_ideal(speedup, ideal);
        let (dense_kernel, dense_tile) = match words.baseline {
            Some(BaselineWords { kernel, tile }) => (Some(kernel), tile),
            None => (None, None),
        };
        let roofline = match (&self.ceilings, words.work) {
            (Some(ceilings), Some(work)) => Some(Roofline::of(ceilings, work, sparse_ms)),
            _ => None,
        };
        Ok(Record {
            op: words.operation.name(),
            shape: words.shape,
            dtype: words.dtype.name(),
            pattern: words.pattern,
            density: words.density,
            adapter: self.words.adapter.clone(),
            driver: self.words.driver.clone(),
            backend: self.words.backend.clone(),
            tier: words.tier,
            kernel: words.kernel,
            tile: words.tile,
            timing: self.timer.timing(),
            dense_ms,
            sparse_ms,
            speedup,
            ideal_speedup,
            share_of_ideal,
            peer: match (words.peer, baseline) {
                (Some(name), Some(baseline)) => Some(peer(name.into(), own, baseline)),
                _ => None,
            },
            max_err_over_bound: words.max_err_over_bound,
            faults: words.faults,
            runs: own.summary().runs,
            spread: ratio.map_or(own.summary().spread, |ratio| ratio.spread),
            weight_copies: None,
            roofline,
            dense_kernel,
            dense_tile,
            is_tuned: words.is_tuned,
            class: self.gpu.class().name(),
            // The command knows.
            source: String::new(),
            contenders: Vec::new(),
        })
    }

    /// The record of a row that ran beside other libraries: the best of them is the row's peer.
    ///
    /// # Errors
    /// Those of [`Bench::record`].
    pub fn record_beside(&self, words: RowWords, times: Times) -> anyhow::Result<Record> {
        let record = self.record(words, &times.ours)?;
        let (_, own) = baseline_and_own(&times.ours)?;
        let best = match (times.contenders.first(), times.best_peer) {
            (Some(best), Some(runs)) => Some(peer(best.name.clone(), own, &runs)),
            _ => None,
        };
        Ok(Record {
            peer: best.or(record.peer),
            contenders: times.contenders,
            timing: times.timing,
            ..record
        })
    }
}

/// Another implementation by its runs beside ours.
fn peer(name: String, own: &Runs, runs: &Runs) -> Peer {
    let speedup = own.speedup_over(runs);
    Peer {
        name,
        ms: runs.summary().median_ms,
        speedup: speedup.median,
        spread: speedup.spread,
    }
}

/// The runs of a row's baseline, where it has one, and its own; those of the steps of XAttention come behind.
fn baseline_and_own(runs: &[Runs]) -> anyhow::Result<(Option<&Runs>, &Runs)> {
    match runs {
        [own] => Ok((None, own)),
        [baseline, own, ..] => Ok((Some(baseline), own)),
        [] => anyhow::bail!("nothing was run"),
    }
}

/// What is said of a contender where what the timed runs left is not to the bit the result that was checked, in one of the pairs of
/// `checked_and_timed`: a device that fails under load, or copies of an operand that differ. The same NaN is the same result.
pub(crate) fn changed(contender: &str, checked_and_timed: &[[&[f32]; 2]]) -> Option<String> {
    let is_same = |[checked, timed]: &[&[f32]; 2]| {
        let timed = timed.iter().map(|x| x.to_bits());
        checked.iter().map(|x| x.to_bits()).eq(timed)
    };
    (!checked_and_timed.iter().all(is_same)).then(|| {
        format!("{contender}: the timed runs left another result than the one that was checked")
    })
}

/// The same of attention.
pub(crate) fn attention_changed(
    contender: &str,
    checked: &OutputAndLse,
    timed: &OutputAndLse,
) -> Option<String> {
    changed(
        contender,
        &[[&checked.out, &timed.out], [&checked.lse, &timed.lse]],
    )
}

/// The ideal speed-up and the share of it that was reached; none where nothing is left to do, of which an infinite speed-up would be a share.
fn against_ideal(speedup: Option<f64>, ideal: Option<f64>) -> (Option<f64>, Option<f64>) {
    let ideal = ideal.filter(|ideal| ideal.is_finite());
    let share = speedup.zip(ideal).map(|(speedup, ideal)| speedup / ideal);
    (ideal, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_that_stays_is_no_change() {
        let of = |lse: f32| OutputAndLse {
            out: vec![1.0, f32::NAN],
            lse: vec![lse],
        };
        let changed = |timed| attention_changed("ours", &of(0.5), &of(timed));
        assert_eq!(changed(0.5), None);
        for timed in [0.25, f32::NAN] {
            let fault = "ours: the timed runs left another result than the one that was checked";
            assert_eq!(changed(timed).as_deref(), Some(fault));
        }
        assert!(super::changed("ours", &[[&[1.0], &[1.0, 2.0]]]).is_some());
    }

    #[test]
    fn the_spread_of_a_peer_is_that_of_the_ratios_to_it() {
        let runs = |ms: [u64; 5]| Runs::of(ms.map(Duration::from_millis).to_vec()).unwrap();
        // Both at half their pace for two rounds; the peer alone in one more.
        let (own, other) = (runs([10, 20, 10, 20, 10]), runs([30, 60, 40, 60, 20]));
        let expected = Peer {
            name: "other".into(),
            ms: 40.0,
            speedup: 3.0,
            spread: 0.0,
        };
        assert_eq!(peer("other".into(), &own, &other), expected);
        let other = runs([10, 40, 30, 80, 50]);
        assert_eq!(peer("other".into(), &own, &other).spread, 2.0 / 3.0);
    }

    #[test]
    fn of_an_infinite_ideal_nothing_is_a_share() {
        let against = |ideal| against_ideal(Some(3.0), Some(ideal));
        assert_eq!(against(4.0), (Some(4.0), Some(0.75)));
        assert_eq!(against(f64::INFINITY), (None, None));
    }

    #[test]
    fn a_row_claims_nothing_against_a_baseline_or_an_ideal_that_it_lacks() {
        let bench = Bench::new(crate::commands::open(None).unwrap(), Duration::ZERO);
        let words = |density: f64| RowWords {
            operation: Operation::DenseMatmul,
            shape: Shape::matmul(1, 2, 3),
            dtype: DType::F32,
            pattern: String::new(),
            density,
            ideal_speedup: 1.0 / density,
            kernel: String::new(),
            tile: String::new(),
            tier: String::new(),
            max_err_over_bound: 0.0,
            faults: Vec::new(),
            peer: None,
            is_tuned: false,
            baseline: None,
            work: None,
        };
        let [dense, own] = [6, 2].map(|ms| Runs::of(vec![Duration::from_millis(ms); 3]).unwrap());
        let numbers = |density, runs: &[Runs]| {
            let row = bench.record(words(density), runs).unwrap();
            assert_eq!(row.sparse_ms, 2.0);
            [
                row.dense_ms,
                row.speedup,
                row.ideal_speedup,
                row.share_of_ideal,
            ]
        };
        let both = [dense, own.clone()];
        let all = [Some(6.0), Some(3.0), Some(4.0), Some(0.75)];
        assert_eq!(numbers(0.25, &both), all);
        assert_eq!(numbers(1.0, &both), [Some(6.0), Some(3.0), None, None]);
        let alone = [own];
        assert_eq!(numbers(1.0, &alone), [None; 4]);
        assert_eq!(numbers(0.25, &alone), [None, None, Some(4.0), None]);
    }
}
