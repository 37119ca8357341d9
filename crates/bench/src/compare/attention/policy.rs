//! One attention layer under a policy that may choose dense attention, against dense attention.

use serde::Serialize;
use sparse_core::attention::{AttentionShape, HeadKind, mask_of_kinds};
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{BlockMask, Element, Tensor};
use sparse_gpu::{Attended, Policy};
use sparse_measure::check::{self, Checks};
use sparse_measure::{OutputAndLse, Shape};

use super::cold;
use super::measure::{AttentionJob, CHECK, crop};
use super::quality::{Quality, reachable};
use super::selected::Selected;
use super::verdict::Verdict;
use super::words::{joined, selection};
use super::work::{ideal, looked_at, work};
use crate::cli::Operation;
use crate::compare::bench::{
    BaselineWords, Bench, Recorder, RowWords, attention_changed, is_tuned,
};
use crate::device::{AttendRun, GpuQkv, PolicyRun};
use crate::progress::Progress;
use crate::record::Record;

/// What the policy did, in the report of `attention --auto`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// `sparse` or `dense`: the kernel that attended.
    pub attended: &'static str,
    /// What ran, step by step: dense attention may come behind scores and a selection that turned out too dense.
    pub ran: &'static str,
    /// The rule that the plan followed, in words.
    pub reason: String,
    /// Dense time over own time as the cost model sees it, with the density that came out.
    pub predicted_speedup: f64,
    /// Dense time over own time as measured, see [`Record::speedup`].
    pub speedup: Option<f64>,
    /// Share of the reachable blocks that was selected; nothing where nothing was scored.
    pub selected_density: Option<f64>,
}

impl Decided {
    /// Whether dense attention ran.
    pub fn is_dense(&self) -> bool {
        self.attended == DENSE
    }
}

const SPARSE: &str = "sparse";
const DENSE: &str = "dense";

/// What a plan ran that attended so, where `is_scored` tells whether blocks were scored before.
const fn ran(attended: Attended, is_scored: bool) -> &'static str {
    match (attended, is_scored) {
        (Attended::Sparse, _) => "scores, selection, attention over the selected blocks",
        (Attended::Dense, true) => "scores, selection, dense attention",
        (Attended::Dense, false) => "dense attention alone",
    }
}

/// A measured layer.
#[derive(Clone, Debug)]
pub struct PolicyResult {
    /// The row: the policy against dense attention.
    pub record: Record,
    /// What the policy did.
    pub decided: Decided,
    /// What was checked against the CPU.
    pub checks: Checks,
    /// What was kept, against dense attention on the same device.
    pub quality: Quality,
    /// Share of the dense attention's pairs of a query and a key that are attended to.
    pub kept: f64,
    /// Block scores `[batch, heads, q_blocks, k_blocks]` of real blocks; nothing where the plan scores nothing.
    pub scores: Option<Tensor<f32>>,
    /// The blocks attended to, of the same shape.
    pub mask: BlockMask,
    /// The blocks that dense attention visits.
    pub reachable: BlockMask,
    /// The results.
    pub attended: OutputAndLse,
}

