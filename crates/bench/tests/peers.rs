//! Other libraries on whatever adapter the machine has. With the feature `peers` they run; without it the option says how to get them.

#[cfg(not(feature = "peers"))]
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

#[cfg(not(feature = "peers"))]
#[test]
fn without_the_feature_the_option_says_how_to_build_with_it() {
    support::refused(
        "compare --preset peers --peers",
        &["was built without other libraries", "--features peers"],
    );
}

#[cfg(feature = "peers")]
mod libraries {
    use std::time::Duration;

    use sparse_bench::cli::{Operation, Pattern};
    use sparse_bench::compare::attention::{self, AttentionJob, Contest, planted};
    use sparse_bench::compare::bench::Bench;
    use sparse_bench::compare::matmul::{self, Baseline, MatmulJob};
    use sparse_bench::peers::Outcome;
    use sparse_bench::record::Record;
    use sparse_core::Activation;
    use sparse_core::attention::AttentionShape;
    use sparse_core::synthetic::normal_matrix;
    use sparse_core::xattention::XAttentionOptions;
    use sparse_gpu::{Gpu, GpuOptions, Tier};
    use sparse_measure::Timing;

    fn bench() -> Bench {
        let options = GpuOptions {
            adapter: std::env::var("SPARSE_ADAPTER").ok(),
            ..GpuOptions::default()
        };
        let gpu = Gpu::open_blocking(&options).unwrap();
        let mut bench = Bench::new(gpu, Duration::from_millis(1));
        bench.open_peers(&[]).unwrap();
        bench
    }

    /// The best of them is the peer, all are named, and those whose names hold `expected` have run.
    fn assert_contest(record: &Record, expected: &[&str]) {
        let lines: Vec<String> = record.contenders.iter().map(|c| c.words()).collect();
        let lines = lines.join("\n");
        let peer = record.peer.as_ref().unwrap_or_else(|| panic!("{lines}"));
        assert_eq!(record.timing, Timing::Wall);
        assert_eq!(peer.name, record.contenders[0].name);
        assert!(
            matches!(record.contenders[0].outcome, Outcome::Raced(ms) if ms == peer.ms),
            "{lines}"
        );
        for part in expected {
            let ran = record.contenders.iter().any(|contender| {
                contender.name.contains(part)
                    && matches!(contender.outcome, Outcome::Raced(_) | Outcome::Slower(_))
            });
            assert!(ran, "{part} did not run:\n{lines}");
        }
    }

    fn multiply(pattern: &str) -> Record {
        let pattern: Pattern = pattern.parse().unwrap();
        let (operation, baseline) = match pattern {
            Pattern::Dense => (Operation::DenseMatmul, Baseline::Own),
            Pattern::Nm(_) => (Operation::NmMatmul, Baseline::Dense),
            Pattern::Bsr { .. } => (Operation::BsrMatmul, Baseline::Dense),
        };
        let job = MatmulJob {
            operation,
            w: normal_matrix::<f32>(64, 128, 1).unwrap(),
            x: normal_matrix(96, 128, 2).unwrap(),
            bias: None,
            activation: Activation::None,
            pattern,
            tier: Tier::Portable,
            baseline,
        };
        matmul::measure(&bench(), job, &mut |_, _| ())
            .unwrap()
            .record
    }

    #[test]
    fn cubek_and_numr_multiply_dense_weights() {
        assert_contest(
            &multiply("dense"),
            &["cubek matmul_simple_unit", "numr matmul of all weights"],
        );
    }

    /// All weights, zeros included, by the same kernels as dense ones: where those are fast, no other strategy is.
    #[test]
    fn numr_and_cubek_multiply_sparse_weights() {
        let cubek = "cubek matmul_simple_unit_max_tile_size of all weights";
        let all = ["numr spmm CSR", "numr spmm COO", "numr dsmm CSC", cubek];
        assert_contest(&multiply("bsr:16x16@0.25"), &all);
        assert_contest(&multiply("2:4"), &["numr sparse_24_matmul", all[0], cubek]);
    }

    #[test]
    fn strategies_that_were_left_out_are_told() {
        let mut bench = bench();
        let told = "; only strategies whose names contain one of [\"unit\", \"CSR\"] ran";
        assert!(!bench.peers.as_ref().unwrap().words().contains("only"));
        bench
            .open_peers(&["unit".to_owned(), "CSR".to_owned()])
            .unwrap();
        let words = bench.peers.unwrap().words();
        assert!(words.contains(told), "{words}");
    }

    #[test]
    fn cubek_attends() {
        let shape = AttentionShape::try_new(1, 2, 1, 128, 128, 64).unwrap();
        let inputs = planted::<f32>(shape).unwrap();
        let job = AttentionJob {
            inputs: &inputs,
            shape,
            options: &XAttentionOptions::default(),
            contest: Contest::Dense,
        };
        let result = attention::measure(&bench(), job, &mut |_| ()).unwrap();
        assert_contest(&result.record, &["cubek attention unit"]);
    }
}
