//! `sparse-bench tune`: measures other tiles than the defaults and writes a table of those that are faster.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sparse_gpu::{MeasuredOn, TileTable};

use super::{Completeness, moved_words, open, print, write_results};
use crate::cli::TuneArgs;
use crate::compare::bench::Bench;
use crate::device::class_of;
use crate::interrupt::{self, Interrupt, Interrupted};
use crate::progress;
use crate::record::timing_words;
use crate::tensors::check_out;
use crate::tune::{Verdict, cases, findings_table, to_table, tune};

/// Candidates of a case near the default, and all of them.
const NEAR: usize = 10;
const ALL: usize = 60;

pub(crate) fn run(args: &TuneArgs) -> anyhow::Result<ExitCode> {
    if let Some(out) = &args.out {
        check_out(out, &[])?;
    }
    let gpu = open(args.adapter.as_deref())?;
    let class = class_of(gpu.adapter().device_type);
    let cases = cases(class, args.budget, &args.ops, &args.tokens);
    anyhow::ensure!(
        !cases.is_empty(),
        "none of these operations takes any of these tokens: mat-vecs take 1 to 8, other products more, attention and scores at \
         least 128; change --tokens or --ops"
    );
    let count = u32::try_from(cases.len()).unwrap_or(u32::MAX);
    let share = args.budget.time / count;
    let most = if args.budget.is_full { ALL } else { NEAR };
    let mut bench = Bench::new(gpu, share);
    bench.interrupt = Interrupt::listen().context("cannot take Ctrl-C")?;
    let mut findings = Vec::new();
    let mut failures = Vec::new();
    let mut missing = Vec::new();
    let bar = progress::rows(cases.len());
    for case in &cases {
        if bench.interrupt.is_asked() {
            missing.push(case.to_string());
            continue;
        }
        progress::next_row(&bar, case.to_string());
        match tune(&bench, case, share, most, &mut || bar.tick()).with_context(|| case.to_string())
        {
            Ok(finding) => findings.push(finding),
            Err(error) if error.is::<Interrupted>() => missing.push(case.to_string()),
            Err(error) => failures.push(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Where nothing could be measured, a table that is there already stays.
    let out = args.out.as_ref().filter(|_| !findings.is_empty());
    let table = to_table(MeasuredOn::of(bench.gpu.adapter()), &findings);
    // What took minutes is told even where there is no table, or its file cannot be written.
    let completeness = match failures.is_empty() && missing.is_empty() {
        true => Completeness::Whole,
        false => Completeness::Partial,
    };
    let written = out
        .map(|out| write_table(out, &table, completeness))
        .transpose();
    for finding in &findings {
        for wrong in &finding.wrong {
            eprintln!(
                "error: {}: the tile {} gives wrong results on this device; please report it",
                finding.case,
                wrong.tile_words()
            );
        }
    }
    for failure in &failures {
        eprintln!("error: {failure:#}");
    }
    print(findings_table(&findings))?;
    let taken = findings.iter().filter(|f| f.verdict == Verdict::Displaced);
    print(format_args!(
        "{} of {} defaults displaced on {} ({}, {}), times by {}",
        taken.count(),
        findings
            .iter()
            .filter(|f| f.verdict != Verdict::RunsDense)
            .count(),
        bench.words.adapter,
        bench.words.driver,
        bench.words.backend,
        timing_words(bench.timer.timing())
    ))?;
    if let (Some(out), Some(written)) = (out, written?) {
        print(format_args!("written to {}", written.display()))?;
        if let Some(moved) = moved_words(out, &written) {
            eprintln!("{moved}");
        }
    }
    if !missing.is_empty() {
        eprintln!(
            "interrupted: the table holds what was found before; problems that are missing ({}):\n  {}",
            missing.len(),
            missing.join("\n  ")
        );
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    let is_wrong = findings.iter().any(|finding| !finding.wrong.is_empty());
    Ok(if failures.is_empty() && !is_wrong {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write_table(
    out: &Path,
    table: &TileTable,
    completeness: Completeness,
) -> anyhow::Result<PathBuf> {
    Ok(write_results(
        out,
        table.to_json()?.as_bytes(),
        completeness,
    )?)
}
