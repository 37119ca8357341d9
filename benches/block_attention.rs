//! `block_attention`, over a mask and dense, of many queries and of one as in decoding, at the shapes of the quick preset:
//! `cargo bench -p sparse-bench --bench block_attention`.

#[path = "support/attention.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use sparse_bench::cli::Operation;
use sparse_bench::device::XAttentionRun;

fn benches(criterion: &mut Criterion) {
    support::attention(
        criterion,
        ("block_attention", Operation::BlockAttention),
        true,
        XAttentionRun::record_attend,
    );
}

criterion_group!(group, benches);
criterion_main!(group);
