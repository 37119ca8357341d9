//! What uploads leave in memory.

use sparse_core::{DType, Matrix};
use sparse_gpu::wgpu;

use crate::support::gpu::open;

const MIB: usize = 1 << 20;

/// A program that loads a model submits nothing until it is there.
#[test]
fn uploads_do_not_keep_a_second_copy() {
    let gpu = open(None).unwrap();
    let allocated = || {
        let wait = wgpu::PollType::wait_indefinitely();
        gpu.device().poll(wait).unwrap();
        let report = gpu.device().generate_allocator_report();
        report.map(|report| report.total_allocated_bytes)
    };
    let Some(before) = allocated() else {
        println!("this backend does not say how much memory it has allocated");
        return;
    };
    // Of several pieces, and together more than twice what may wait.
    let source = Matrix::new(48, MIB / 4, vec![1.0_f32; 12 * MIB]);
    let uploaded: Vec<_> = (0..6).map(|_| gpu.upload(&source).unwrap()).collect();
    let held = usize::try_from(allocated().unwrap() - before).unwrap();
    assert!(held >= 6 * 48 * MIB, "{} MiB", held / MIB);
    assert!(held <= (6 * 48 + 64) * MIB, "{} MiB", held / MIB);
    for tensor in [&uploaded[0], &uploaded[5]] {
        assert_eq!(tensor.dtype(), DType::F32);
        let read = gpu.read_blocking::<f32>(tensor).unwrap();
        assert!(read.data() == source.data(), "not what was uploaded");
    }
}
