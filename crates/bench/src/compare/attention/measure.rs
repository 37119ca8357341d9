//! Runs one attention layer.

use std::cell::RefCell;

use serde::Serialize;
use sparse_core::attention::AttentionShape;
use sparse_core::synthetic::AttentionInputs;
use sparse_core::xattention::{XAttentionLayout, XAttentionOptions};
use sparse_core::{BlockMask, Element, Tensor};
use sparse_gpu::Explanation;
use sparse_measure::check::{self, Checks};
use sparse_measure::{OutputAndLse, Runs, Shape};

use super::cold;
use super::quality::{Quality, reachable};
use super::verdict::Verdict;
use super::words::{explain, pattern};
use super::work::{ideal, looked_at, work};
use crate::cli::Operation;
use crate::compare::bench::{
    BaselineWords, Bench, Recorder, RowWords, Times, attention_changed, is_tuned,
};
use crate::device::{AttendRun, GpuQkv, XAttentionRun};
use crate::peers::Finalists;
use crate::progress::Progress;
use crate::record::Record;

/// What takes long on one processor core.
pub(super) const CHECK: &str = "check against the CPU reference";

/// What is timed against dense attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contest {
    /// Nothing: dense attention is all that is asked for.
    Dense,
    /// Attention over a mask that is there.
    Attend,
    /// Score, selection and attention, end to end.
    Whole,
    /// The same, and each of the three steps alone.
    WholeAndParts,
}

/// An attention layer to run.
#[derive(Clone, Copy, Debug)]
pub struct AttentionJob<'a, T> {
    /// q, k and v.
    pub inputs: &'a AttentionInputs<T>,
    /// Their sizes.
    pub shape: AttentionShape,
    /// How blocks are scored and selected, and how is attended.
    pub options: &'a XAttentionOptions,
    /// What is timed.
    pub contest: Contest,
}

/// The steps of XAttention, each timed alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PartTimes {
    /// `xattention_score`.
    pub score: PartTime,
    /// `xattention_select`.
    pub select: PartTime,
    /// `block_attention` over the mask.
    pub attend: PartTime,
}

/// One step, by medians over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PartTime {
    /// Milliseconds.
    pub ms: f64,
    /// How many times as long dense attention takes.
    pub speedup: f64,
    /// How much that differs from round to round: `(p75 - p25) / median`.
    pub spread: f64,
    /// Its share of the time of the whole.
    pub share: f64,
}

impl PartTime {
    fn of(step: &Runs, dense: &Runs, whole: &Runs) -> Self {
        let speedup = step.speedup_over(dense);
        Self {
            ms: step.summary().median_ms,
            speedup: speedup.median,
            spread: speedup.spread,
            share: whole.speedup_over(step).median,
        }
    }
}

/// A measured attention layer.
#[derive(Clone, Debug)]
pub struct AttentionResult {
    /// The row.
    pub record: Record,
    /// Where they were asked for.
    pub parts: Option<PartTimes>,
    /// Share of the dense attention's pairs of a query and a key that the mask keeps.
    pub kept: f64,
    /// What the mask keeps, against dense attention on the same device.
    pub quality: Quality,
    /// What was checked against the CPU.
    pub checks: Checks,
    /// Block scores `[batch, heads, q_blocks, k_blocks]` of real blocks; nothing where none were computed.
    pub scores: Option<Tensor<f32>>,
    /// The blocks attended to, of the same shape.
    pub mask: BlockMask,
    /// The blocks that dense attention visits.
    pub reachable: BlockMask,
    /// Output `[batch, heads, q_len, head_dim]` and log-sum-exp `[batch, heads, q_len]`.
    pub attended: OutputAndLse,
}

/// Runs one job: once for the results, which are checked, then by turns for the times.
///
/// # Errors
/// Where planning or the device fails, or the scores are no masses because q or k is not finite.
pub fn measure<T: Element>(
    bench: &Bench,
    job: AttentionJob<'_, T>,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<AttentionResult> {
    let qkv = GpuQkv::upload(&bench.gpu, job.inputs, job.shape)?;
    measure_uploaded(bench, job, &qkv, progress)
}

