//! `sparse-bench compare`: the rows of a preset or of real tensors, one after the other, then the reports.

mod files;
mod layers;
mod reports;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use half::{bf16, f16};
use indicatif::ProgressBar;
use sparse_core::{Activation, DType, Element};
use sparse_gpu::Tier;

use super::{exit_code, open_with_tiles, print};
use crate::cli::{CompareArgs, Operation, OperationList, PresetName};
use crate::compare::attention::{self, AttentionJob, Contest, planted};
use crate::compare::bench::Bench;
use crate::compare::matmul::{self, Baseline, MatmulJob};
use crate::compare::source::{MatmulRow, rows_of_weights};
use crate::device::class_of;
use crate::interrupt::{self, Interrupt, Interrupted};
use crate::peers::{Peers, check_strategies, strategies_for_attention, strategies_for_matmul};
use crate::presets::{AttentionCase, Case, LayerCase, LayerTask, cases, cooperative_cases};
use crate::progress;
use crate::record::{Record, timings, to_table};
use crate::report::MaskMap;
use crate::tensors::{Qkv, TensorFile};
use crate::words::counted;
use reports::{Results, check_reports, contenders, write_reports};

/// How long a row is timed. The full preset has ten times as many rows, whose picture is in their number.
const fn row_time(preset: PresetName) -> Duration {
    match preset {
        PresetName::Quick | PresetName::Attention | PresetName::Peers => Duration::from_secs(3),
        PresetName::Full => Duration::from_millis(1200),
    }
}

/// A row and where its numbers come from.
#[derive(Clone, Debug)]
enum Row {
    Matmul(MatmulRow),
    Attention(AttentionCase),
    Layer(LayerCase),
}

impl Row {
    fn operation(&self) -> Operation {
        match self {
            Self::Matmul(row) => row.case.operation,
            Self::Attention(case) => case.operation,
            Self::Layer(case) => case.operation(),
        }
    }

    /// Whether there can be such tensors: a length that nothing takes is told before minutes of measuring.
    fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Matmul(_) => {}
            Self::Attention(case) => drop(case.attention_shape()?),
            Self::Layer(case) => drop(case.shape()?),
        }
        Ok(())
    }

    fn words(&self) -> String {
        match self {
            Self::Matmul(row) => {
                let case = &row.case;
                let tier = match row.tier {
                    Tier::Portable => "",
                    _ => " on cooperative matrices",
                };
                format!(
                    "{} {} x {} x {} {} {}{tier}",
                    case.operation, case.tokens, case.n_out, case.k_in, case.dtype, case.pattern
                )
            }
            Self::Attention(case) => {
                let rule = match case.dense {
                    true => "dense".into(),
                    false => format!("threshold {}", case.threshold),
                };
                format!(
                    "{} {} tokens x {} {} {rule}",
                    case.operation, case.q_len, case.head_dim, case.dtype
                )
            }
            Self::Layer(case) => {
                let task = match case.task {
                    LayerTask::Steps { density } => format!("step by step at density {density}"),
                    LayerTask::Auto => "auto".into(),
                };
                format!("xattention {} tokens {} {task}", case.tokens, case.dtype)
            }
        }
    }

    fn of_real_weights(&self) -> bool {
        matches!(self, Self::Matmul(row) if row.tensor.is_some())
    }
}

pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    check_reports(args)?;
    anyhow::ensure!(
        args.lengths.is_none() || args.preset == PresetName::Attention,
        "--lengths has no meaning in this preset; add --preset attention or leave it out"
    );
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
            let rows = layers.into_iter().map(Row::Layer);
            rows.filter(|row| operations.contains(row.operation()))
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
    let results = measure_all(args, &bench, &rows, qkv.as_ref());
    // Before anything is printed: minutes of measuring must not be lost to a closed output, nor the table to a full disk.
    let unwritten = write_reports(args, &bench, &results);
    for failure in results.failures.iter().chain(&unwritten) {
        eprintln!("error: {failure:#}");
    }
    tell(args, &bench, &rows, &results)?;
    if let Some(interruption) = results.interruption() {
        eprintln!("{interruption}");
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    if results.failures.is_empty() && unwritten.is_empty() {
        Ok(exit_code(&results.records))
    } else {
        Ok(ExitCode::FAILURE)
    }
}

