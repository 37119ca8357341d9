//! `bsr_matmul` at the shapes of the quick preset: `cargo bench -p sparse-bench --bench bsr_matmul`; and what a block row that has every block
//! costs against block rows of one length: the same with `-- balance` behind it.

#[path = "support/mod.rs"]
mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sparse_bench::cli::Operation;
use sparse_core::synthetic::normal_matrix;
use sparse_core::{BlockSelection, BsrMatrix};
use sparse_gpu::BsrMatmul;
use support::open;

fn benches(criterion: &mut Criterion) {
    support::matmul(criterion, Operation::BsrMatmul);
}

fn balance(criterion: &mut Criterion) {
    even_against_one_full(criterion).unwrap_or_else(|error| panic!("{error:#}"));
}

/// 1024^3 at density 0.25: as many blocks in block rows of one length, and with one block row that has all of its blocks.
fn even_against_one_full(criterion: &mut Criterion) -> anyhow::Result<()> {
    const N: usize = 1024;
    let bench = open::open();
    let gpu = &bench.gpu;
    let x = gpu.upload(&normal_matrix::<f32>(N, N, 2)?)?;
    let mut y = gpu.empty_tensor(&[N, N], sparse_core::DType::F32)?;
    let mut group = criterion.benchmark_group("bsr_matmul balance");
    group.throughput(Throughput::Elements((N * N * N) as u64));
    group.sample_size(10);
    for block in [32, 64] {
        let rows = N / block;
        let plan = gpu.plan_blocking(&BsrMatmul::new(N, N, N, (block, block)))?;
        for (name, lengths) in [("even", vec![rows / 4; rows]), ("one full", one_full(rows))] {
            assert_eq!(lengths.iter().sum::<usize>(), rows * rows / 4);
            let w = normal_matrix::<f32>(N, N, 1)?;
            let w = BsrMatrix::from_selection(&w, &selection(&lengths, block))?;
            let w = gpu.upload_bsr(&w)?;
            group.bench_function(
                BenchmarkId::new(format!("{block}x{block}"), name),
                |bencher| {
                    open::iterate(bencher, &bench, &mut |pass| {
                        plan.record(pass, &w, &x, &mut y)
                    });
                },
            );
        }
    }
    group.finish();
    Ok(())
}

/// A quarter of all blocks, of which the first block row has as many as there are; the others share the rest.
fn one_full(rows: usize) -> Vec<usize> {
    let (rest, others) = (rows * rows / 4 - rows, rows - 1);
    let of_other = |i: usize| rest / others + usize::from(i < rest % others);
    std::iter::once(rows)
        .chain((0..others).map(of_other))
        .collect()
}

/// Blocks spread over each block row, each block row's one further than those of the one before.
fn selection(lengths: &[usize], block: usize) -> BlockSelection {
    let rows = lengths.len();
    let (mut indptr, mut indices) = (vec![0_u32], Vec::new());
    for (row, &length) in lengths.iter().enumerate() {
        let mut columns: Vec<_> = (0..length)
            .map(|i| (i * rows / length + row) % rows)
            .collect();
        columns.sort_unstable();
        indices.extend(columns.into_iter().map(|c| u32::try_from(c).unwrap_or(0)));
        indptr.push(u32::try_from(indices.len()).unwrap_or(0));
    }
    BlockSelection::new(rows * block, rows * block, (block, block), indptr, indices)
}

criterion_group!(group, benches, balance);
criterion_main!(group);
