//! The rows of `compare --preset attention`.

use anyhow::Context;
use half::{bf16, f16};
use sparse_core::{DType, Element};
use sparse_gpu::Policy;

use crate::compare::attention::{
    AttentionJob, Contest, StepShares, measure, measure_policy, of_length, planted, planted_at,
    step_rows,
};
use crate::compare::bench::Bench;
use crate::presets::{LENGTHS, LayerCase, LayerTask, SizeClass, auto_layers, planted_layers};
use crate::record::Record;
use crate::report::MaskMap;
use crate::tensors::Qkv;

/// What one layer gives.
#[derive(Debug)]
pub(super) struct LayerRows {
    pub(super) records: Vec<Record>,
    pub(super) masks: MaskMap,
    /// Where the time goes; nothing where the steps were not timed.
    pub(super) shares: Option<StepShares>,
}

/// The planted layers, and one layer at all lengths: that of `qkv`, or a planted one.
pub(super) fn layers(
    class: SizeClass,
    qkv: Option<&Qkv>,
    lengths: Option<&[usize]>,
) -> Vec<LayerCase> {
    let (heads, dtype) = match qkv {
        Some(qkv) => {
            let shape = qkv.shape;
            let heads = [shape.q_heads(), shape.kv_heads(), shape.head_dim()];
            (heads, qkv.dtype())
        }
        None => ([2, 1, 64], DType::F32),
    };
    let mut layers = planted_layers(class);
    layers.extend(auto_layers(heads, dtype, lengths.unwrap_or(&LENGTHS)));
    layers
}

/// Measures one layer; the one at all lengths takes its tensors from `qkv` where that is given.
pub(super) fn layer(
    bench: &Bench,
    case: &LayerCase,
    qkv: Option<&Qkv>,
    tick: &mut dyn FnMut(),
) -> anyhow::Result<LayerRows> {
    match case.dtype {
        DType::F32 => run::<f32>(bench, case, qkv, tick),
        DType::F16 => run::<f16>(bench, case, qkv, tick),
        DType::Bf16 => run::<bf16>(bench, case, qkv, tick),
    }
}

fn run<T: Element>(
    bench: &Bench,
    case: &LayerCase,
    qkv: Option<&Qkv>,
    tick: &mut dyn FnMut(),
) -> anyhow::Result<LayerRows> {
    let shape = case.shape()?;
    let options = case.options();
    let inputs = match (case.task, qkv) {
        (LayerTask::Steps { density }, _) => planted_at::<T>(shape, density)?,
        (LayerTask::Auto, None) => planted(shape)?,
        (LayerTask::Auto, Some(qkv)) => of_length(&qkv.cast(), case.tokens)?,
    };
    let job = AttentionJob {
        inputs: &inputs,
        shape,
        options: &options,
        contest: Contest::WholeAndParts,
    };
    let after_round = &mut |_| tick();
    match case.task {
        LayerTask::Steps { .. } => {
            let result = measure(bench, job, after_round)?;
            let (records, shares) =
                step_rows(&result, options.stride).context("the steps were not timed")?;
            let title = format!("xattention {}", result.record.shape);
            Ok(LayerRows {
                records,
                masks: MaskMap::of(title, &result.mask, &result.reachable, &result.quality),
                shares: Some(shares),
            })
        }
        LayerTask::Auto => {
            let result = measure_policy(bench, job, Policy::auto(&bench.gpu), after_round)?;
            let attended = result.decided.attended;
            let title = format!("xattention auto ({attended}) {}", result.record.shape);
            Ok(LayerRows {
                masks: MaskMap::of(title, &result.mask, &result.reachable, &result.quality),
                records: vec![Record {
                    pattern: format!("{}: {attended}", result.record.pattern),
                    ..result.record
                }],
                shares: None,
            })
        }
    }
}