/// The names of all strategies of other libraries for these rows.
fn strategies(peers: &Peers, rows: &[Row]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for row in rows {
        names.extend(match row {
            Row::Matmul(MatmulRow { case, .. }) if case.dtype == DType::F32 => {
                strategies_for_matmul(peers, case.pattern)?
            }
            Row::Attention(case) if case.dtype == DType::F32 && case.dense => {
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
        print(contenders(&results.records).trim_end())?;
    }
    Ok(())
}

/// Name and shape of every tensor of real weights behind these rows, once each.
fn real_weights(rows: &[Row]) -> Vec<[String; 2]> {
    let mut all = Vec::new();
    for row in rows {
        if let Row::Matmul(MatmulRow {
            case,
            tensor: Some(tensor),
            ..
        }) = row
        {
            let named = [tensor.clone(), format!("[{}, {}]", case.n_out, case.k_in)];
            if !all.contains(&named) {
                all.push(named);
            }
        }
    }
    all
}

/// The rows of the preset, those of linear layers and those of attention each replaced where there are real tensors for them.
fn rows(
    generated: Vec<Case>,
    real_weights: Option<Vec<MatmulRow>>,
    qkv: Option<&Qkv>,
    operations: &OperationList,
) -> Vec<Row> {
    let (mut matmul, mut attention) = (Vec::new(), Vec::new());
    for case in generated {
        match case {
            Case::Matmul(case) => matmul.push(MatmulRow {
                case,
                tensor: None,
                tier: Tier::Portable,
            }),
            Case::Attention(case) => attention.push(case),
        }
    }
    if let Some(qkv) = qkv {
        attention = [Operation::BlockAttention, Operation::Xattention]
            .map(|operation| AttentionCase::of_real(operation, qkv))
            .into();
    }
    let matmul = real_weights.unwrap_or(matmul).into_iter().map(Row::Matmul);
    matmul
        .chain(attention.into_iter().map(Row::Attention))
        .filter(|row| operations.contains(row.operation()))
        .collect()
}

/// Measures all rows; one that fails does not keep the others from being measured. Where somebody asks to stop, the row at hand is given up
/// between two runs, and with it those behind it.
fn measure_all(args: &CompareArgs, bench: &Bench, rows: &[Row], qkv: Option<&Qkv>) -> Results {
    let mut results = Results::default();
    let bar = progress::rows(rows.len());
    for row in rows {
        if bench.interrupt.is_asked() {
            results.missing.push(row.words());
            continue;
        }
        progress::next_row(&bar, row.words());
        let measured = match row {
            Row::Matmul(row) => matmul_row(args, bench, row, &bar).map(|record| {
                results.records.push(record);
            }),
            Row::Attention(case) => attention_row(bench, case, qkv, &bar).map(|(record, masks)| {
                results.records.push(record);
                results.masks.push(masks);
            }),
            Row::Layer(case) => layers::layer(bench, case, qkv, &mut || bar.tick()).map(|rows| {
                results.records.extend(rows.records);
                results.masks.push(rows.masks);
                results.shares.extend(rows.shares);
            }),
        };
        match measured.with_context(|| row.words()) {
            Ok(()) => {}
            Err(error) if error.is::<Interrupted>() => results.missing.push(row.words()),
            Err(error) => results.failures.push(error),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    results
}

fn matmul_row(
    args: &CompareArgs,
    bench: &Bench,
    row: &MatmulRow,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    match row.case.dtype {
        DType::F32 => multiply::<f32>(args, bench, row, bar),
        DType::F16 => multiply::<f16>(args, bench, row, bar),
        DType::Bf16 => multiply::<bf16>(args, bench, row, bar),
    }
}

fn multiply<T: Element>(
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
        tier: row.tier,
        baseline: match row.case.operation {
            // Beside other libraries nobody asks for the naive kernel, which takes ten times as long as all of them.
            Operation::DenseMatmul if row.tier != Tier::Portable => Baseline::Portable,
            Operation::DenseMatmul if args.peers => Baseline::Own,
            Operation::DenseMatmul => Baseline::Naive,
            _ => Baseline::Dense,
        },
    };
    let result = matmul::measure(bench, job, &mut |_, _| bar.tick())?;
    Ok(result.record)
}

fn attention_row(
    bench: &Bench,
    case: &AttentionCase,
    qkv: Option<&Qkv>,
    bar: &ProgressBar,
) -> anyhow::Result<(Record, MaskMap)> {
    match case.dtype {
        DType::F32 => attend::<f32>(bench, case, qkv, bar),
        DType::F16 => attend::<f16>(bench, case, qkv, bar),
        DType::Bf16 => attend::<bf16>(bench, case, qkv, bar),
    }
}

fn attend<T: Element>(
    bench: &Bench,
    case: &AttentionCase,
    qkv: Option<&Qkv>,
    bar: &ProgressBar,
) -> anyhow::Result<(Record, MaskMap)> {
    let shape = case.attention_shape()?;
    let inputs = match qkv {
        Some(qkv) => qkv.cast::<T>(),
        None => planted(shape)?,
    };
    let job = AttentionJob {
        inputs: &inputs,
        shape,
        options: &case.options(),
        contest: match case.operation {
            Operation::BlockAttention if case.dense => Contest::Dense,
            Operation::BlockAttention => Contest::Attend,
            _ => Contest::Whole,
        },
    };
    let result = attention::measure(bench, job, &mut |_| bar.tick())?;
    let record = &result.record;
    let title = format!("{} {} {}", record.op, record.shape, record.pattern);
    let masks = MaskMap::of(title, &result.mask, &result.reachable, &result.quality);
    Ok((result.record, masks))
}
