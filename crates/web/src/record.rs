//! One record per measured row: the fields of `sparse-bench compare`, and where the row was measured.

use anyhow::Context;
use serde::Serialize;
use sparse_measure::{Shape, Timing, counted, milliseconds};

use crate::bench::Measured;
use crate::rows::Row;

/// A row as it is downloaded. Fields that the records of `sparse-bench` have are named and defined as there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Name of the operation.
    pub op: &'static str,
    /// Sizes by name.
    pub shape: Shape,
    /// Storage type of the operands.
    pub dtype: &'static str,
    /// What is sparse.
    pub pattern: String,
    /// Share of the weights or of the reachable blocks that is kept.
    pub density: f64,
    /// Tier of the kernels.
    pub tier: String,
    /// Kernel of the measured operation.
    pub kernel: String,
    /// Its tile.
    pub tile: String,
    /// `gpu` or `wall`.
    pub timing: &'static str,
    /// Median of the dense twin in milliseconds; for `dense_matmul` itself, of the kernel named `naive`.
    pub dense_ms: f64,
    /// Median of the measured operation in milliseconds.
    pub sparse_ms: f64,
    /// Median over the rounds of their times' ratio.
    pub speedup: f64,
    /// Best that skipping work could give; none where nothing is skipped: an ideal of 1 would read as a goal that was missed or beaten.
    pub ideal_speedup: Option<f64>,
    /// `speedup / ideal_speedup`.
    pub share_of_ideal: Option<f64>,
    /// The kernel named `naive`, for `dense_matmul`.
    pub peer: Option<Peer>,
    /// Largest ratio of error to error bound over the checked elements, those of the dense twin among them; right where it is at most 1.
    pub max_err_over_bound: f64,
    /// What is wrong with which contender, in words; empty where the row is right. Shown, and not in downloads, which have `max_err_over_bound`.
    #[serde(skip)]
    pub faults: Vec<String>,
    /// Runs of each contender.
    pub runs: usize,
    /// `(p75 - p25) / median` of the rounds' speed-ups.
    pub spread: f64,
    /// Where and when.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Another implementation of the operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// Its median in milliseconds.
    pub ms: f64,
    /// How many times as long as the measured operation it takes.
    pub speedup: f64,
}

/// Where and when a row was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Name of the adapter, as far as the browser tells.
    pub adapter: String,
    /// Driver and its version: what no browser tells.
    pub driver: String,
    /// Graphics API.
    pub backend: String,
    /// What the browser calls itself.
    pub browser: String,
    /// Date and time in UTC, ISO 8601.
    pub date: String,
    /// Version of these crates.
    pub version: &'static str,
    /// The commit that the page was built from, where it was known.
    pub commit: Option<&'static str>,
}

impl Record {
    /// The record of a row.
    ///
    /// # Errors
    /// Where the row's sizes make no problem, or it was not run against its twin.
    pub fn of(
        row: &Row,
        measured: Measured,
        timing: Timing,
        origin: Origin,
    ) -> anyhow::Result<Self> {
        let [dense, own] = &measured.runs[..] else {
            anyhow::bail!("{} contenders were run, not two", measured.runs.len());
        };
        let speedup = own.speedup_over(dense);
        let dense_ms = dense.summary().median_ms;
        let ideal_speedup = (measured.density < 1.0).then_some(measured.ideal_speedup);
        Ok(Self {
            op: row.operation(),
            shape: row.shape()?,
            dtype: row.dtype().name(),
            pattern: row.pattern(),
            density: measured.density,
            tier: measured.tier,
            kernel: measured.kernel,
            tile: measured.tile,
            timing: timing.name(),
            dense_ms,
            sparse_ms: own.summary().median_ms,
            speedup: speedup.median,
            ideal_speedup,
            share_of_ideal: ideal_speedup.map(|ideal| speedup.median / ideal),
            peer: measured.peer.map(|name| Peer {
                name,
                ms: dense_ms,
                speedup: speedup.median,
            }),
            max_err_over_bound: measured.max_err_over_bound,
            faults: measured.faults,
            runs: own.summary().runs,
            spread: speedup.spread,
            origin,
        })
    }

    /// Whether every checked element lies within its bound.
    pub fn is_right(&self) -> bool {
        self.max_err_over_bound <= 1.0
    }

    /// Whether the sparse side is right and the faster one: a wrong result may be fast for being wrong.
    pub fn is_gain(&self) -> bool {
        self.is_right() && self.speedup > 1.0
    }

