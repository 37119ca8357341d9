//! `sparse-bench attention`: score, select and attend; write block scores, mask, output and log-sum-exp.

use std::process::ExitCode;
use std::time::Duration;

use half::{bf16, f16};
use serde::Serialize;
use sparse_core::xattention::XAttentionOptions;
use sparse_core::{DType, Element};

use super::open;
use crate::cli::AttentionArgs;
use crate::compare::attention::{
    AttentionJob, AttentionResult, Checks, Contest, PartTimes, Quality, measure,
};
use crate::compare::bench::Bench;
use crate::measure::Budget;
use crate::progress;
use crate::record::Record;
use crate::tensors::{OutTensor, Qkv, check_out, write_tensors};

/// How long dense attention, the whole and its steps are timed together.
const TIME: Duration = Duration::from_secs(6);
/// Fewer rounds than a row of `compare`: five contenders on a layer of any size.
const LEAST_ROUNDS: usize = 3;

/// What is printed.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// Times of the steps; `sparse_ms` of the record is all of them in one pass.
    #[serde(flatten)]
    parts: Option<PartTimes>,
    #[serde(flatten)]
    quality: &'a Quality,
    threshold: f64,
    checks: Checks,
}

pub(crate) fn run(args: &AttentionArgs) -> anyhow::Result<ExitCode> {
    let options = args.options()?;
    check_out(&args.out, &[&args.qkv])?;
    let qkv = Qkv::read(&args.qkv)?;
    options.layout(qkv.shape)?;
    let mut bench = Bench::new(open(args.adapter.as_deref())?, TIME);
    bench.budget = Budget {
        least_rounds: LEAST_ROUNDS,
        ..bench.budget
    };
    let result = match qkv.dtype() {
        DType::F32 => attend::<f32>(&bench, args, &options, &qkv)?,
        DType::F16 => attend::<f16>(&bench, args, &options, &qkv)?,
        DType::Bf16 => attend::<bf16>(&bench, args, &options, &qkv)?,
    };
    write(args, &qkv, &result)?;
    let printed = Printed {
        record: &result.record,
        parts: result.parts,
        quality: &result.quality,
        threshold: args.threshold,
        checks: result.checks,
    };
    println!("{}", serde_json::to_string(&printed)?);
    Ok(super::exit_code(&[result.record]))
}

fn attend<T: Element>(
    bench: &Bench,
    args: &AttentionArgs,
    options: &XAttentionOptions,
    qkv: &Qkv,
) -> anyhow::Result<AttentionResult> {
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
    let bar = progress::rounds(0);
    bar.set_message("attention");
    let result = measure(bench, job, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    Ok(result)
}

fn write(args: &AttentionArgs, qkv: &Qkv, result: &AttentionResult) -> anyhow::Result<()> {
    let mask: Vec<u8> = result.mask.to_bools().into_iter().map(u8::from).collect();
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
