//! `nm_matmul` at the shapes of the quick preset: `cargo bench -p sparse-bench --bench nm_matmul`.

#[path = "support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use sparse_bench::cli::Operation;

fn benches(criterion: &mut Criterion) {
    support::matmul(criterion, Operation::NmMatmul);
}

criterion_group!(group, benches);
criterion_main!(group);
