//! `varlen_xattention` and dense `varlen_attention` beside it, at the shapes of the full preset: `cargo bench -p sparse-bench --bench varlen_xattention`.

#[path = "support/open.rs"]
mod open;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use sparse_bench::cli::{Operation, PresetName};
use sparse_bench::compare::attention::upload_packed;
use sparse_bench::compare::bench::Bench;
use sparse_bench::device::{PackedDenseRun, PackedRun, class_of};
use sparse_bench::presets::{Case, PackedCase, cases};
use sparse_core::{DType, Element};

fn benches(criterion: &mut Criterion) {
    let bench = open::open();
    let class = class_of(bench.gpu.adapter().device_type);
    let only = Operation::VarlenXattention.name().parse();
    for case in cases(PresetName::Full, class, &only.unwrap_or_default()) {
        if let Case::Packed(case) = case {
            let measured = match case.dtype {
                DType::F32 => row::<f32>(criterion, &bench, &case),
                DType::F16 => row::<f16>(criterion, &bench, &case),
                DType::Bf16 => row::<bf16>(criterion, &bench, &case),
            };
            measured.unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}

fn row<T: Element>(
    criterion: &mut Criterion,
    bench: &Bench,
    case: &PackedCase,
) -> anyhow::Result<()> {
    let qkv = upload_packed::<T>(&bench.gpu, case)?;
    let problem = case.problem(case.policy(&bench.gpu))?;
    let mut own = PackedRun::plan(&bench.gpu, &qkv, &problem)?;
    let mut dense = PackedDenseRun::plan(&bench.gpu, &qkv, &problem)?;
    let policy = if case.auto { "auto" } else { "sparse" };
    let items = case.lengths.len();
    let size = format!(
        "{}/{items} items x {}x{}",
        case.dtype, case.heads, case.head_dim
    );
    let mut group = criterion.benchmark_group("varlen_xattention");
    // Pairs of a query and a key of each item: dense and sparse can be compared.
    let pairs: usize = case
        .lengths
        .iter()
        .map(|(queries, keys)| queries * keys)
        .sum();
    group.throughput(Throughput::Elements((case.heads * pairs) as u64));
    group.sample_size(10);
    group.bench_function(BenchmarkId::new(policy, &size), |bencher| {
        open::iterate(bencher, bench, &mut |pass| own.record(pass));
    });
    group.bench_function(
        BenchmarkId::new(format!("dense beside {policy}"), &size),
        |bencher| {
            open::iterate(bencher, bench, &mut |pass| dense.record(pass));
        },
    );
    group.finish();
    Ok(())
}

criterion_group!(group, benches);
criterion_main!(group);
