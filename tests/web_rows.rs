//! The rows of the page that measures in a browser: each within its error bound, with ratios that are numbers; what is wrong or stopped is told.
//!
//! Natively on the adapter of the other tests, and in a browser as part of `cargo xtask browser`.

use std::cell::Cell;

use sparse_gpu::Gpu;
use sparse_gpu::sparse_core::DType;
use sparse_measure::Budget;
use sparse_measure::Timing;
use sparse_web::bench::Bench;
use sparse_web::device::Timer;
use sparse_web::record::{Origin, Record};
use sparse_web::rounds::{Progress, Stopped};
use sparse_web::rows::{AttentionRow, ProductRow, Row, Sizes, rows};

/// Sides that tiles do not divide, four blocks of attention.
const TINY: Sizes = Sizes {
    side: 100,
    vector: 200,
    tokens: 512,
    heads: [2, 1],
};

/// Two rounds a row.
fn bench(gpu: Gpu) -> Bench {
    Bench {
        budget: Budget {
            least_rounds: 2,
            most_rounds: 2,
            ..Budget::of(std::time::Duration::ZERO)
        },
        ..Bench::new(gpu)
    }
}

fn origin() -> Origin {
    Origin {
        adapter: String::new(),
        driver: String::new(),
        backend: String::new(),
        browser: String::new(),
        date: String::new(),
        version: "",
        commit: None,
    }
}

async fn assert_row(bench: &Bench, row: &Row) {
    let words = format!("{} {}", row.operation(), row.pattern());
    let rounds = Cell::new(0);
    let watch = async |progress| {
        if let Progress::Rounds(done, all) = progress {
            assert_eq!(all, 2);
            rounds.set(done);
        }
        true
    };
    let measured = bench.measure(row, &watch).await;
    let measured = measured.unwrap_or_else(|error| panic!("{words}: {error:#}"));
    assert_eq!(rounds.get(), 2, "{words}");
    let record = Record::of(row, measured, bench.timer.timing(), origin()).unwrap();
    assert!(record.is_right(), "{words}: {record:?}");
    assert!(record.max_err_over_bound > 0.0, "{words}: nothing rounds?");
    let is_dense = row.operation() == "dense_matmul";
    assert_eq!(record.density < 1.0, !is_dense, "{words}: {record:?}");
    // Where nothing is skipped there is no ideal.
    let ideals = [record.ideal_speedup, record.share_of_ideal];
    assert_eq!(
        ideals.map(|ideal| ideal.is_none()),
        [is_dense; 2],
        "{words}: {record:?}"
    );
    let numbers = [record.speedup, record.dense_ms, record.sparse_ms];
    for number in numbers.into_iter().chain(ideals.into_iter().flatten()) {
        assert!(number.is_finite() && number > 0.0, "{words}: {record:?}");
    }
    assert!(
        record.ideal_speedup.is_none_or(|ideal| ideal > 1.0),
        "{words}: {record:?}"
    );
}

async fn every_row_is_right(gpu: Gpu) {
    let bench = bench(gpu);
    for row in rows(TINY) {
        assert_row(&bench, &row).await;
    }
}

async fn rows_are_timed_by_the_clock_too(gpu: Gpu) {
    let bench = Bench {
        timer: Timer::by_the_wall(&gpu),
        ..bench(gpu)
    };
    assert_eq!(bench.timer.timing(), Timing::Wall);
    for row in &rows(TINY)[3..4] {
        assert_row(&bench, row).await;
    }
}

async fn a_stopped_row_says_so(gpu: Gpu) {
    let bench = bench(gpu);
    for stop_at in [
        Progress::Step("compile and run once"),
        Progress::Rounds(1, 2),
    ] {
        let watch = async |progress| progress != stop_at;
        let stopped = bench.measure(&rows(TINY)[3], &watch).await.unwrap_err();
        assert!(stopped.is::<Stopped>(), "{stopped:#}");
    }
}

async fn a_row_that_cannot_run_is_an_error_and_the_next_one_runs(gpu: Gpu) {
    let bench = bench(gpu);
    let watch = async |_| true;
    let Row::Product(product) = rows(TINY).swap_remove(0) else {
        panic!("the first row is a product");
    };
    let bf16 = Row::Product(ProductRow {
        dtype: DType::Bf16,
        ..product
    });
    let error = bench.measure(&bf16, &watch).await.unwrap_err();
    assert!(error.to_string().contains("f32 or f16"), "{error:#}");
    let Some(Row::Attention(attention)) = rows(TINY).pop() else {
        panic!("the last row is attention");
    };
    let heads = Row::Attention(AttentionRow {
        heads: 3,
        kv_heads: 2,
        ..attention
    });
    let error = bench.measure(&heads, &watch).await.unwrap_err();
    assert!(error.to_string().contains("heads"), "{error:#}");
    assert_row(&bench, &rows(TINY)[1]).await;
}

#[cfg(not(target_arch = "wasm32"))]
#[path = "support/gpu.rs"]
mod gpu;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use pollster::block_on;

    fn device() -> sparse_gpu::Gpu {
        super::gpu::gpu().clone()
    }

    #[test]
    fn every_row_is_right() {
        block_on(super::every_row_is_right(device()));
    }

    #[test]
    fn rows_are_timed_by_the_clock_too() {
        block_on(super::rows_are_timed_by_the_clock_too(device()));
    }

    #[test]
    fn a_stopped_row_says_so() {
        block_on(super::a_stopped_row_says_so(device()));
    }

    #[test]
    fn a_row_that_cannot_run_is_an_error_and_the_next_one_runs() {
        block_on(super::a_row_that_cannot_run_is_an_error_and_the_next_one_runs(device()));
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use sparse_web::device::open;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    async fn every_row_is_right() {
        super::every_row_is_right(open().await.unwrap()).await;
    }

    #[wasm_bindgen_test]
    async fn rows_are_timed_by_the_clock_too() {
        super::rows_are_timed_by_the_clock_too(open().await.unwrap()).await;
    }

    #[wasm_bindgen_test]
    async fn a_stopped_row_says_so() {
        super::a_stopped_row_says_so(open().await.unwrap()).await;
    }

    #[wasm_bindgen_test]
    async fn a_row_that_cannot_run_is_an_error_and_the_next_one_runs() {
        let gpu = open().await.unwrap();
        super::a_row_that_cannot_run_is_an_error_and_the_next_one_runs(gpu).await;
    }
}
