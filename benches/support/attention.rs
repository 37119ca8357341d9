//! The quick preset's attention layer as criterion benches: each step of XAttention, and all of them.

#[path = "open.rs"]
mod open;

use criterion::{BenchmarkId, Criterion, Throughput};
use half::{bf16, f16};
use sparse_bench::cli::{Operation, PresetName};
use sparse_bench::compare::attention::planted;
use sparse_bench::compare::bench::Bench;
use sparse_bench::device::{AttendRun, GpuQkv, XAttentionRun, class_of};
use sparse_bench::presets::{AttentionCase, Case, cases};
use sparse_core::{DType, Element};
use sparse_gpu::{Error, wgpu};

/// Records one step.
pub(crate) type Step = fn(&mut XAttentionRun, &mut wgpu::ComputePass<'_>) -> Result<(), Error>;

/// Benches `step` as `name`, and dense attention beside it where `with_dense`.
pub(crate) fn attention(criterion: &mut Criterion, name: &str, with_dense: bool, step: Step) {
    let bench = open::open();
    let class = class_of(bench.gpu.adapter().device_type);
    let only = Operation::Xattention.name().parse().unwrap_or_default();
    for case in cases(PresetName::Quick, class, &only) {
        if let Case::Attention(case) = case {
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
    let qkv = GpuQkv::upload(&bench.gpu, &planted::<T>(shape)?, shape)?;
    let mut run = XAttentionRun::plan(&bench.gpu, &qkv, &options)?;
    // Every step finds what the steps before it give.
    bench.run_once(&mut |pass| run.record(pass))?;
    let size = format!(
        "{}/{}x{}x{}",
        case.dtype, case.heads, case.q_len, case.head_dim
    );
    let mut group = criterion.benchmark_group(name);
    // Pairs of a query and a key: dense and sparse can be compared.
    let pairs = case.batch * case.heads * case.q_len * case.k_len;
    group.throughput(Throughput::Elements(pairs as u64));
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("planted", &size), |bencher| {
        open::iterate(bencher, bench, &mut |pass| step(&mut run, pass));
    });
    if with_dense {
        let mut dense = AttendRun::plan(&bench.gpu, &qkv, &options.attention(), None)?;
        group.bench_function(BenchmarkId::new("dense", &size), |bencher| {
            open::iterate(bencher, bench, &mut |pass| dense.record(pass));
        });
    }
    group.finish();
    Ok(())
}