fn measure_uploaded<T: Element>(
    bench: &Bench,
    job: AttentionJob<'_, T>,
    qkv: &GpuQkv,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<AttentionResult> {
    let AttentionJob {
        inputs,
        shape,
        options,
        contest,
    } = job;
    let gpu = &bench.gpu;
    let layout = options.layout(shape)?;
    progress(Progress::Step("compile and run once"));
    let mut dense = AttendRun::plan(gpu, qkv, &options.attention(), None)?;
    let mut sparse = XAttentionRun::plan(gpu, qkv, options)?;
    bench.poison(sparse.scores());
    poison_results(bench, [&dense, sparse.attend()]);
    bench.poison_mask(sparse.mask());
    let is_dense = contest == Contest::Dense;
    bench.run_once(&mut |pass| {
        dense.record(pass)?;
        if is_dense {
            sparse.record_score(pass)
        } else {
            sparse.record(pass)
        }
    })?;

    let all_scores = sparse.read_scores(gpu)?;
    let dense_result = dense.read(gpu)?;
    let reachable = reachable(shape, options.block, options.causal)?;
    let attention = options.attention().with_own_masks();
    progress(Progress::Step(CHECK));
    let mut checks = Checks {
        dense: Some(check::attention(inputs, None, &attention, &dense_result)?),
        scores: Some(check::scores(inputs, &layout, all_scores.data())?),
        ..Checks::default()
    };
    let (mask, attended) = if is_dense {
        (reachable.clone(), dense_result.clone())
    } else {
        let selected = gpu.read_mask_blocking(sparse.mask())?;
        let wrong = check::wrong_mask_rows(all_scores.data(), &selected, &layout)?;
        checks.wrong_mask_rows = Some(wrong);
        let of_heads = layout.mask_of_query_heads(&selected)?.into_owned();
        let result = sparse.attend().read(gpu)?;
        let mask = Some(&of_heads);
        checks.sparse = Some(check::attention(inputs, mask, &attention, &result)?);
        (of_heads, result)
    };
    let quality = Quality::of(shape, &mask, &reachable, &attended, &dense_result)?;
    // All that may still fail comes before the times: they are not to be lost.
    let scores = crop(&all_scores, &layout)?;

    let explanation = explain(contest, &dense, &sparse);
    let is_tuned = is_tuned(plans(contest, &dense, &sparse));
    let finalists = match &bench.peers {
        // The other libraries know dense attention only, scaled as usual.
        Some(peers) if is_dense && options.scale.is_none() => {
            let all = peers.attention(inputs, options.causal);
            let candidates = Finalists::named(all, &bench.strategies);
            Finalists::of(candidates, &bench.interrupt, &|out| {
                Ok(check::attention_output(inputs, &attention, out)?.ratio())
            })
        }
        _ => Finalists::default(),
    };
    let [seen, all] = looked_at(shape, options, [&mask, &reachable]);
    let copies = match finalists.is_empty() {
        true => cold::kv_copies::<T>(shape, seen),
        // Other libraries run on one copy of theirs.
        false => 1,
    };
    if copies > 1 {
        let kv = qkv.copies(gpu, inputs, copies)?;
        dense.take_turns(&kv);
        sparse.take_turns(&kv);
    }
    let after_round = &mut |done, all| progress(Progress::Rounds(done, all));
    let (times, parts) = time(
        bench,
        contest,
        &mut dense,
        &mut sparse,
        finalists,
        after_round,
    )?;
    let mut differing = attention_changed("dense attention", &dense_result, &dense.read(gpu)?);
    if !is_dense {
        let after = sparse.attend().read(gpu)?;
        differing = differing.or(attention_changed(
            "attention over the mask",
            &attended,
            &after,
        ));
    }
    let scored = matches!(contest, Contest::Whole | Contest::WholeAndParts);
    let ideal = ideal(shape, options, scored);
    let kept = seen.share_of(all);
    let density = if is_dense { 1.0 } else { quality.density };
    let verdict = Verdict::of(&checks, differing);
    let words = RowWords {
        operation: match contest {
            Contest::Dense | Contest::Attend => Operation::BlockAttention,
            Contest::Whole | Contest::WholeAndParts => Operation::Xattention,
        },
        shape: Shape::attention(shape, options.block, options.stride),
        dtype: T::DTYPE,
        pattern: pattern(contest, options),
        density,
        ideal_speedup: ideal.speedup(kept),
        kernel: explanation.kernel,
        tile: explanation.tile,
        tier: explanation.tier.to_string(),
        max_err_over_bound: verdict.max_err_over_bound,
        faults: verdict.faults,
        peer: None,
        is_tuned,
        baseline: (!is_dense).then(|| BaselineWords::of(dense.explain())),
        work: Some(cold::with_copies::<T>(
            work::<T>(shape, ideal, seen, all),
            shape,
            copies,
        )),
    };
    Ok(AttentionResult {
        record: bench.record_beside(words, times)?,
        parts,
        kept,
        quality,
        checks,
        scores: Some(scores),
        mask,
        reachable,
        attended,
    })
}

fn poison_results<const N: usize>(bench: &Bench, runs: [&AttendRun; N]) {
    for run in runs {
        bench.poison_results(run.results());
    }
}

/// What is timed.
fn plans<'a>(
    contest: Contest,
    dense: &'a AttendRun,
    sparse: &'a XAttentionRun,
) -> Vec<&'a Explanation> {
    let mut plans = vec![dense.explain()];
    match contest {
        Contest::Dense => {}
        Contest::Attend => plans.push(sparse.attend().explain()),
        Contest::Whole | Contest::WholeAndParts => plans.extend(sparse.explain()),
    }
    plans
}

