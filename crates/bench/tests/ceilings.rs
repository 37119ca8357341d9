//! The ceilings of whatever adapter the machine has; a software one is enough.

use sparse_bench::ceilings::{Bound, Ceilings, Roofline};
use sparse_bench::device::Timer;
use sparse_gpu::{Gpu, GpuOptions};
use sparse_measure::Work;

#[test]
fn every_ceiling_is_measured_by_a_kernel_that_did_its_work() {
    let options = GpuOptions {
        adapter: std::env::var("SPARSE_ADAPTER").ok(),
        ..GpuOptions::default()
    };
    let gpu = Gpu::open_blocking(&options).unwrap();
    // An error names a kernel whose sums say that it did less.
    let ceilings = Ceilings::measure(&gpu, &Timer::new(&gpu)).unwrap();
    let rates = ceilings.read.iter().map(|read| read.bytes_per_second);
    let rates = rates.chain([
        ceilings.fmas_per_second,
        ceilings.workgroup_bytes_per_second,
    ]);
    // From an emulated device on a busy machine to the largest there is.
    for rate in rates {
        assert!((1e7..1e17).contains(&rate), "{ceilings:?}");
    }
    let sizes: Vec<f64> = ceilings.read.iter().map(|read| read.working_set).collect();
    assert!(sizes.is_sorted(), "{ceilings:?}");
    // Where the last caches of processors and GPUs end, a row is held against a buffer of at most twice its size.
    let mebibytes: Vec<f64> = sizes.iter().map(|size| size / f64::from(1 << 20)).collect();
    assert_eq!(mebibytes, [2.0, 16.0, 32.0, 64.0, 128.0]);
    let work = Work {
        fmas: ceilings.fmas_per_second,
        bytes: 1.0,
        working_set: 1.0,
    };
    let row = Roofline::of(&ceilings, work, 2000.0);
    assert_eq!(row.bound, Bound::Compute);
    assert!((row.share - 0.5).abs() < 1e-12, "{row:?}");
}
