//! The quick preset's attention layers as criterion benches: each step of XAttention, and all of them.

#[path = "open.rs"]
mod open;

use criterion::{BenchmarkId, Criterion, Throughput};
use half::{bf16, f16};
use sparse_bench::cli::{Operation, PresetName};
use sparse_bench::compare::attention::{kv_copies, planted};
use sparse_bench::compare::bench::Bench;
use sparse_bench::device::{AttendRun, GpuQkv, XAttentionRun, class_of};
use sparse_bench::presets::{AttentionCase, Case, cases};
use sparse_core::attention::MaskHeads;
use sparse_core::{DType, Element};
use sparse_gpu::{Error, wgpu};
use sparse_measure::Attended;

/// Records one step.
pub(crate) type Step = fn(&mut XAttentionRun, &mut wgpu::ComputePass<'_>) -> Result<(), Error>;

/// Benches `step` as `name` on the layers of `operation`, and dense attention beside it where `with_dense`. Those of few queries are a group of their own.
pub(crate) fn attention(
    criterion: &mut Criterion,
    (name, operation): (&str, Operation),
    with_dense: bool,
    step: Step,
) {
    let bench = open::open();
    let class = class_of(bench.gpu.adapter().device_type);
    let only = operation.name().parse().unwrap_or_default();
    for case in cases(PresetName::Quick, class, &only) {
        if let Case::Attention(case) = case {
            let name = &match case.q_len == case.k_len {
                true => name.to_owned(),
                false => format!("{name}_decoding"),
            };
            let measured = match case.dtype {
                DType::F32 => row::<f32>(criterion, &bench, &case, name, with_dense, step),
                DType::F16 => row::<f16>(criterion, &bench, &case, name, with_dense, step),
                DType::Bf16 => row::<bf16>(criterion, &bench, &case, name, with_dense, step),
            };
            measured.unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}

fn row<T: Element>(
    criterion: &mut Criterion,
    bench: &Bench,
    case: &AttentionCase,
    name: &str,
    with_dense: bool,
    step: Step,
) -> anyhow::Result<()> {
    let shape = case.attention_shape()?;
    let options = case.options();
    let inputs = planted::<T>(shape)?;
    let qkv = GpuQkv::upload(&bench.gpu, &inputs, shape)?;
    let mut run = XAttentionRun::plan(&bench.gpu, &qkv, &options)?;
    // Every step finds what the steps before it give.
    bench.run_once(&mut |pass| run.record(pass))?;
    let mask = bench.gpu.read_mask_blocking(run.mask())?;
    let layout = options.layout(shape)?;
    let mask = layout.mask_of_query_heads(&mask)?;
    let kept = Attended::of(shape, &mask, case.block, case.causal);
    let kv = qkv.copies(&bench.gpu, &inputs, kv_copies::<T>(shape, kept))?;
    run.take_turns(&kv);
    let tokens = match case.q_len == case.k_len {
        true => case.q_len.to_string(),
        false => format!("{}of{}", case.q_len, case.k_len),
    };
    let size = format!("{}/{}x{tokens}x{}", case.dtype, case.heads, case.head_dim);
    let mut group = criterion.benchmark_group(name);
    // Pairs of a query and a key: dense and sparse can be compared.
    let pairs = case.batch * case.heads * case.q_len * case.k_len;
    group.throughput(Throughput::Elements(pairs as u64));
    group.sample_size(10);
    let planted = match case.mask_heads {
        MaskHeads::Query => "planted",
        MaskHeads::Key => "planted by key head",
    };
    group.bench_function(BenchmarkId::new(planted, &size), |bencher| {
        open::iterate(bencher, bench, &mut |pass| step(&mut run, pass));
    });
    // It is the same whoever shares a mask.
    if with_dense && case.mask_heads == MaskHeads::Query {
        let mut dense = AttendRun::plan(&bench.gpu, &qkv, &options.attention(), None)?;
        dense.take_turns(&kv);
        group.bench_function(BenchmarkId::new("dense", &size), |bencher| {
            open::iterate(bencher, bench, &mut |pass| dense.record(pass));
        });
    }
    group.finish();
    Ok(())
}
