//! Measuring row by row, whatever the storage type.

use anyhow::Context;
use half::{bf16, f16};
use indicatif::ProgressBar;
use sparse_core::{Activation, DType, Element};
use sparse_gpu::Tier;

use super::layers;
use super::reports::Results;
use super::rows::Row;
use crate::cli::{CompareArgs, Operation};
use crate::compare::attention::{self, AttentionJob, Contest, measure_packed, planted};
use crate::compare::bench::Bench;
use crate::compare::gradient;
use crate::compare::matmul::{self, Baseline, MatmulJob};
use crate::compare::source::MatmulRow;
use crate::interrupt::Interrupted;
use crate::presets::{AttentionCase, GradientCase, PackedCase};
use crate::progress;
use crate::record::Record;
use crate::report::MaskMap;
use crate::tensors::{Qkv, TensorFile};

/// Measures all rows; one that fails does not keep the others from being measured. Where somebody asks to stop, the row at hand is given up
/// between two runs, and with it those behind it.
pub(super) fn measure_all(
    args: &CompareArgs,
    bench: &Bench,
    rows: &[Row],
    qkv: Option<&Qkv>,
) -> Results {
    let mut results = Results::default();
    let bar = progress::rows(rows.len());
    for row in rows {
        if bench.interrupt.is_asked() {
            results.missing.push(row.words());
            continue;
        }
        progress::next_row(&bar, row.words());
        let before = results.records.len();
        let measured = match row {
            Row::Matmul(row) => matmul_row(args, bench, row, &bar).map(|record| {
                results.records.push(record);
            }),
            Row::Gradient(case) => gradient_row(bench, case, &bar).map(|record| {
                results.records.push(record);
            }),
            Row::Attention(case) => attention_row(bench, case, None, &bar)
                .map(|(record, masks)| results.add(record, masks)),
            Row::RealAttention(case) => attention_row(bench, case, qkv, &bar)
                .map(|(record, masks)| results.add(record, masks)),
            Row::Packed(case) => {
                packed_row(bench, case, &bar).map(|(record, masks)| results.add(record, masks))
            }
            Row::Layer(case) => layers::layer(bench, case, qkv, &mut || bar.tick()).map(|rows| {
                results.records.extend(rows.records);
                results.masks.push(rows.masks);
                results.shares.extend(rows.shares);
            }),
        };
        let source = row.source(args);
        for record in results.records.iter_mut().skip(before) {
            record.source.clone_from(&source);
        }
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

fn gradient_row(bench: &Bench, case: &GradientCase, bar: &ProgressBar) -> anyhow::Result<Record> {
    let tick = &mut |_, _| bar.tick();
    match case.dtype {
        DType::F32 => gradient::measure::<f32>(bench, case, tick),
        DType::F16 => gradient::measure::<f16>(bench, case, tick),
        DType::Bf16 => gradient::measure::<bf16>(bench, case, tick),
    }
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
    let title = title(&result.record);
    let masks = MaskMap::of(title, &result.mask, &result.reachable, &result.quality);
    Ok((result.record, masks))
}

fn packed_row(
    bench: &Bench,
    case: &PackedCase,
    bar: &ProgressBar,
) -> anyhow::Result<(Record, MaskMap)> {
    let tick = &mut |_| bar.tick();
    let result = match case.dtype {
        DType::F32 => measure_packed::<f32>(bench, case, tick),
        DType::F16 => measure_packed::<f16>(bench, case, tick),
        DType::Bf16 => measure_packed::<bf16>(bench, case, tick),
    }?;
    let title = title(&result.record);
    Ok((result.record, MaskMap::of_items(title, &result.items)))
}

/// What the masks of a row are called.
fn title(record: &Record) -> String {
    format!("{} {} {}", record.op, record.shape, record.pattern)
}
