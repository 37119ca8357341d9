//! `xattention_select` at the shape of the quick preset: `cargo bench -p sparse-bench --bench xattention_select`.

#[path = "support/attention.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use sparse_bench::cli::Operation;
use sparse_bench::device::XAttentionRun;

fn benches(criterion: &mut Criterion) {
    support::attention(
        criterion,
        ("xattention_select", Operation::Xattention),
        false,
        XAttentionRun::record_select,
    );
}

criterion_group!(group, benches);
criterion_main!(group);
