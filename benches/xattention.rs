//! `xattention`, score, selection and attention end to end, at the shape of the quick preset: `cargo bench -p sparse-bench --bench xattention`.

#[path = "support/attention.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use sparse_bench::cli::Operation;
use sparse_bench::device::XAttentionRun;

fn benches(criterion: &mut Criterion) {
    support::attention(
        criterion,
        ("xattention", Operation::Xattention),
        false,
        XAttentionRun::record,
    );
}

criterion_group!(group, benches);
criterion_main!(group);