/// Dense and own time, and those of the steps.
fn time(
    bench: &Bench,
    contest: Contest,
    dense: &mut AttendRun,
    sparse: &mut XAttentionRun,
    finalists: Finalists,
    after_round: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<(Times, Option<PartTimes>)> {
    // What the timed runs leave is seen then.
    poison_results(bench, [dense, sparse.attend()]);
    // The steps and the whole work on the same memory, one after the other.
    let sparse = RefCell::new(sparse);
    let dense: Recorder<'_> = &mut |pass| dense.record(pass);
    let whole: Recorder<'_> = &mut |pass| sparse.borrow_mut().record(pass);
    let score: Recorder<'_> = &mut |pass| sparse.borrow_mut().record_score(pass);
    let select: Recorder<'_> = &mut |pass| sparse.borrow_mut().record_select(pass);
    let attend: Recorder<'_> = &mut |pass| sparse.borrow_mut().record_attend(pass);
    let mut contenders = match contest {
        Contest::Dense => vec![dense],
        Contest::Attend => vec![dense, attend],
        Contest::Whole => vec![dense, whole],
        Contest::WholeAndParts => vec![dense, whole, score, select, attend],
    };
    let times = bench.time_beside(&mut contenders, finalists, after_round)?;
    let parts = match &times.ours[..] {
        [dense, whole, score, select, attend] => Some(PartTimes {
            score: PartTime::of(score, dense, whole),
            select: PartTime::of(select, dense, whole),
            attend: PartTime::of(attend, dense, whole),
        }),
        _ => None,
    };
    Ok((times, parts))
}

/// The scores without those of padding.
pub(super) fn crop(scores: &Tensor<f32>, layout: &XAttentionLayout) -> anyhow::Result<Tensor<f32>> {
    let [.., q_blocks, k_blocks] = layout.mask_shape();
    let [batch, heads, score_rows, score_blocks] = layout.score_shape();
    let shape = [batch, heads, q_blocks, k_blocks];
    let mut cropped = Vec::with_capacity(shape.iter().product());
    for head in 0..batch * heads {
        for row in 0..q_blocks {
            let start = (head * score_rows + row) * score_blocks;
            cropped.extend_from_slice(&scores.data()[start..start + k_blocks]);
        }
    }
    Ok(Tensor::try_new(shape.to_vec(), cropped)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sparse_core::attention::MaskHeads;

    use super::*;
    use crate::commands::open;
    use crate::compare::attention::fixture::overwriting;
    use crate::compare::attention::planted;
    use crate::record::{to_csv, to_table};

    #[test]
    fn few_queries_read_keys_and_values_from_memory() {
        let mut bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        bench.ceilings = Some(crate::fixture::ceilings());
        // Of ten blocks two are kept, by two heads that share their keys: not the same ones, for all we know, where each has a mask.
        let (query, key) = (MaskHeads::Query, MaskHeads::Key);
        for (q_len, contest, mask_heads) in [
            (1, Contest::Dense, query),
            (4, Contest::Attend, query),
            (1, Contest::Attend, key),
            (1, Contest::WholeAndParts, query),
            (1, Contest::WholeAndParts, key),
            (9_u32, Contest::Attend, query),
        ] {
            let options = XAttentionOptions {
                block: 16,
                stride: 4,
                top_k: Some(2),
                mask_heads,
                ..XAttentionOptions::default()
            };
            let shape = AttentionShape::try_new(1, 2, 1, q_len as usize, 160, 16).unwrap();
            let job = AttentionJob {
                inputs: &planted::<f32>(shape).unwrap(),
                shape,
                options: &options,
                contest,
            };
            let result = measure(&bench, job, &mut |_| ()).unwrap();
            let row = result.record;
            assert!(row.is_right() && row.faults.is_empty(), "{row:?}");
            let density = if contest == Contest::Dense { 1.0 } else { 0.2 };
            assert_eq!(row.density, density);
            assert_eq!(row.tile.contains("few-"), q_len < 9, "{}", row.tile);
            let shared = mask_heads == key;
            assert_eq!(row.kernel.contains("mask-of-2"), shared, "{}", row.kernel);
            assert_eq!(
                row.pattern.ends_with("by key head"),
                shared,
                "{}",
                row.pattern
            );
            // Every report shows how many queries and keys there are.
            let sizes = format!("q_len={q_len} k_len=160");
            let csv = String::from_utf8(to_csv(std::slice::from_ref(&row)).unwrap()).unwrap();
            assert!(csv.contains(&sizes), "{csv}");
            let table = to_table(std::slice::from_ref(&row)).to_string();
            assert!(table.contains(&format!("q_len={q_len}")), "{table}");
            let work = row.roofline.unwrap().work;
            let of_queries = f64::from(q_len) * 4.0 * 2.0 * (16.0 + 16.0 + 1.0);
            let read = work.bytes - of_queries;
            if contest == Contest::Dense {
                assert_eq!(read, 160.0 * 2.0 * 16.0 * 4.0);
            }
            if shared && contest == Contest::Attend {
                assert_eq!(read, 32.0 * 2.0 * 16.0 * 4.0);
            }
            let copies = if q_len == 9 { 1.0 } else { 512.0 };
            assert_eq!(work.working_set, of_queries + copies * read, "{q_len}");
        }
    }

    #[test]
    fn a_result_that_the_timed_runs_leave_otherwise_makes_the_row_wrong() {
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let shape = AttentionShape::try_new(1, 2, 1, 80, 80, 16).unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        let options = XAttentionOptions {
            block: 16,
            stride: 4,
            ..XAttentionOptions::default()
        };
        let shared = XAttentionOptions {
            mask_heads: MaskHeads::Key,
            ..options.clone()
        };
        for (contest, options) in [
            (Contest::Dense, &options),
            (Contest::Attend, &options),
            (Contest::Attend, &shared),
            (Contest::WholeAndParts, &options),
            (Contest::WholeAndParts, &shared),
        ] {
            let job = AttentionJob {
                inputs: &inputs,
                shape,
                options,
                contest,
            };
            let right = measure(&bench, job, &mut |_| ()).unwrap().record;
            assert!(right.is_right() && right.faults.is_empty(), "{right:?}");
            let qkv = GpuQkv::upload(&bench.gpu, &inputs, shape).unwrap();
            let overwrite = &mut overwriting(&bench, &qkv.v);
            let wrong = measure_uploaded(&bench, job, &qkv, overwrite)
                .unwrap()
                .record;
            assert!(!wrong.is_right(), "{contest:?} {wrong:?}");
            assert!(
                wrong.faults[0].contains("left another result"),
                "{:?}",
                wrong.faults
            );
        }
    }
}
