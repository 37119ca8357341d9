//! The device that a bench runs on.

use criterion::Bencher;
use sparse_bench::compare::bench::{Bench, Recorder};
use sparse_gpu::{Gpu, GpuOptions};

/// `SPARSE_ADAPTER` chooses an adapter by a part of its name.
pub(crate) fn open() -> Bench {
    let options = GpuOptions {
        adapter: std::env::var("SPARSE_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    let gpu = Gpu::open_blocking(&options).unwrap_or_else(|error| panic!("{error}"));
    Bench::new(gpu, std::time::Duration::from_secs(1))
}

/// Times `record`, on the device where it has timestamps.
pub(crate) fn iterate(bencher: &mut Bencher<'_>, bench: &Bench, record: Recorder<'_>) {
    bencher.iter_custom(|iterations| {
        (0..iterations)
            .map(|_| bench.run_once(record))
            .sum::<anyhow::Result<std::time::Duration>>()
            .unwrap_or_else(|error| panic!("{error:#}"))
    });
}
