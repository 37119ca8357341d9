//! Made-up records for the tests of tables and reports.

use sparse_measure::{Shape, Timing, Work};

use crate::ceilings::{Bound, Ceilings, ReadCeiling, Roofline};
use crate::record::{Peer, Record};

/// A row whose derived numbers agree with each other.
pub(crate) fn nm_matmul() -> Record {
    Record {
        op: "nm_matmul",
        shape: Shape::matmul(1024, 1024, 1024),
        dtype: "f32",
        pattern: "8:2:8".into(),
        density: 0.25,
        adapter: "llvmpipe <LLVM 15>".into(),
        driver: "llvmpipe Mesa 22.3.6".into(),
        backend: "vulkan".into(),
        tier: "Portable".into(),
        kernel: "matmul/nm".into(),
        tile: "64x64x16".into(),
        timing: Timing::Gpu,
        dense_ms: Some(120.0),
        sparse_ms: 32.0,
        speedup: Some(3.75),
        ideal_speedup: Some(4.0),
        share_of_ideal: Some(0.9375),
        peer: Some(Peer {
            name: "cubek".into(),
            ms: 140.0,
            speedup: 4.375,
            spread: 0.02,
        }),
        max_err_over_bound: 0.21,
        faults: Vec::new(),
        runs: 17,
        spread: 0.03,
        weight_copies: Some(1),
        roofline: Some(Roofline {
            work: Work {
                fmas: 1e9,
                bytes: 1e6,
                working_set: 1e6,
            },
            ceiling_ms: 16.0,
            bound: Bound::Compute,
            share: 0.5,
        }),
        dense_kernel: Some("matmul/dense".into()),
        dense_tile: Some("32x64x16".into()),
        is_tuned: true,
        class: "software-avx512",
        source: "generated".into(),
        contenders: Vec::new(),
    }
}

/// A slow device with a cache of 1 MB.
pub(crate) fn ceilings() -> Ceilings {
    let read = |working_set, bytes_per_second| ReadCeiling {
        working_set,
        bytes_per_second,
    };
    Ceilings {
        fmas_per_second: 1e9,
        read: vec![read(1e6, 4e9), read(4e6, 1e9)],
        workgroup_bytes_per_second: 8e9,
    }
}

/// Rows of several operations, one of them slower than dense.
pub(crate) fn many() -> Vec<Record> {
    let row = |op, pattern: &str, density: f64, speedup: f64| {
        let base = nm_matmul();
        Record {
            op,
            pattern: pattern.into(),
            density,
            speedup: Some(speedup),
            sparse_ms: 120.0 / speedup,
            ideal_speedup: (density < 1.0).then_some(1.0 / density),
            share_of_ideal: (density < 1.0).then_some(speedup * density),
            peer: None,
            ..base
        }
    };
    let attention = Record {
        shape: Shape::new(&[
            ("batch", 1),
            ("heads", 2),
            ("kv_heads", 1),
            ("q_len", 4096),
            ("k_len", 4096),
            ("head_dim", 64),
            ("block", 128),
            ("stride", 8),
        ]),
        ideal_speedup: Some(1.0 / (0.16 + 1.0 / 16.0)),
        share_of_ideal: Some(3.1 * (0.16 + 1.0 / 16.0)),
        ..row("xattention", "block:128 causal", 0.16, 3.1)
    };
    // Of its dense work 0.9 is that of items which are scored.
    let packed = Record {
        shape: Shape::packed(&[(2000, 2000), (77, 77)], [4, 1, 128], [128, 16]),
        ideal_speedup: Some(1.0 / (0.3 + 0.9 / 32.0)),
        share_of_ideal: Some(2.2 * (0.3 + 0.9 / 32.0)),
        ..row("varlen_xattention", "block:128 causal auto", 0.35, 2.2)
    };
    vec![
        row("dense_matmul", "dense", 1.0, 7.4),
        row("nm_matmul", "2:4", 0.5, 0.93),
        row("nm_matmul", "8:2:4", 0.5, 1.88),
        nm_matmul(),
        row("nm_matmul", "8:2:16", 0.125, 6.9),
        row("bsr_matmul", "bsr:64x64@0.125", 0.125, 7.5),
        row("bsr_matmul", "bsr:32x32@0.25", 0.25, 3.6),
        row("block_attention", "block:128 causal", 0.16, 5.1),
        attention,
        packed,
    ]
}
