//! `xattention_score` at the shape of the quick preset: `cargo bench -p sparse-bench --bench xattention_score`.

#[path = "support/attention.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use sparse_bench::cli::Operation;
use sparse_bench::device::XAttentionRun;

fn benches(criterion: &mut Criterion) {
    support::attention(
        criterion,
        ("xattention_score", Operation::Xattention),
        false,
        XAttentionRun::record_score,
    );
}

criterion_group!(group, benches);
criterion_main!(group);
