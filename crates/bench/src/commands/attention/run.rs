//! `sparse-bench attention`: score, select and attend; write block scores, mask, output and log-sum-exp.

use std::process::ExitCode;
use std::time::Duration;

use half::{bf16, f16};
use serde::Serialize;
use sparse_core::DType;
use sparse_core::attention::{HeadKind, MaskHeads};
use sparse_core::xattention::Threshold;
use sparse_gpu::profile::Settings;
use sparse_gpu::{AttentionProfile, CostModel, Policy};
use sparse_measure::Budget;
use sparse_measure::check::Checks;

use super::measured::{Measured, attend};
use super::outputs::{check_files, draw_heads, write};
use super::promise::missed;
use super::rule::Rule;
use super::table::{HeadNumbers, table};
use crate::cli::AttentionArgs;
use crate::commands::{exit_code, open_with_tiles, print, record_of_this_run};
use crate::compare::attention::{AttentionResult, Decided, PartTimes, Quality};
use crate::compare::bench::Bench;
use crate::compare::source::source_of_qkv;
use crate::profile;
use crate::record::Record;
use crate::tensors::Qkv;

/// How long dense attention, the whole and its steps are timed together.
const TIME: Duration = Duration::from_secs(2);
/// Fewer rounds than a row of `compare`: five contenders on a layer of any size.
const LEAST_ROUNDS: usize = 3;

/// What is printed.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// Times of the steps; `sparse_ms` of the record is all of them in one pass, with `--auto` in rounds of its own. None where dense attention ran: the steps are no part of it then, and
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
    let profile = args.profile.as_deref().map(profile::read).transpose()?;
    let settings = args.settings(profile.as_ref())?;
    let (qkv, options) = match &profile {
        Some(profile) => {
            let qkv = Qkv::read(path)?;
            // What a program gets that loads the profile.
            let options = profile.options(qkv.shape)?;
            (qkv, options)
        }
        None => {
            // Before the tensors, which may be large.
            let mut options = args.options(&settings)?;
            let qkv = Qkv::read(path)?;
            options.forced = settings.forced(qkv.shape)?;
            options.layout(qkv.shape)?;
            (qkv, options)
        }
    };
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
        mut result,
        decided,
        policy,
    } = match qkv.dtype() {
        DType::F32 => attend::<f32>(&bench, args, &options, &qkv, policy)?,
        DType::F16 => attend::<f16>(&bench, args, &options, &qkv, policy)?,
        DType::Bf16 => attend::<bf16>(&bench, args, &options, &qkv, policy)?,
    };
    result.record.source = source_of_qkv(path);
    // The numbers are told even where a file cannot be written.
    let written = write(args, &qkv, &result);
    let is_dense = args.dense || decided.as_ref().is_some_and(Decided::is_dense);
    let layout = options.layout(qkv.shape)?;
    let rule = |head| match Rule::of(&layout, head) {
        kind @ Rule::Kind(_) => kind,
        _ if is_dense => Rule::Kind(HeadKind::Dense),
        selected => selected,
    };
    let drawn = draw_heads(args, &qkv, &options, &result, (is_dense, &rule));
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
    print(record_of_this_run(&printed)?)?;
    let exit_code = exit_code(&result.record);
    all([policy, written, drawn])?;
    Ok(exit_code)
}

/// Nothing, or all reasons why not.
fn all<const N: usize>(results: [anyhow::Result<()>; N]) -> anyhow::Result<()> {
    let reasons = results.into_iter().filter_map(Result::err);
    let reasons: Vec<String> = reasons.map(|reason| format!("{reason:#}")).collect();
    anyhow::ensure!(reasons.is_empty(), "{}", reasons.join("; "));
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
    table((heads, MaskHeads::Query), &rows, Some(total))
}

/// The cost model of this device; the density that a profile reached is the one to expect.
fn policy(bench: &Bench, profile: Option<&AttentionProfile>) -> Policy {
    Policy::Auto(CostModel {
        expected_density: profile.map(AttentionProfile::mean_density),
        ..CostModel::of_class(bench.gpu.class())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told() {
        let reasons = all([
            Err(anyhow::anyhow!("no device").context("--auto")),
            Ok(()),
            Err(anyhow::anyhow!("a full disk")),
        ]);
        assert_eq!(
            reasons.unwrap_err().to_string(),
            "--auto: no device; a full disk"
        );
        assert!(all([Ok(()), Ok(())]).is_ok());
    }
}
