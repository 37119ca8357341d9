//! What tests of attention rows have in common.

use crate::compare::bench::Bench;
use crate::device::GpuQkv;
use crate::progress::Progress;

/// Writes zeros over v after every round, as somebody else could while runs are timed.
pub(super) fn overwriting(bench: &Bench, qkv: &GpuQkv) -> impl FnMut(Progress) {
    let zeros = vec![0_u8; 4 * qkv.v.len()];
    move |progress| {
        if let Progress::Rounds(..) = progress {
            let queue = bench.gpu.queue();
            queue.write_buffer(qkv.v.buffer(), qkv.v.offset(), &zeros);
        }
    }
}