/// Runs `job` under `policy`: once for the results, which are checked, then by turns with dense attention for the times.
///
/// # Errors
/// Where planning or the device fails.
pub fn measure_policy<T: Element>(
    bench: &Bench,
    job: AttentionJob<'_, T>,
    policy: Policy,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<PolicyResult> {
    let qkv = GpuQkv::upload(&bench.gpu, job.inputs, job.shape)?;
    measure_uploaded(bench, job, policy, &qkv, progress)
}

fn measure_uploaded<T: Element>(
    bench: &Bench,
    job: AttentionJob<'_, T>,
    policy: Policy,
    qkv: &GpuQkv,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<PolicyResult> {
    let AttentionJob {
        inputs,
        shape,
        options,
        ..
    } = job;
    let gpu = &bench.gpu;
    progress(Progress::Step("compile and run once as the policy decides"));
    let mut dense = AttendRun::plan(gpu, qkv, &options.attention(), None)?;
    let mut own = PolicyRun::plan(gpu, qkv, options, policy)?;
    poison(bench, &dense, &own);
    bench.run_once(&mut |pass| {
        dense.record(pass)?;
        own.record(pass)
    })?;
    let outcome = own.outcome()?;
    let reachable = reachable(shape, options.block, options.causal)?;
    let layout = options.layout(shape)?;
    let selected = Selected::read(gpu, &own)?;
    let is_sparse = outcome.attended == Attended::Sparse;
    let mask = match &selected {
        Some(selected) if is_sparse => layout.mask_of_query_heads(&selected.mask)?.into_owned(),
        _ => without_selection(shape, options, &reachable)?,
    };
    let attended = own.read(gpu)?;
    progress(Progress::Step(CHECK));
    let dense_result = dense.read(gpu)?;
    let attention = options.attention().with_own_masks();
    let mut checks = Checks {
        dense: Some(check::attention(inputs, None, &attention, &dense_result)?),
        policy: Some(check::attention(
            inputs,
            Some(&mask),
            &attention,
            &attended,
        )?),
        ..Checks::default()
    };
    // What was selected is checked where dense attention came behind it, too: it decided so.
    if let Some(selected) = &selected {
        checks = selected.add_to(checks, inputs, &layout)?;
    }
    let scores = selected.map(|selected| crop(&selected.scores, &layout));
    let scores = scores.transpose()?;
    let quality = Quality::of(shape, &mask, &reachable, &attended, &dense_result)?;

    let [kernel, tile] = joined(&own.steps());
    let is_tuned = is_tuned(own.steps().into_iter().chain([dense.explain()]));
    let tier = own.explain().tier.to_string();
    let reason = own.explain().notes.first().cloned().unwrap_or_default();
    let [kept, all] = looked_at(shape, options, [&mask, &reachable]);
    let share = kept.share_of(all);
    let copies = cold::kv_copies::<T>(shape, kept);
    if copies > 1 {
        let kv = qkv.copies(gpu, inputs, copies)?;
        dense.take_turns(&kv);
        own.take_turns(&kv);
    }
    // What the timed runs leave is seen then.
    poison(bench, &dense, &own);
    let recorders: &mut [Recorder<'_>] =
        &mut [&mut |pass| dense.record(pass), &mut |pass| own.record(pass)];
    let after_round = &mut |done, all| progress(Progress::Rounds(done, all));
    let times = bench.time(recorders, after_round)?;
    let own_name = "attention as the policy decided";
    let differing = attention_changed("dense attention", &dense_result, &dense.read(gpu)?)
        .or(attention_changed(own_name, &attended, &own.read(gpu)?));
    let verdict = Verdict::of(&checks, differing);
    let ideal = ideal(shape, options, is_sparse);
    let words = RowWords {
        operation: Operation::Xattention,
        shape: Shape::attention(shape, options.block, options.stride),
        dtype: T::DTYPE,
        pattern: format!("{} auto", selection(options)),
        density: quality.density,
        ideal_speedup: ideal.speedup(share),
        kernel,
        tile,
        tier,
        max_err_over_bound: verdict.max_err_over_bound,
        faults: verdict.faults,
        peer: None,
        is_tuned,
        baseline: Some(BaselineWords::of(dense.explain())),
        work: Some(cold::with_copies::<T>(
            work::<T>(shape, ideal, kept, all),
            shape,
            copies,
        )),
    };
    let record = bench.record(words, &times)?;
    Ok(PolicyResult {
        decided: Decided {
            attended: if is_sparse { SPARSE } else { DENSE },
            ran: ran(outcome.attended, !outcome.heads.is_empty()),
            reason,
            predicted_speedup: outcome.predicted_speed_up,
            speedup: record.speedup,
            selected_density: outcome.density(),
        },
        record,
        checks,
        quality,
        kept: share,
        scores,
        mask,
        reachable,
        attended,
    })
}

fn poison(bench: &Bench, dense: &AttendRun, own: &PolicyRun) {
    bench.poison_results(dense.results());
    bench.poison_results(own.results());
    if let Some(scores) = own.scores() {
        bench.poison(scores);
    }
    if let Some(mask) = own.mask() {
        bench.poison_mask(mask);
    }
}

/// The blocks that are attended to where nothing is selected: sparse heads are dense, streaming ones stay what they are.
fn without_selection(
    shape: AttentionShape,
    options: &XAttentionOptions,
    reachable: &BlockMask,
) -> anyhow::Result<BlockMask> {
    let Some(kinds) = &options.head_kinds else {
        return Ok(reachable.clone());
    };
    let dense = |kind: &HeadKind| match kind {
        HeadKind::Sparse => HeadKind::Dense,
        kind => *kind,
    };
    let kinds: Vec<HeadKind> = kinds.iter().map(dense).collect();
    let mask = mask_of_kinds(&shape, &kinds, None, &options.attention())?;
    Ok(mask.intersection(reachable)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sparse_core::attention::MaskHeads;
    use sparse_gpu::CostModel;

    use super::super::Contest;
    use super::*;
    use crate::commands::open;
    use crate::compare::attention::fixture::overwriting;
    use crate::compare::attention::planted;

    #[test]
    fn a_result_that_the_timed_runs_leave_otherwise_makes_the_row_wrong() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let shape = AttentionShape::try_new(1, 2, 1, 80, 80, 16).unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        let job = AttentionJob {
            inputs: &inputs,
            shape,
            options: &XAttentionOptions::default(),
            contest: Contest::WholeAndParts,
        };
        let policy = Policy::auto(&bench.gpu);
        let right = measure_policy(&bench, job, policy, &mut |_| ()).unwrap();
        assert!(right.record.is_right() && right.record.faults.is_empty());
        let qkv = GpuQkv::upload(&bench.gpu, &inputs, shape).unwrap();
        let overwrite = &mut overwriting(&bench, &qkv.v);
        let wrong = measure_uploaded(&bench, job, policy, &qkv, overwrite).unwrap();
        assert!(!wrong.record.is_right(), "{:?}", wrong.record);
        let fault = &wrong.record.faults[0];
        assert!(fault.contains("left another result"), "{fault}");
    }

    /// Sparse, sparse and dense as the device decides behind a selection, and dense alone.
    #[test]
    fn what_was_scored_is_checked_and_told_whichever_kernel_attended() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let shape = AttentionShape::try_new(1, 2, 1, 160, 160, 16).unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        // A device that decides takes sparse attention below this density: nothing but blocks costs anything.
        let model = |efficiency| {
            Policy::Auto(CostModel {
                efficiency,
                estimate_factor: 0.0,
                pack_per_element: 0.0,
                select_per_block: 0.0,
                dispatch: 0.0,
                most_regret: 1.0,
                expected_density: None,
            })
        };
        let (query, key) = (MaskHeads::Query, MaskHeads::Key);
        for (policy, threshold, mask_heads, is_scored, is_dense) in [
            (Policy::Sparse, 0.5, query, true, false),
            (model(0.7), 0.2, key, true, false),
            (model(0.4), 0.9999, query, true, true),
            (model(0.4), 0.9999, key, true, true),
            (model(1e-6), 0.5, query, false, true),
        ] {
            let options = XAttentionOptions {
                block: 16,
                stride: 4,
                threshold: threshold.into(),
                mask_heads,
                ..XAttentionOptions::default()
            };
            let job = AttentionJob {
                inputs: &inputs,
                shape,
                options: &options,
                contest: Contest::WholeAndParts,
            };
            let result = measure_policy(&bench, job, policy, &mut |_| ()).unwrap();
            let (decided, checks) = (&result.decided, &result.checks);
            assert!(result.record.is_right(), "{decided:?} {checks:?}");
            if is_scored {
                assert_eq!(checks.wrong_mask_rows, Some(0), "{decided:?}");
                assert!(checks.scores.unwrap().ratio() <= 1.0);
                let scores = result.scores.unwrap();
                assert_eq!(scores.shape(), result.mask.shape());
                assert!(
                    scores.data()[0] > 0.0,
                    "the first block holds all of its row"
                );
            } else {
                assert_eq!((checks.wrong_mask_rows, checks.scores), (None, None));
                assert!(result.scores.is_none());
            }
            assert_eq!(decided.is_dense(), is_dense, "{decided:?}");
            assert_eq!(decided.selected_density.is_some(), is_scored);
            assert_eq!(result.mask == result.reachable, is_dense);
        }
    }

    #[test]
    fn dense_attention_behind_scores_is_told_from_dense_attention_alone() {
        let all = [
            ran(Attended::Sparse, true),
            ran(Attended::Dense, true),
            ran(Attended::Dense, false),
        ];
        assert_eq!(
            all,
            [
                "scores, selection, attention over the selected blocks",
                "scores, selection, dense attention",
                "dense attention alone"
            ]
        );
    }

    #[test]
    fn only_sparse_heads_go_dense() {
        let shape = AttentionShape::try_new(1, 2, 1, 80, 80, 16).unwrap();
        let all = reachable(shape, 16, true).unwrap();
        let mut options = XAttentionOptions {
            block: 16,
            ..XAttentionOptions::default()
        };
        assert_eq!(without_selection(shape, &options, &all).unwrap(), all);
        let streaming = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: 1,
        };
        options.head_kinds = Some(vec![HeadKind::Sparse, streaming]);
        let mask = without_selection(shape, &options, &all).unwrap();
        assert_eq!(mask.row(0, 0, 4).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(mask.row(0, 0, 2).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(mask.row(0, 1, 4).collect::<Vec<_>>(), [0, 4]);
    }
}
