//! `sparse-bench compare`: the rows of a preset or of real tensors, one after the other, then the reports.

mod files;
mod layers;
mod measure;
mod reports;
mod rows;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use sparse_core::DType;
use sparse_gpu::Tier;
use sparse_measure::counted;

use self::measure::measure_all;
use self::reports::{Results, check_reports, contenders, write_reports};
use self::rows::{Row, real_weights, rows};
use super::{complaints, open_with_tiles, print};
use crate::cli::{CompareArgs, PresetName};
use crate::compare::bench::Bench;
use crate::compare::source::{MatmulRow, rows_of_weights};
use crate::device::class_of;
use crate::interrupt::{self, Interrupt};
use crate::peers::{Peers, check_strategies, strategies_for_attention, strategies_for_matmul};
use crate::presets::{cases, cooperative_cases};
use crate::record::{timings, to_table};
use crate::tensors::Qkv;

/// How long a row is timed. The full preset has ten times as many rows, whose picture is in their number.
const fn row_time(preset: PresetName) -> Duration {
    match preset {
        PresetName::Quick | PresetName::Attention | PresetName::Peers => Duration::from_secs(3),
        PresetName::Full => Duration::from_millis(1200),
    }
}

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    check_reports(args)?;
    let operations = args.ops.clone().unwrap_or_default();
    files::check_use(args, &operations)?;
    let real_weights = args.weights.as_deref().map(rows_of_weights).transpose()?;
    let qkv = args.qkv.as_deref().map(Qkv::read).transpose()?;
    let gpu = open_with_tiles(args.adapter.as_deref(), &args.tiles, args.cooperative)?;
    if args.cooperative {
        print(gpu.enable_cooperative_matrices_blocking()?)?;
    }
    let row_time = args.seconds.unwrap_or(row_time(args.preset));
    let mut bench = Bench::new(gpu, row_time);
    if args.peers {
        bench.open_peers(&args.strategies)?;
    }
    let class = class_of(bench.gpu.adapter().device_type);
    let generated = cases(args.preset, class, &operations);
    let mut rows: Vec<Row> = match args.preset {
        PresetName::Attention => {
            let layers = layers::layers(class, qkv.as_ref(), args.lengths.as_deref());
            let layers = layers.into_iter().map(Row::Layer);
            let layers = layers.filter(|row| operations.contains(row.operation()));
            // The tensors of --qkv are for the layer at many lengths.
            rows(generated, None, None, &operations)
                .into_iter()
                .chain(layers)
                .collect()
        }
        _ => rows(generated, real_weights, qkv.as_ref(), &operations),
    };
    files::check_found(args, rows.iter().any(Row::of_real_weights))?;
    if args.cooperative {
        let cases = cooperative_cases(class).into_iter();
        let cases = cases.filter(|case| operations.contains(case.operation));
        rows.extend(cases.map(|case| {
            Row::Matmul(MatmulRow {
                case,
                tensor: None,
                tier: Tier::CooperativeMatrix,
            })
        }));
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "there is no row to measure: this preset has none for the operations of --ops; leave one of them out"
    );
    for row in &rows {
        row.check().with_context(|| row.words())?;
    }
    if let Some(peers) = &bench.peers
        && !args.strategies.is_empty()
    {
        check_strategies(&args.strategies, strategies(peers, &rows)?)?;
    }
    bench.measure_ceilings()?;
    // Before, there is nothing to save.
    bench.interrupt = Interrupt::listen().context("cannot take Ctrl-C")?;
    let start = Instant::now();
    let mut results = measure_all(args, &bench, &rows, qkv.as_ref());
    if results.missing.is_empty() && start.elapsed() > FRESH {
        // A machine that was busy before the rows may be free behind them, and low ceilings flatter every row.
        match bench.measure_ceilings() {
            Ok(ceilings) => results.move_under(ceilings),
            Err(error) => results.failures.push(error.into()),
        }
    }
    // Before anything is printed: minutes of measuring must not be lost to a closed output, nor the table to a full disk.
    let written = write_reports(args, &bench, &results);
    let errors = errors(&results, &written.failures);
    for error in &errors {
        eprintln!("error: {error}");
    }
    for moved in &written.moved {
        eprintln!("{moved}");
    }
    tell(args, &bench, &rows, &results)?;
    if let Some(interruption) = results.interruption() {
        eprintln!("{interruption}");
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    Ok(match errors.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Rows that take no longer than this are measured on a machine as busy as its ceilings were.
const FRESH: Duration = Duration::from_secs(20);

/// Everything that went wrong: rows that could not be measured, reports that could not be written, and rows outside of their bounds, which none of
/// the others hides.
fn errors(results: &Results, unwritten: &[anyhow::Error]) -> Vec<String> {
    let failures = results.failures.iter().chain(unwritten);
    let failures = failures.map(|failure| format!("{failure:#}"));
    failures.chain(complaints(&results.records)).collect()
}

/// What is otherwise about rows with other libraries.
const ONE_COPY: &str = "rows beside other libraries have one copy of the weights, or of keys and values, as those have: \
                        with few tokens runs may find it in a cache, those of other rows read theirs from memory";

/// The names of all strategies of other libraries for these rows.
fn strategies(peers: &Peers, rows: &[Row]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for row in rows {
        names.extend(match row {
            Row::Matmul(MatmulRow { case, .. }) if case.dtype == DType::F32 => {
                strategies_for_matmul(peers, case.pattern)?
            }
            Row::Attention(case) | Row::RealAttention(case)
                if case.dtype == DType::F32 && case.dense =>
            {
                strategies_for_attention(peers)?
            }
            _ => Vec::new(),
        });
    }
    Ok(names)
}

/// The table, and what it was measured on and by.
fn tell(args: &CompareArgs, bench: &Bench, rows: &[Row], results: &Results) -> anyhow::Result<()> {
    if results.records.is_empty() {
        return Ok(());
    }
    print(to_table(&results.records))?;
    print(format_args!(
        "on {} ({}, {}), times by {}",
        bench.words.adapter,
        bench.words.driver,
        bench.words.backend,
        timings(&results.records)
    ))?;
    if let Some(path) = &args.weights {
        // The table tells shapes only.
        for [tensor, shape] in real_weights(rows) {
            print(format_args!(
                "weights {shape}: tensor {tensor:?} of {}",
                path.display()
            ))?;
        }
    }
    if let Some(path) = &args.tiles.tiles {
        // A table that fits no row changes nothing, which times alone would not tell.
        let tuned = results.records.iter().filter(|row| row.is_tuned).count();
        print(format_args!(
            "tiles of the table in {tuned} of {}, the dense baselines' included: {}",
            counted(results.records.len(), "row"),
            path.display()
        ))?;
    }
    for shares in &results.shares {
        print(shares)?;
    }
    if let Some(ceilings) = &bench.ceilings {
        print(format_args!("ceilings: {}", ceilings.words()))?;
    }
    if let Some(peers) = &bench.peers {
        print(peers.words())?;
        print(ONE_COPY)?;
        print(contenders(&results.records).trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn a_row_that_fails_hides_no_row_that_is_wrong() {
        let wrong = Record {
            max_err_over_bound: 1.5,
            ..crate::fixture::nm_matmul()
        };
        let results = Results {
            records: vec![crate::fixture::nm_matmul(), wrong],
            failures: vec![anyhow::anyhow!("the device is gone").context("a row")],
            ..Results::default()
        };
        let errors = errors(&results, &[anyhow::anyhow!("a full disk")]);
        assert_eq!(errors[..2], ["a row: the device is gone", "a full disk"]);
        assert!(errors[2].contains("is wrong"), "{errors:?}");
        assert_eq!(errors.len(), 3);
    }
}
