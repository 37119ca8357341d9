//! The report: records to the values of the template, the template to one file.

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;
use sparse_measure::{COLD_BYTES, COLD_TOKENS, MOST_COPIES, MOST_KV_BYTES, milliseconds};

use super::heatmap::{MaskMap, Picture, picture};
use super::plot::{Plot, plots};
use super::roofline::{RooflinePlot, roofline};
use crate::ceilings::Ceilings;
use crate::peers::Contender;
use crate::record::{Record, timing_words};

/// Everything that a report shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// Date and time, see [`super::utc_date_time`].
    pub date: String,
    /// The command as it was typed.
    pub command_line: String,
    /// Rows that could not be measured, and why.
    pub failures: Vec<String>,
    /// The measured rows.
    pub records: Vec<Record>,
    /// Masks of the attention rows.
    pub masks: Vec<MaskMap>,
    /// What the device can do at best, where it has been measured.
    pub ceilings: Option<Ceilings>,
    /// Which other libraries took part and how; empty where none did.
    pub peers: String,
}

/// The report as one HTML file that loads nothing.
///
/// # Errors
/// Those of the template engine; a test renders the template, so none for any report.
pub fn to_html(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("report.html"))?;
    let most_speedup = longest_bar(&report.records);
    let page = Page {
        date: &report.date,
        command_line: &report.command_line,
        version: env!("CARGO_PKG_VERSION"),
        devices: devices(&report.records),
        rows: report
            .records
            .iter()
            .map(|r| Row::of(r, most_speedup))
            .collect(),
        failures: &report.failures,
        wrong: report.records.iter().filter(|r| !r.is_right()).count(),
        plots: plots(&report.records),
        masks: report.masks.iter().map(Masks::of).collect(),
        ceilings: report.ceilings.as_ref().map(Ceilings::words),
        roofline: report
            .ceilings
            .as_ref()
            .and_then(|ceilings| roofline(&report.records, ceilings)),
        peers: &report.peers,
        cold_tokens: COLD_TOKENS,
        cold_mib: COLD_BYTES >> 20,
        most_copies: MOST_COPIES,
        most_kv_mib: MOST_KV_BYTES >> 20,
        contenders: report.records.iter().filter_map(Contenders::of).collect(),
    };
    environment
        .get_template("report.html")?
        .render(Serde(&page))
}

/// The speed-up whose bar is the longest: of the right rows that skip work and have an ideal. A selection is hundreds of times as fast as the attention that it is
/// told against, and beside its bar there were no others; those above the longest are cut.
fn longest_bar(records: &[Record]) -> f64 {
    let rows = records.iter().filter(|r| r.is_right() && r.density < 1.0);
    rows.filter(|r| r.ideal_speedup.is_some())
        .filter_map(|r| r.speedup)
        .fold(1.0, f64::max)
}

/// The values of the template.
#[derive(Debug, Serialize)]
struct Page<'a> {
    date: &'a str,
    command_line: &'a str,
    version: &'static str,
    devices: Vec<Device>,
    rows: Vec<Row>,
    failures: &'a [String],
    wrong: usize,
    plots: Vec<Plot>,
    masks: Vec<Masks>,
    ceilings: Option<String>,
    roofline: Option<RooflinePlot>,
    peers: &'a str,
    cold_tokens: usize,
    cold_mib: usize,
    most_copies: usize,
    most_kv_mib: usize,
    contenders: Vec<Contenders>,
}

/// What became of the strategies of other libraries in one row.
#[derive(Debug, Serialize)]
struct Contenders {
    title: String,
    lines: Vec<String>,
}

impl Contenders {
    fn of(record: &Record) -> Option<Self> {
        (!record.contenders.is_empty()).then(|| Self {
            title: format!(
                "{} {} {}, ours {} ms",
                record.op,
                record.shape,
                record.pattern,
                milliseconds(record.sparse_ms)
            ),
            lines: record.contenders.iter().map(Contender::words).collect(),
        })
    }
}

/// Where and how rows were measured. One of them unless reports of several adapters were joined.
#[derive(Debug, PartialEq, Serialize)]
struct Device {
    adapter: String,
    driver: String,
    backend: String,
    class: &'static str,
    tier: String,
    timing: &'static str,
}

