//! `sparse-bench compare`: the rows of a preset or of real tensors, one after the other, then the reports.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use half::{bf16, f16};
use indicatif::ProgressBar;
use sparse_core::{Activation, DType, Element};

use super::{exit_code, open};
use crate::cli::{CompareArgs, Operation, OperationList, PresetName};
use crate::compare::bench::Bench;
use crate::compare::matmul::{Baseline, MatmulJob, measure};
use crate::compare::source::{MatmulRow, rows_of_weights};
use crate::device::class_of;
use crate::presets::{AdapterClass, Case, cases};
use crate::progress;
use crate::record::{Record, to_csv, to_json, to_table};
use crate::report::{MaskMap, Report, to_html, utc_date_time};
use crate::tensors::{TensorFile, write_file};

/// How long a row is timed.
const ROW_TIME: Duration = Duration::from_secs(3);

/// What has been measured so far.
#[derive(Debug, Default)]
struct Results {
    records: Vec<Record>,
    masks: Vec<MaskMap>,
    failures: Vec<anyhow::Error>,
}

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let operations = args.ops.clone().unwrap_or_default();
    let real_weights = args.weights.as_deref().map(rows_of_weights).transpose()?;
    let bench = Bench::new(open(args.adapter.as_deref())?, ROW_TIME);
    let class = class_of(bench.gpu.adapter().device_type);
    let rows = match real_weights {
        Some(rows) => rows
            .into_iter()
            .filter(|row| operations.contains(row.case.operation))
            .collect(),
        None => generated_rows(args.preset, class, &operations),
    };
    let results = measure_all(args, &bench, &rows);
    println!("{}", to_table(&results.records));
    println!(
        "on {} ({}, {}), times by {}",
        bench.words.adapter,
        bench.words.driver,
        bench.words.backend,
        bench.timer.timing().words()
    );
    write_reports(args, &results)?;
    for failure in &results.failures {
        eprintln!("error: {failure:#}");
    }
    if results.failures.is_empty() {
        Ok(exit_code(&results.records))
    } else {
        Ok(ExitCode::FAILURE)
    }
}

fn generated_rows(
    preset: PresetName,
    class: AdapterClass,
    operations: &OperationList,
) -> Vec<MatmulRow> {
    cases(preset, class, operations)
        .into_iter()
        .filter_map(|case| match case {
            Case::Matmul(case) => Some(MatmulRow { case, tensor: None }),
            Case::Attention(_) => None,
        })
        .collect()
}

/// Measures all rows; one that fails does not keep the others from being measured.
fn measure_all(args: &CompareArgs, bench: &Bench, rows: &[MatmulRow]) -> Results {
    let mut results = Results::default();
    let bar = progress::rows(rows.len());
    for row in rows {
        let case = &row.case;
        let words = format!("{} {} {}", case.operation, case.dtype, case.pattern);
        bar.set_message(words.clone());
        let measured = match case.dtype {
            DType::F32 => measure_row::<f32>(args, bench, row, &bar),
            DType::F16 => measure_row::<f16>(args, bench, row, &bar),
            DType::Bf16 => measure_row::<bf16>(args, bench, row, &bar),
        };
        match measured.with_context(|| words) {
            Ok(record) => results.records.push(record),
            Err(error) => results.failures.push(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    results
}

fn measure_row<T: Element>(
    args: &CompareArgs,
    bench: &Bench,
    row: &MatmulRow,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    let mut file = args.weights.as_deref().map(TensorFile::open).transpose()?;
    let (w, x) = row.operands::<T>(file.as_mut())?;
    let job = MatmulJob {
        operation: row.case.operation,
        w,
        x,
        bias: None,
        activation: Activation::None,
        pattern: row.case.pattern,
        baseline: match row.case.operation {
            Operation::DenseMatmul => Baseline::Naive,
            _ => Baseline::Dense,
        },
    };
    let result = measure(bench, job, &mut |_, _| bar.tick())?;
    Ok(result.record)
}

fn write_reports(args: &CompareArgs, results: &Results) -> anyhow::Result<()> {
    if let Some(path) = &args.json {
        write_file(path, to_json(&results.records)?.as_bytes())?;
    }
    if let Some(path) = &args.csv {
        write_file(path, &to_csv(&results.records)?)?;
    }
    if let Some(path) = &args.html {
        let report = Report {
            date: utc_date_time(SystemTime::now()),
            command_line: command_line(),
            records: results.records.clone(),
            masks: results.masks.clone(),
        };
        write_file(path, to_html(&report)?.as_bytes())?;
    }
    Ok(())
}

/// The command as it was typed, the program without its folder.
fn command_line() -> String {
    let arguments = std::env::args_os().skip(1);
    std::iter::once("sparse-bench".into())
        .chain(arguments.map(|argument| argument.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}
