//! What tests of attention rows have in common.

use sparse_gpu::GpuTensor;

use crate::compare::bench::Bench;
use crate::progress::Progress;

/// Writes zeros over v after every round, as somebody else could while runs are timed.
pub(super) fn overwriting(bench: &Bench, v: &GpuTensor) -> impl FnMut(Progress) {
    let zeros = vec![0_u8; v.dtype().bytes() * v.len()];
    move |progress| {
        if let Progress::Rounds(..) = progress {
            let queue = bench.gpu.queue();
            queue.write_buffer(v.buffer(), v.offset(), &zeros);
        }
    }
}