fn devices(records: &[Record]) -> Vec<Device> {
    let mut devices = Vec::new();
    for record in records {
        let device = Device {
            adapter: record.adapter.clone(),
            driver: record.driver.clone(),
            backend: record.backend.clone(),
            class: record.class,
            tier: record.tier.clone(),
            timing: timing_words(record.timing),
        };
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    devices
}

/// A line of the table, numbers already as text.
#[derive(Debug, Serialize)]
struct Row {
    op: &'static str,
    shape: String,
    dtype: &'static str,
    pattern: String,
    density: String,
    dense_ms: Option<String>,
    sparse_ms: String,
    speedup: Option<String>,
    /// Length of the bar behind the speed-up in percent.
    bar: f64,
    faster: bool,
    ideal: Option<String>,
    share: Option<String>,
    peer: Option<String>,
    peer_ratio: Option<String>,
    peer_spread: Option<String>,
    roofline: Option<String>,
    bound: &'static str,
    error: String,
    right: bool,
    kernel: String,
    tile: String,
    baseline: Option<String>,
    tuned: bool,
    source: String,
    runs: usize,
    spread: String,
}

impl Row {
    fn of(r: &Record, most_speedup: f64) -> Self {
        let speedup = r.speedup.unwrap_or(0.0);
        Self {
            op: r.op,
            shape: r.shape.to_string(),
            dtype: r.dtype,
            pattern: r.pattern.clone(),
            density: format!("{:.3}", r.density),
            dense_ms: r.dense_ms.map(milliseconds),
            sparse_ms: milliseconds(r.sparse_ms),
            speedup: r.speedup.map(|speedup| format!("{speedup:.2}")),
            bar: (100.0 * speedup / most_speedup).clamp(0.0, 100.0),
            faster: speedup >= 1.0,
            ideal: r.ideal_speedup.map(|ideal| format!("{ideal:.2}")),
            share: r
                .share_of_ideal
                .map(|share| format!("{:.0}", share * 100.0)),
            peer: r
                .peer
                .as_ref()
                .map(|peer| format!("{} {}", peer.name, milliseconds(peer.ms))),
            peer_ratio: r.peer.as_ref().map(|peer| format!("{:.2}", peer.speedup)),
            peer_spread: r
                .peer
                .as_ref()
                .map(|peer| format!("{:.1}", peer.spread * 100.0)),
            roofline: r
                .roofline
                .map(|roofline| format!("{:.0}", roofline.share * 100.0)),
            bound: r.roofline.map_or("", |roofline| roofline.bound.name()),
            error: format!("{:.3}", r.max_err_over_bound),
            right: r.is_right(),
            kernel: r.kernel.clone(),
            tile: r.tile.clone(),
            baseline: r.dense_kernel.as_ref().map(|kernel| {
                let tile = r.dense_tile.iter().map(|tile| format!(", {tile}"));
                format!("{kernel}{}", tile.collect::<String>())
            }),
            tuned: r.is_tuned,
            source: r.source.clone(),
            runs: r.runs,
            spread: format!("{:.1}", r.spread * 100.0),
        }
    }
}

/// The pictures of one attention row.
#[derive(Debug, Serialize)]
struct Masks {
    title: String,
    heads: Vec<Picture>,
}

impl Masks {
    fn of(map: &MaskMap) -> Self {
        Self {
            title: map.title.clone(),
            heads: map.heads.iter().map(picture).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::report::heatmap::tests::causal;

    fn example() -> Report {
        Report {
            date: "2026-11-22 17:05 UTC".into(),
            command_line: "sparse-bench compare --html <report>.html".into(),
            failures: Vec::new(),
            records: fixture::many(),
            masks: vec![MaskMap {
                title: "xattention q_len=4096 & more".into(),
                heads: (0..4)
                    .map(|h| causal(&format!("head {h}"), 32, 5 + 3 * h))
                    .collect(),
            }],
            ceilings: Some(fixture::ceilings()),
            peers: "peers: <another library>".into(),
        }
    }

    #[test]
    fn the_report_is_one_file_that_loads_nothing_and_escapes_text() {
        let html = to_html(&example()).unwrap();
        for outside in ["http://", "https://", "<script", "<link", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("llvmpipe &lt;LLVM 15&gt;") && !html.contains("<LLVM"));
        assert!(html.contains("compare --html &lt;report&gt;.html"));
        assert!(html.contains("q_len=4096 &amp; more"));
        // Written on request only, to look at it in a browser.
        if let Some(path) = std::env::var_os("SPARSE_BENCH_EXAMPLE_REPORT") {
            std::fs::write(path, html).unwrap();
        }
    }

    #[test]
    fn the_report_holds_every_row_plot_and_mask() {
        let report = example();
        let html = to_html(&report).unwrap();
        assert_eq!(
            html.matches("<tr class=\"row").count(),
            report.records.len()
        );
        assert_eq!(
            html.matches("<figure class=\"plot ").count(),
            plots(&report.records).len()
        );
        assert_eq!(html.matches("<figure class=\"mask\"").count(), 4);
        assert_eq!(html.matches("<figure class=\"roof plot-frame").count(), 1);
        assert!(html.contains("another library&gt;") && html.contains("4.38x"));
        assert!(html.contains("cubek 140, spread 2.0 %"));
        assert!(html.contains("GPU timestamps") && html.contains("2026-11-22 17:05 UTC"));
        assert!(html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn a_row_without_an_ideal_does_not_flatten_the_bars_of_the_others() {
        let half = Record {
            speedup: Some(3.0),
            ..fixture::nm_matmul()
        };
        let whole = Record {
            speedup: Some(6.0),
            ..half.clone()
        };
        let selection = Record {
            speedup: Some(1000.0),
            density: 1.0,
            ideal_speedup: None,
            ..half.clone()
        };
        let wrong = Record {
            speedup: Some(50.0),
            max_err_over_bound: 2.0,
            ..half.clone()
        };
        let records = [half, whole, selection, wrong];
        let longest = longest_bar(&records);
        let bars = records.map(|record| Row::of(&record, longest).bar);
        assert_eq!(bars, [50.0, 100.0, 100.0, 100.0]);
        assert_eq!(longest_bar(&[]), 1.0);
    }

    #[test]
    fn a_row_tells_what_both_sides_ran_and_on_what() {
        let untuned = Record {
            is_tuned: false,
            dense_kernel: Some("naive".into()),
            dense_tile: None,
            source: "w \"<name>\" of f".into(),
            ..fixture::nm_matmul()
        };
        let report = Report {
            records: vec![fixture::nm_matmul(), untuned],
            ..example()
        };
        let html = to_html(&report).unwrap();
        for part in [
            "vulkan, Portable, class software-avx512",
            "against matmul&#x2f;dense, 32x64x16 (tiles of a table)</small>",
            "against naive</small>",
            "<small>generated</small>",
            "<small>w &quot;&lt;name&gt;&quot; of f</small>",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }

    #[test]
    fn a_row_without_a_baseline_claims_no_speedup() {
        let alone = Record {
            dense_ms: None,
            speedup: None,
            ideal_speedup: None,
            share_of_ideal: None,
            ..fixture::nm_matmul()
        };
        let report = Report {
            records: vec![alone],
            ..example()
        };
        let html = to_html(&report).unwrap();
        assert_eq!(html.matches("<td class=\"n\">-</td>").count(), 3, "{html}");
        assert!(html.contains("<td class=\"n speedup\">-</td>"), "{html}");
        assert!(!html.contains("<figure class=\"plot "));
    }

    #[test]
    fn a_wrong_row_is_named_at_the_top() {
        assert!(
            !to_html(&example())
                .unwrap()
                .contains("outside of its error bound")
        );
        let mut report = example();
        report.records[0].max_err_over_bound = 1.5;
        assert!(
            to_html(&report)
                .unwrap()
                .contains("1 row lies outside of its error bound")
        );
    }

    #[test]
    fn rows_that_could_not_be_measured_are_named_at_the_top() {
        let head = "could not be measured";
        assert!(!to_html(&example()).unwrap().contains(head));
        let report = Report {
            failures: vec!["nm_matmul <odd>: no memory".into(); 2],
            ..example()
        };
        let html = to_html(&report).unwrap();
        assert!(html.contains("2 rows could not be measured"));
        assert_eq!(
            html.matches("<li>nm_matmul &lt;odd&gt;: no memory</li>")
                .count(),
            2
        );
    }

    #[test]
    fn weights_from_memory_are_told_and_what_other_libraries_change() {
        let cold = "products of at most 8 tokens read another copy of their weights in each run, 256 MiB before the first comes again (512 copies at most), \
                    and attention of as few queries another copy of keys and values (1024 MiB of copies at most)";
        let one_copy = ", but for rows beside other libraries, which keep one copy</dd>";
        let beside = to_html(&example()).unwrap();
        assert!(beside.contains(&format!("{cold}{one_copy}")));
        let alone = Report {
            peers: String::new(),
            ..example()
        };
        let alone = to_html(&alone).unwrap();
        assert!(alone.contains(&format!("{cold}</dd>")));
    }

    #[test]
    fn an_empty_report_renders() {
        let report = Report {
            records: Vec::new(),
            masks: Vec::new(),
            ceilings: None,
            peers: String::new(),
            ..example()
        };
        assert!(to_html(&report).unwrap().contains("</html>"));
    }
}
