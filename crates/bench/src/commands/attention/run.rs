//! `sparse-bench attention`: score, select and attend; write block scores, mask, output and log-sum-exp.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use half::{bf16, f16};
use serde::Serialize;
use sparse_core::attention::HeadKind;
use sparse_core::xattention::{Threshold, XAttentionOptions};
use sparse_core::{DType, Element};
use sparse_gpu::{CostModel, Policy};

use super::promise::missed;
use super::rule::Rule;
use super::table::{HeadNumbers, table};
use crate::cli::AttentionArgs;
use crate::commands::{check_outs, exit_code, open_with_tiles, print};
use crate::compare::attention::{
    AttentionJob, AttentionResult, Checks, Contest, Decided, PartTimes, PolicyResult, Quality,
    measure, measure_policy,
};
use crate::compare::bench::Bench;
use crate::measure::Budget;
use crate::profile::{Profile, Settings};
use crate::progress;
use crate::record::Record;
use crate::report::{AttentionMap, PictureFormat, draw};
use crate::tensors::{OutTensor, Qkv, write_file, write_tensors};

/// How long dense attention, the whole and its steps are timed together.
const TIME: Duration = Duration::from_secs(2);
/// Fewer rounds than a row of `compare`: five contenders on a layer of any size.
const LEAST_ROUNDS: usize = 3;

/// What is printed.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// Times of the steps; `sparse_ms` of the record is all of them in one pass. None where dense attention ran: the steps are no part of it then, and
    /// `auto` tells what ran.
    #[serde(flatten)]
    parts: Option<PartTimes>,
    #[serde(flatten)]
    quality: &'a Quality,
    /// Where all heads have the same.
    threshold: Option<f64>,
    /// One per query head; nothing where no threshold decides.
    threshold_per_head: Vec<Option<f64>>,
    /// Blocks of every row, where their number is fixed.
    top_k: Option<usize>,
    options: Settings,
    /// With `--auto`: what the policy did. The record and what was kept are those of the policy then.
    auto: Option<Decided>,
    checks: Checks,
}

pub(super) fn run(args: &AttentionArgs) -> anyhow::Result<ExitCode> {
    let path = args.only_qkv()?;
    check_files(args, path)?;
    let profile = args.profile.as_deref().map(Profile::read).transpose()?;
    let mut options = args.options(profile.as_ref())?;
    let qkv = Qkv::read(path)?;
    if let Some(profile) = &profile {
        profile.check_layer(qkv.shape)?;
    }
    let settings = args.settings(profile.as_ref())?;
    options.forced = settings.forced(qkv.shape)?;
    options.layout(qkv.shape)?;
    let mut bench = Bench::new(
        open_with_tiles(args.adapter.as_deref(), &args.tiles, false)?,
        TIME,
    );
    bench.budget = Budget {
        least_rounds: LEAST_ROUNDS,
        ..bench.budget
    };
    let policy = args.auto.then(|| policy(&bench, profile.as_ref()));
    let Measured {
        result,
        decided,
        policy,
    } = match qkv.dtype() {
        DType::F32 => attend::<f32>(&bench, args, &options, &qkv, policy)?,
        DType::F16 => attend::<f16>(&bench, args, &options, &qkv, policy)?,
        DType::Bf16 => attend::<bf16>(&bench, args, &options, &qkv, policy)?,
    };
    // The numbers are told even where a file cannot be written.
    let written = write(args, &qkv, &result);
    let is_dense = args.dense || decided.as_ref().is_some_and(Decided::is_dense);
    let rule = |head| match Rule::of(&options, head) {
        kind @ Rule::Kind(_) => kind,
        _ if is_dense => Rule::Kind(HeadKind::Dense),
        selected => selected,
    };
    let drawn = draw_heads(args, &qkv, &options, &result, &rule);
    eprintln!("{}", heads(&qkv, &result, &rule));
    // Of dense attention nothing is missing.
    if let Some(profile) = &profile
        && let Some(missed) = missed(profile, &options, &result.quality)
    {
        eprintln!("{missed}");
    }
    let printed = Printed {
        record: &result.record,
        parts: result.parts,
        quality: &result.quality,
        threshold: match &options.threshold {
            Threshold::Uniform(threshold) if !is_dense && args.top_k.is_none() => Some(*threshold),
            _ => None,
        },
        threshold_per_head: (0..qkv.shape.q_heads())
            .map(|head| rule(head).threshold())
            .collect(),
        top_k: args.top_k,
        options: settings,
        auto: decided,
        checks: result.checks,
    };
    print(serde_json::to_string(&printed)?)?;
    all([policy, written, drawn])?;
    Ok(exit_code(&[result.record]))
}

