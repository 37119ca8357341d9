//! `sparse-bench matmul`: prune one weight matrix, multiply, write y, w and x.

mod inputs;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use half::{bf16, f16};
use sparse_core::{Activation, DType, Element};
use sparse_gpu::{Gpu, Tier};
use sparse_shaders::MatvecKernel;

use super::{open_with_tiles, print, record_of_this_run};
use crate::cli::{ActivationName, MatmulArgs, Operation, Pattern, TierName};
use crate::compare::bench::Bench;
use crate::compare::matmul::{Baseline, MatmulJob, MatmulResult, measure};
use crate::compare::source::{GENERATED, source_of_tensor};
use crate::progress::{self, Progress};
use crate::record::Record;
use crate::tensors::{OutTensor, write_tensors};
use inputs::MatmulInputs;

/// How long the product and its baseline are timed.
const TIME: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &MatmulArgs) -> anyhow::Result<ExitCode> {
    let inputs = MatmulInputs::read(args)?;
    let bench = Bench::new(device(args)?, TIME);
    let (mut record, written) = match inputs.dtype {
        DType::F32 => multiply::<f32>(&bench, args, inputs)?,
        DType::F16 => multiply::<f16>(&bench, args, inputs)?,
        DType::Bf16 => multiply::<bf16>(&bench, args, inputs)?,
    };
    record.source = source(args);
    print(record_of_this_run(&record)?)?;
    let exit_code = super::exit_code(&record);
    written?;
    Ok(exit_code)
}

/// What the record says of the operands.
fn source(args: &MatmulArgs) -> String {
    let w = source_of_tensor("w", &args.tensor, &args.weights);
    let x = match (&args.input, &args.input_tensor) {
        (Some(path), Some(tensor)) => source_of_tensor("x", tensor, path),
        _ => format!("x {GENERATED} from seed {}", args.seed),
    };
    format!("{w}, {x}")
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

/// As [`write`].
fn multiply<T: Element>(
    bench: &Bench,
    args: &MatmulArgs,
    inputs: MatmulInputs,
) -> anyhow::Result<(Record, anyhow::Result<()>)> {
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
    let bar = progress::work(&format!(
        "{}, {} x {} x {}: run, check against the CPU reference, time",
        job.operation,
        job.x.rows(),
        job.w.rows(),
        job.w.cols()
    ));
    let result = measure(bench, job, &mut |done, all| {
        progress::show(&bar, Progress::Rounds(done, all));
    })?;
    bar.finish_and_clear();
    Ok(write(&args.out, result, x))
}

/// The numbers, and whether the file could be written: they are told in any case.
fn write<T: Element>(
    out: &Path,
    result: MatmulResult<T>,
    x: OutTensor,
) -> (Record, anyhow::Result<()>) {
    let shape = [result.tokens, result.w.shape().0];
    let written = result
        .w
        .to_dense()
        .map_err(anyhow::Error::from)
        .and_then(|w| {
            let w = OutTensor::from(&w.cast::<f32>());
            let y = OutTensor::new(&shape, &result.y);
            Ok(write_tensors(out, &[("y", y), ("w", w), ("x", x)])?)
        });
    (result.record, written)
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

#[cfg(test)]
mod tests {
    use sparse_core::BsrMatrix;
    use sparse_measure::PrunedWeights;

    use super::*;

    #[test]
    fn weights_that_no_memory_holds_keep_no_number_from_being_told() {
        // One block without a stored number, of more weights than any machine has room for.
        let side = 1 << 28;
        let nothing = BsrMatrix::<f32>::new(side, side, (side, side), vec![0, 0], vec![], vec![]);
        let result = MatmulResult {
            record: crate::fixture::nm_matmul(),
            tokens: 0,
            y: Vec::new(),
            w: PrunedWeights::Bsr(nothing),
            notes: Vec::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.safetensors");
        let x = OutTensor::new::<f32>(&[0, side], &[]);
        let (record, written) = write(&out, result, x);
        assert_eq!(record, crate::fixture::nm_matmul());
        let reason = format!("{:#}", written.unwrap_err());
        assert!(reason.contains("there is no memory for"), "{reason}");
        assert!(!out.exists());
    }
}