    /// Density, dense ms, sparse ms, speed-up, ideal, share of it, error over bound and spread, as the table shows them.
    pub fn cells(&self) -> Vec<String> {
        let shown = |number: Option<f64>, text: fn(f64) -> String| match number {
            Some(number) => text(number),
            None => "-".into(),
        };
        vec![
            format!("{:.3}", self.density),
            milliseconds(self.dense_ms),
            milliseconds(self.sparse_ms),
            format!("{:.2}x", self.speedup),
            shown(self.ideal_speedup, |ideal| format!("{ideal:.2}x")),
            shown(self.share_of_ideal, |share| {
                format!("{:.0} %", share * 100.0)
            }),
            format!("{:.3}", self.max_err_over_bound),
            format!("{:.1} %", self.spread * 100.0),
        ]
    }

    /// Names and values of the columns of the CSV, those of `sparse-bench` first and in its order.
    fn columns(&self) -> [(&'static str, String); 27] {
        let peer = |of: fn(&Peer) -> String| self.peer.as_ref().map(of).unwrap_or_default();
        let or_empty = |number: Option<f64>| number.map(|n| n.to_string()).unwrap_or_default();
        let origin = &self.origin;
        [
            ("op", self.op.into()),
            ("shape", self.shape.to_string()),
            ("dtype", self.dtype.into()),
            ("pattern", self.pattern.clone()),
            ("density", self.density.to_string()),
            ("adapter", origin.adapter.clone()),
            ("driver", origin.driver.clone()),
            ("backend", origin.backend.clone()),
            ("tier", self.tier.clone()),
            ("kernel", self.kernel.clone()),
            ("tile", self.tile.clone()),
            ("timing", self.timing.into()),
            ("dense_ms", self.dense_ms.to_string()),
            ("sparse_ms", self.sparse_ms.to_string()),
            ("speedup", self.speedup.to_string()),
            ("ideal_speedup", or_empty(self.ideal_speedup)),
            ("share_of_ideal", or_empty(self.share_of_ideal)),
            ("peer_name", peer(|peer| peer.name.into())),
            ("peer_ms", peer(|peer| peer.ms.to_string())),
            ("peer_speedup", peer(|peer| peer.speedup.to_string())),
            ("max_err_over_bound", self.max_err_over_bound.to_string()),
            ("runs", self.runs.to_string()),
            ("spread", self.spread.to_string()),
            ("browser", origin.browser.clone()),
            ("date", origin.date.clone()),
            ("version", origin.version.into()),
            ("commit", origin.commit.unwrap_or_default().into()),
        ]
    }
}

/// How many of these rows are wrong, and what that means; nothing where all are right.
pub fn wrong_rows(records: &[Record]) -> Option<String> {
    let wrong = records.iter().filter(|record| !record.is_right()).count();
    (wrong > 0).then(|| {
        let measured = counted(records.len(), "measured row");
        format!("Wrong results in {wrong} of {measured}: times of wrong results mean nothing.")
    })
}

/// The records as a JSON array.
///
/// # Errors
/// None for records made of numbers and text; the serialiser's otherwise.
pub fn to_json(records: &[Record]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(records)
}

/// The records as CSV with a header line; nothing where there are none.
///
/// # Errors
/// Those of the CSV writer, none for text in memory.
pub fn to_csv(records: &[Record]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if let Some(first) = records.first() {
        writer.write_record(first.columns().map(|(name, _)| name))?;
    }
    for record in records {
        writer.write_record(record.columns().map(|(_, value)| value))?;
    }
    let bytes = writer.into_inner().context("the CSV was not finished")?;
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use sparse_measure::Runs;
    use std::time::Duration;

    use super::*;
    use crate::rows::{Sizes, rows};

    fn record(at: usize, density: f64) -> Record {
        let runs = |ms: [u64; 3]| Runs::of(ms.map(Duration::from_millis).to_vec()).unwrap();
        let measured = Measured {
            density,
            ideal_speedup: 1.0 / density,
            tier: "Portable".into(),
            kernel: "matmul/nm".into(),
            tile: "64x64x16".into(),
            peer: (density == 1.0).then_some("naive"),
            max_err_over_bound: 0.21,
            faults: Vec::new(),
            runs: vec![runs([120, 60, 120]), runs([40, 20, 30])],
        };
        let origin = Origin {
            adapter: "nvidia, ampere".into(),
            driver: String::new(),
            backend: "webgpu".into(),
            browser: "Mozilla/5.0 (X11; \"Linux\")".into(),
            date: "2026-11-30T12:00:00Z".into(),
            version: "0.1.0",
            commit: None,
        };
        let row = &rows(Sizes::of_side(512))[at];
        Record::of(row, measured, Timing::Gpu, origin).unwrap()
    }

    #[test]
    fn the_speedup_is_the_median_of_the_rounds_ratios() {
        let record = record(3, 0.25);
        assert_eq!((record.dense_ms, record.sparse_ms), (120.0, 30.0));
        // 3, 3 and 4 times as fast, which the ratio of the medians is not.
        assert_eq!((record.speedup, record.share_of_ideal), (3.0, Some(0.75)));
        assert_eq!((record.runs, record.spread), (3, 0.5 / 3.0));
        assert_eq!(
            record.cells(),
            [
                "0.250", "120", "30.0", "3.00x", "4.00x", "75 %", "0.210", "16.7 %"
            ]
        );
    }

    #[test]
    fn a_dense_row_names_its_peer_and_has_no_ideal() {
        let record = record(0, 1.0);
        assert_eq!(record.peer.as_ref().unwrap().name, "naive");
        assert_eq!(record.cells()[4..6], ["-", "-"]);
    }

    #[test]
    fn a_row_on_its_bound_is_right_and_one_above_or_without_number_is_not() {
        let with = |max_err_over_bound| Record {
            max_err_over_bound,
            ..record(3, 0.25)
        };
        assert!(with(1.0).is_right() && !with(1.001).is_right() && !with(f64::NAN).is_right());
    }

    #[test]
    fn a_wrong_row_is_counted_and_gains_nothing() {
        let right = record(3, 0.25);
        let wrong = Record {
            max_err_over_bound: f64::INFINITY,
            ..right.clone()
        };
        let slow = Record {
            speedup: 1.0,
            ..right.clone()
        };
        assert!(right.is_gain() && !wrong.is_gain() && !slow.is_gain());
        assert_eq!(wrong_rows(&[right.clone(), slow]), None);
        let words = |records: &[Record]| wrong_rows(records).unwrap();
        assert_eq!(
            words(&[wrong.clone(), right]),
            "Wrong results in 1 of 2 measured rows: times of wrong results mean nothing."
        );
        assert!(words(&[wrong]).starts_with("Wrong results in 1 of 1 measured row: "));
    }

    #[test]
    fn a_row_without_its_twin_is_an_error() {
        let row = &rows(Sizes::of_side(512))[0];
        let measured = Measured {
            density: 1.0,
            ideal_speedup: 1.0,
            tier: String::new(),
            kernel: String::new(),
            tile: String::new(),
            peer: None,
            max_err_over_bound: 0.0,
            faults: Vec::new(),
            runs: Vec::new(),
        };
        let origin = record(0, 1.0).origin;
        let error = Record::of(row, measured, Timing::Wall, origin).unwrap_err();
        assert_eq!(error.to_string(), "0 contenders were run, not two");
    }

    #[test]
    fn csv_and_json_have_the_same_fields() {
        let records = [record(3, 0.25), record(0, 1.0)];
        let text = to_csv(&records).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header: Vec<String> = reader.headers().unwrap().iter().map(Into::into).collect();
        let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(&lines[0][5], "nvidia, ampere");
        assert_eq!(&lines[0][23], "Mozilla/5.0 (X11; \"Linux\")");
        assert_eq!((&lines[0][17], &lines[1][17]), ("", "naive"));
        let ideals = [0, 1].map(|line: usize| [&lines[line][15], &lines[line][16]]);
        assert_eq!(ideals, [["4", "0.75"], ["", ""]]);

        let json: serde_json::Value = serde_json::from_str(&to_json(&records).unwrap()).unwrap();
        let fields = json[0].as_object().unwrap();
        let mut csv_fields: Vec<&str> = header
            .iter()
            .map(|name| name.split_once("peer_").map_or(&name[..], |_| "peer"))
            .collect();
        csv_fields.sort_unstable();
        csv_fields.dedup();
        let mut json_fields: Vec<&str> = fields.keys().map(String::as_str).collect();
        json_fields.sort_unstable();
        assert_eq!(csv_fields, json_fields);
        assert_eq!(json[0]["shape"]["n_out"], 512);
        assert!(json[0]["commit"].is_null());
        assert!(json[1]["ideal_speedup"].is_null());
        assert_eq!(to_csv(&[]).unwrap(), "");
    }
}
