//! `sparse-bench matmul`: prune one weight matrix, multiply, write y, w and x.

mod inputs;

use std::process::ExitCode;
use std::time::Duration;

use half::{bf16, f16};
use sparse_core::{Activation, DType, Element};
use sparse_gpu::{Gpu, Tier};
use sparse_shaders::MatvecKernel;

use super::{open_with_tiles, print};
use crate::cli::{ActivationName, MatmulArgs, Operation, Pattern, TierName};
use crate::compare::bench::Bench;
use crate::compare::matmul::{Baseline, MatmulJob, measure};
use crate::progress::{self, Progress};
use crate::record::Record;
use crate::tensors::{OutTensor, TensorFileError, write_tensors};
use inputs::MatmulInputs;

/// How long the product and its baseline are timed.
const TIME: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &MatmulArgs) -> anyhow::Result<ExitCode> {
    let inputs = MatmulInputs::read(args)?;
    let bench = Bench::new(device(args)?, TIME);
    let (record, written) = match inputs.dtype {
        DType::F32 => multiply::<f32>(&bench, args, inputs)?,
        DType::F16 => multiply::<f16>(&bench, args, inputs)?,
        DType::Bf16 => multiply::<bf16>(&bench, args, inputs)?,
    };
    print(serde_json::to_string(&record)?)?;
    written?;
    Ok(super::exit_code(&[record]))
}

/// The device, with its cooperative matrices tested where the tier may use them.
fn device(args: &MatmulArgs) -> anyhow::Result<Gpu> {
    let tier = Tier::from(args.tier);
    let matrices = tier != Tier::Portable;
    let gpu = open_with_tiles(args.adapter.as_deref(), &args.tiles, matrices)?;
    match tier {
        Tier::Portable => {}
        Tier::CooperativeMatrix => {
            gpu.enable_cooperative_matrices_blocking()?;
        }
        Tier::Best => {
            if let Err(reason) = gpu.enable_cooperative_matrices_blocking() {
                eprintln!("on portable kernels: {reason}");
            }
        }
    }
    Ok(gpu)
}

/// The numbers, and whether the file could be written: they are told in any case.
fn multiply<T: Element>(
    bench: &Bench,
    args: &MatmulArgs,
    inputs: MatmulInputs,
) -> anyhow::Result<(Record, Result<(), TensorFileError>)> {
    let job = MatmulJob {
        operation: operation(args, inputs.x.shape().0),
        w: inputs.w.cast::<T>(),
        x: inputs.x.cast::<T>(),
        bias: inputs.bias,
        activation: activation(args.activation),
        pattern: args.pattern,
        tier: args.tier.into(),
        baseline: if args.pattern == Pattern::Dense {
            Baseline::Own
        } else {
            Baseline::Dense
        },
    };
    // As multiplied, in a type that every reader knows: f32 holds all others exactly.
    let x = OutTensor::from(&job.x.cast::<f32>());
    let shape = [job.x.rows(), job.w.rows()];
    let bar = progress::work(&format!(
        "{}, {} x {} x {}: run, check against the CPU reference, time",
        job.operation,
        shape[0],
        shape[1],
        job.w.cols()
    ));
    let result = measure(bench, job, &mut |done, all| {
        progress::show(&bar, Progress::Rounds(done, all));
    })?;
    bar.finish_and_clear();
    let w = result.w.to_dense()?.cast::<f32>();
    let written = write_tensors(
        &args.out,
        &[
            ("y", OutTensor::new(&shape, &result.y)),
            ("w", (&w).into()),
            ("x", x),
        ],
    );
    Ok((result.record, written))
}

fn operation(args: &MatmulArgs, tokens: usize) -> Operation {
    let few = tokens <= MatvecKernel::MAX_TOKENS && args.tier != TierName::CooperativeMatrix;
    match args.pattern {
        Pattern::Dense => Operation::DenseMatmul,
        Pattern::Nm(_) if few => Operation::NmMatvec,
        Pattern::Nm(_) => Operation::NmMatmul,
        Pattern::Bsr { .. } => Operation::BsrMatmul,
    }
}

fn activation(name: Option<ActivationName>) -> Activation {
    match name {
        None => Activation::None,
        Some(ActivationName::Relu) => Activation::Relu,
        Some(ActivationName::Gelu) => Activation::Gelu,
        Some(ActivationName::Silu) => Activation::Silu,
    }
}
