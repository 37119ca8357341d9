//! `bsr_sddmm`, the gradient of block-sparse weights, and the gradient of x beside it: `cargo bench -p sparse-bench --bench bsr_sddmm`.

#[path = "support/open.rs"]
mod open;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sparse_core::prune::BlockBudget;
use sparse_core::synthetic::normal_matrix;
use sparse_core::{BsrMatrix, DType, Matrix};
use sparse_gpu::{BsrMatmul, BsrSddmm, Transposed};

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
    let mut dx = gpu
        .empty_tensor(&[SIZE, SIZE], DType::F32)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("bsr_sddmm");
    group.throughput(Throughput::Elements((SIZE * SIZE * SIZE) as u64));
    group.sample_size(10);
    for (block, density) in [(32, 0.25), (64, 0.125), (8, 0.25)] {
        let block = (block, block);
        let pruned = BsrMatrix::prune(&matrix(3), block, BlockBudget::Density(density))
            .unwrap_or_else(|error| panic!("{error}"));
        let mut w = gpu
            .upload_bsr(&pruned)
            .unwrap_or_else(|error| panic!("{error}"));
        let name = format!("{}x{}@{density}", block.0, block.1);
        let problem = BsrMatmul {
            transposed: Transposed {
                w: true,
                ..Transposed::NONE
            },
            ..BsrMatmul::new(SIZE, SIZE, SIZE, block)
        };
        let plan = gpu
            .plan_blocking(&problem)
            .unwrap_or_else(|error| panic!("{error}"));
        group.bench_function(BenchmarkId::new("dx", &name), |bencher| {
            open::iterate(bencher, &bench, &mut |pass| {
                plan.record(pass, &w, &dy, &mut dx)
            });
        });
        let plan = gpu
            .plan_blocking(&BsrSddmm::new(SIZE, SIZE, SIZE, block))
            .unwrap_or_else(|error| panic!("{error}"));
        group.bench_function(BenchmarkId::new("dw", &name), |bencher| {
            open::iterate(bencher, &bench, &mut |pass| {
                plan.record(pass, &dy, &x, &mut w)
            });
        });
    }
    group.finish();
}

criterion_group!(group, benches);
criterion_main!(group);
