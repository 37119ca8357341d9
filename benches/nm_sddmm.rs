//! `nm_sddmm`, the gradient of N:M weights, and the dense product of the same gradient beside it: `cargo bench -p sparse-bench --bench nm_sddmm`.

#[path = "support/open.rs"]
mod open;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sparse_core::synthetic::normal_matrix;
use sparse_core::{DType, Matrix, Nm, NmMatrix};
use sparse_gpu::{DenseMatmul, NmSddmm, Transposed};

const SIZE: usize = 1024;

fn matrix(seed: u64) -> Matrix<f32> {
    normal_matrix(SIZE, SIZE, seed).unwrap_or_else(|error| panic!("{error}"))
}

fn benches(criterion: &mut Criterion) {
    let bench = open::open();
    let gpu = &bench.gpu;
    let upload = |seed| {
        gpu.upload(&matrix(seed))
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let (dy, x) = (upload(1), upload(2));
    let mut group = criterion.benchmark_group("nm_sddmm");
    group.throughput(Throughput::Elements((SIZE * SIZE * SIZE) as u64));
    group.sample_size(10);

    let dense = DenseMatmul {
        transposed: Transposed {
            x: true,
            w: true,
            y: false,
        },
        ..DenseMatmul::new(SIZE, SIZE, SIZE)
    };
    let plan = gpu
        .plan_blocking(&dense)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut dw = gpu
        .empty_tensor(&[SIZE, SIZE], DType::F32)
        .unwrap_or_else(|error| panic!("{error}"));
    group.bench_function("dense", |bencher| {
        open::iterate(bencher, &bench, &mut |pass| {
            plan.record(pass, &x, &dy, &mut dw)
        });
    });

    for (v, n, m) in [(8, 2, 4), (8, 2, 8), (32, 2, 8), (1, 2, 4)] {
        let pattern = Nm::try_new(n, m, v).unwrap_or_else(|error| panic!("{error}"));
        let pruned = NmMatrix::prune(&matrix(3), pattern).unwrap_or_else(|error| panic!("{error}"));
        let w = gpu
            .upload_nm(&pruned)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut dw = gpu
            .empty_nm_like(&w, DType::F32)
            .unwrap_or_else(|error| panic!("{error}"));
        let plan = gpu
            .plan_blocking(&NmSddmm::new(SIZE, SIZE, SIZE, pattern))
            .unwrap_or_else(|error| panic!("{error}"));
        group.bench_function(BenchmarkId::from_parameter(pattern), |bencher| {
            open::iterate(bencher, &bench, &mut |pass| {
                plan.record(pass, &dy, &x, &mut dw)
            });
        });
    }
    group.finish();
}

criterion_group!(group, benches);
criterion_main!(group);
