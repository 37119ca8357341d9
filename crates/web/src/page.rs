//! What the page's script calls.

use std::cell::RefCell;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};
use wasm_bindgen_futures::JsFuture;

use sparse_gpu::AdapterClass;

use crate::bench::Bench;
use crate::device::{open, timing_words};
use crate::record::{Origin, Record, to_csv, to_json, wrong_rows};
use crate::rounds::{Progress, Stopped};
use crate::rows::{Row, rows};

/// The version of these crates.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// The commit that the page was built from, where `cargo xtask web` knew it.
#[wasm_bindgen]
pub fn commit() -> Option<String> {
    known_commit().map(Into::into)
}

fn known_commit() -> Option<&'static str> {
    option_env!("SPARSE_COMMIT").filter(|commit| !commit.is_empty())
}

/// A run on one adapter: its rows, and the records of those that have been measured.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Run {
    bench: Bench,
    rows: Vec<Row>,
    origin: Origin,
    records: RefCell<Vec<Record>>,
}

/// A measured row as the table shows it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Shown {
    cells: Vec<String>,
    is_right: bool,
    is_gain: bool,
    kernel: String,
    faults: Vec<String>,
}

#[wasm_bindgen]
impl Shown {
    /// From density to spread.
    pub fn cells(&self) -> Vec<String> {
        self.cells.clone()
    }

    /// Whether every checked element lies within its bound.
    pub fn is_right(&self) -> bool {
        self.is_right
    }

    /// Whether the sparse side is right and the faster one.
    pub fn is_gain(&self) -> bool {
        self.is_gain
    }

    /// Kernel and tile.
    pub fn kernel(&self) -> String {
        self.kernel.clone()
    }

    /// What is wrong with which contender; nothing where the row is right.
    pub fn faults(&self) -> Vec<String> {
        self.faults.clone()
    }
}

#[wasm_bindgen]
impl Run {
    /// Opens the adapter and finds sizes that suit it. `adapter` and `browser` are their names for the records, `vendor` is that of `GPUAdapterInfo`,
    /// which decides the default tiles, `date` is ISO 8601; `watch` is called with how far that is, in words, and answers (in a promise, or at once) whether it shall go on.
    ///
    /// # Errors
    /// Where there is no adapter or the device fails; where `watch` says so.
    pub async fn start(
        adapter: String,
        vendor: &str,
        browser: String,
        date: String,
        watch: Function,
    ) -> Result<Self, JsError> {
        let gpu = open().await.map_err(told)?;
        let bench = Bench::new(match gpu.class() {
            // What wgpu learns of a browser's adapter is whether it is software.
            AdapterClass::Other => gpu.with_class(AdapterClass::of_web_vendor(vendor)),
            _ => gpu,
        });
        let sizes = bench
            .sizes(&async |progress| goes_on(&watch, progress).await)
            .await
            .map_err(told)?;
        let summary = bench.gpu.adapter();
        Ok(Self {
            rows: rows(sizes),
            origin: Origin {
                adapter,
                driver: summary.driver.clone(),
                backend: summary.backend.clone(),
                browser,
                date,
                version: env!("CARGO_PKG_VERSION"),
                commit: known_commit(),
            },
            bench,
            records: RefCell::default(),
        })
    }

    /// How times are taken, in words.
    pub fn timing(&self) -> String {
        timing_words(self.bench.timer.timing()).into()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Operation, shape, type and pattern of a row.
    ///
    /// # Errors
    /// Where there is no such row.
    pub fn words(&self, row: usize) -> Result<Vec<String>, JsError> {
        let row = self.row(row)?;
        Ok(vec![
            row.operation().into(),
            row.shape().map_err(|error| told(error.into()))?.to_string(),
            row.dtype().name().into(),
            row.pattern(),
        ])
    }

    /// Measures a row, whose record is kept; nothing where `watch` has stopped it.
    ///
    /// # Errors
    /// Where there is no such row, or planning or the device fails.
    pub async fn measure(&self, row: usize, watch: Function) -> Result<Option<Shown>, JsError> {
        let row = self.row(row)?;
        let watch = async |progress| goes_on(&watch, progress).await;
        let measured = match self.bench.measure(row, &watch).await {
            Ok(measured) => measured,
            Err(error) if error.is::<Stopped>() => return Ok(None),
            Err(error) => return Err(told(error)),
        };
        let timing = self.bench.timer.timing();
        let record = Record::of(row, measured, timing, self.origin.clone()).map_err(told)?;
        let shown = Shown {
            cells: record.cells(),
            is_right: record.is_right(),
            is_gain: record.is_gain(),
            faults: record.faults.clone(),
            kernel: format!("{}, tile {}", record.kernel, record.tile),
        };
        self.records.borrow_mut().push(record);
        Ok(Some(shown))
    }

    /// How many of the rows so far are wrong, and what that means; nothing where all are right.
    pub fn wrong_rows(&self) -> Option<String> {
        wrong_rows(&self.records.borrow())
    }

    /// The records so far as JSON.
    ///
    /// # Errors
    /// None for records made of numbers and text; the serialiser's otherwise.
    pub fn json(&self) -> Result<String, JsError> {
        Ok(to_json(&self.records.borrow())?)
    }

    /// The records so far as CSV.
    ///
    /// # Errors
    /// None for text in memory; the writer's otherwise.
    pub fn csv(&self) -> Result<String, JsError> {
        to_csv(&self.records.borrow()).map_err(told)
    }
}

impl Run {
    fn row(&self, at: usize) -> Result<&Row, JsError> {
        let count = self.rows.len();
        let missing = || {
            JsError::new(&format!(
                "there is no row {at}: they are 0 to {}",
                count - 1
            ))
        };
        self.rows.get(at).ok_or_else(missing)
    }
}

/// The error with all its causes.
fn told(error: anyhow::Error) -> JsError {
    JsError::new(&format!("{error:#}"))
}

/// What the page answers; an answer that fails stops the run.
async fn goes_on(watch: &Function, progress: Progress) -> bool {
    let words = JsValue::from(progress.to_string());
    let Ok(answer) = watch.call1(&JsValue::NULL, &words) else {
        return false;
    };
    let answer = JsFuture::from(Promise::resolve(&answer)).await;
    answer.is_ok_and(|answer| answer.is_truthy())
}
