//! The quick preset's linear layers as criterion benches, timed on the device where it has timestamps.

pub(crate) mod open;

use criterion::{BenchmarkId, Criterion, Throughput};
use half::{bf16, f16};
use sparse_bench::cli::{Operation, PresetName};
use sparse_bench::compare::bench::Bench;
use sparse_bench::compare::source::MatmulRow;
use sparse_bench::device::{MatmulRun, class_of};
use sparse_bench::presets::{Case, MatmulCase, cases};
use sparse_core::{DType, Element};
use sparse_gpu::{Epilogue, Tier};
use sparse_measure::{PrunedWeights, cold_copies};

/// Benches every row of `operation`.
pub(crate) fn matmul(criterion: &mut Criterion, operation: Operation) {
    let bench = open::open();
    let class = class_of(bench.gpu.adapter().device_type);
    let only = operation.name().parse().unwrap_or_default();
    for case in cases(PresetName::Quick, class, &only) {
        if let Case::Matmul(case) = case {
            match case.dtype {
                DType::F32 => row::<f32>(criterion, &bench, case),
                DType::F16 => row::<f16>(criterion, &bench, case),
                DType::Bf16 => row::<bf16>(criterion, &bench, case),
            }
        }
    }
}

fn row<T: Element>(criterion: &mut Criterion, bench: &Bench, case: MatmulCase) {
    let [tokens, n_out, k_in] = [case.tokens, case.n_out, case.k_in];
    let name = format!("{}/{tokens}x{n_out}x{k_in}", case.dtype);
    let id = BenchmarkId::new(name, case.pattern);
    let (operation, pattern) = (case.operation, case.pattern);
    let (w, x) = MatmulRow {
        case,
        tensor: None,
        tier: Tier::Portable,
    }
    .operands::<T>(None)
    .unwrap_or_else(|error| panic!("{error}"));
    let pruned = PrunedWeights::prune(w, pattern).unwrap_or_else(|error| panic!("{error}"));
    let x = bench
        .gpu
        .upload(&x)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut run = MatmulRun::plan(
        &bench.gpu,
        &pruned,
        cold_copies(tokens, pruned.bytes()),
        &x,
        None,
        Epilogue::default(),
        Tier::Portable,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group(operation.name());
    // Multiply-adds of the dense product: rows of different density can be compared.
    group.throughput(Throughput::Elements((tokens * n_out * k_in) as u64));
    group.sample_size(10);
    group.bench_function(id, |bencher| {
        open::iterate(bencher, bench, &mut |pass| run.record(pass));
    });
    group.finish();
}