/// Nothing, or all reasons why not.
fn all<const N: usize>(results: [anyhow::Result<()>; N]) -> anyhow::Result<()> {
    let reasons = results.into_iter().filter_map(Result::err);
    let reasons: Vec<String> = reasons.map(|reason| format!("{reason:#}")).collect();
    anyhow::ensure!(reasons.is_empty(), "{}", reasons.join("; "));
    Ok(())
}

/// What was measured.
#[derive(Debug)]
struct Measured {
    /// Under the policy, where there is one that could be measured.
    result: AttentionResult,
    decided: Option<Decided>,
    /// Why the policy could not be measured.
    policy: anyhow::Result<()>,
}

impl Measured {
    /// A policy that fails takes nothing away of what was measured before it.
    fn of(sparse: AttentionResult, chosen: anyhow::Result<Option<PolicyResult>>) -> Self {
        let (result, decided, policy) = match chosen {
            Ok(None) => (sparse, None, Ok(())),
            Ok(Some(chosen)) => {
                let decided = chosen.decided.clone();
                (under_policy(sparse, chosen), Some(decided), Ok(()))
            }
            Err(error) => {
                let what = "--auto could not be measured, the numbers are those without it";
                (sparse, None, Err(error.context(what)))
            }
        };
        Self {
            result,
            decided,
            policy,
        }
    }
}

/// Measuring must not end at a file that cannot be written.
fn check_files(args: &AttentionArgs, qkv: &Path) -> anyhow::Result<()> {
    check_outs(
        &[
            ("--out", Some(&args.out)),
            ("--heatmap", args.heatmap.as_deref()),
        ],
        &[
            Some(qkv),
            args.profile.as_deref(),
            args.head_kinds_file(),
            args.tiles.tiles.as_deref(),
        ],
    )
}

/// The picture of `--heatmap`, where it is asked for.
fn draw_heads(
    args: &AttentionArgs,
    qkv: &Qkv,
    options: &XAttentionOptions,
    result: &AttentionResult,
    rule: &dyn Fn(usize) -> Rule,
) -> anyhow::Result<()> {
    let Some((path, format)) = args
        .heatmap
        .as_deref()
        .and_then(|path| Some((path, PictureFormat::of(path)?)))
    else {
        return Ok(());
    };
    let quality = &result.quality;
    let shape = qkv.shape;
    let title = format!(
        "{} {}, {} tokens, {} heads of {}, blocks of {}, stride {}: density {:.3}, mass kept {:.3}, error {:.3}",
        if options.causal { "Causal" } else { "Full" },
        if args.dense {
            "dense attention"
        } else {
            "XAttention"
        },
        shape.q_len(),
        shape.q_heads(),
        shape.head_dim(),
        options.block,
        options.stride,
        quality.density,
        quality.kept_mass,
        quality.relative_l2_error
    );
    let map = AttentionMap::of(
        title,
        result.scores.data(),
        &result.mask,
        &result.reachable,
        quality,
        &|head| rule(head).to_string(),
    );
    write_file(path, &draw(&map, format)?)?;
    Ok(())
}

fn heads(qkv: &Qkv, result: &AttentionResult, rule: &dyn Fn(usize) -> Rule) -> comfy_table::Table {
    let quality = &result.quality;
    let heads = qkv.shape.q_heads();
    let rows: Vec<HeadNumbers> = (0..quality.density_per_head.len())
        .map(|row| HeadNumbers {
            rule: rule(row % heads),
            density: quality.density_per_head[row],
            kept_mass: quality.kept_mass_per_head[row],
            relative_l2_error: quality.relative_l2_error_per_head[row],
        })
        .collect();
    let total = [
        quality.density,
        quality.kept_mass,
        quality.relative_l2_error,
    ];
    table(heads, &rows, Some(total))
}

fn attend<T: Element>(
    bench: &Bench,
    args: &AttentionArgs,
    options: &XAttentionOptions,
    qkv: &Qkv,
    policy: Option<Policy>,
) -> anyhow::Result<Measured> {
    let inputs = qkv.cast::<T>();
    let job = AttentionJob {
        inputs: &inputs,
        shape: qkv.shape,
        options,
        contest: if args.dense {
            Contest::Dense
        } else {
            Contest::WholeAndParts
        },
    };
    let [_, heads, tokens, head_dim] = qkv.shape.q_shape();
    let bar = progress::work(&format!(
        "attention, {heads} x {tokens} x {head_dim}: run, check against the CPU reference, time"
    ));
    let mut show = |progress| progress::show(&bar, progress);
    let result = measure(bench, job, &mut show)?;
    let chosen = policy
        .map(|policy| measure_policy(bench, job, policy, &mut show))
        .transpose();
    bar.finish_and_clear();
    Ok(Measured::of(result, chosen))
}

/// The cost model of this device; the density that a profile reached is the one to expect.
fn policy(bench: &Bench, profile: Option<&Profile>) -> Policy {
    Policy::Auto(CostModel {
        expected_density: profile.map(Profile::mean_density),
        ..CostModel::of_class(bench.gpu.class())
    })
}

/// `sparse`, with the row, the blocks and the results that the policy gave.
fn under_policy(sparse: AttentionResult, chosen: PolicyResult) -> AttentionResult {
    let checks = Checks {
        // Each contest has run it.
        dense: [sparse.checks.dense, chosen.checks.dense]
            .into_iter()
            .flatten()
            .reduce(f64::max),
        policy: chosen.checks.policy,
        ..sparse.checks
    };
    AttentionResult {
        record: Record {
            max_err_over_bound: checks.worst(),
            faults: checks.faults(),
            ..chosen.record
        },
        checks,
        parts: sparse.parts.filter(|_| !chosen.decided.is_dense()),
        quality: chosen.quality,
        mask: chosen.mask,
        attended: chosen.attended,
        ..sparse
    }
}

fn write(args: &AttentionArgs, qkv: &Qkv, result: &AttentionResult) -> anyhow::Result<()> {
    let bools = result.mask.to_bools()?;
    let mask: Vec<u8> = bools.into_iter().map(u8::from).collect();
    let q_shape = qkv.shape.q_shape();
    write_tensors(
        &args.out,
        &[
            ("block_scores", OutTensor::from(&result.scores)),
            ("mask", OutTensor::from_u8(&result.mask.shape(), mask)),
            ("out", OutTensor::new(&q_shape, &result.attended.out)),
            ("lse", OutTensor::new(&q_shape[..3], &result.attended.lse)),
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sparse_core::{BlockMask, Tensor};

    use super::*;
    use crate::device::OutputAndLse;

    #[test]
    fn a_policy_that_fails_takes_no_number_away() {
        let blocks = BlockMask::dense(1, 1, 1, 1).unwrap();
        let sparse = AttentionResult {
            record: crate::fixture::nm_matmul(),
            parts: None,
            kept: 1.0,
            quality: Quality {
                density: 0.25,
                density_per_head: vec![0.25],
                relative_l2_error: 0.5,
                relative_l2_error_per_head: vec![0.5],
                kept_mass: 0.75,
                kept_mass_per_head: vec![0.75],
            },
            checks: Checks::default(),
            scores: Tensor::new(vec![1, 1, 1, 1], vec![1.0]),
            mask: blocks.clone(),
            reachable: blocks,
            attended: OutputAndLse {
                out: vec![2.0],
                lse: vec![3.0],
            },
        };
        let measured = Measured::of(sparse, Err(anyhow::anyhow!("the device is gone")));
        assert_eq!(measured.result.record, crate::fixture::nm_matmul());
        assert_eq!(measured.result.attended.out, [2.0]);
        assert!(measured.decided.is_none());
        let reasons = all([measured.policy, Ok(()), Err(anyhow::anyhow!("a full disk"))]);
        assert_eq!(
            reasons.unwrap_err().to_string(),
            "--auto could not be measured, the numbers are those without it: the device is gone; a full disk"
        );
    }
}
