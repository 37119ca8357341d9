//! What `compare` tells: the files of `--json`, `--csv` and `--html`, and words for the terminal.

use std::path::PathBuf;

use super::super::{Completeness, Origin, check_outs, moved_words, write_results};
use crate::ceilings::Ceilings;
use crate::cli::CompareArgs;
use crate::compare::attention::StepShares;
use crate::compare::bench::Bench;
use crate::peers::Peers;
use crate::record::{Record, Run, to_csv, to_json};
use crate::report::{MaskMap, Report, to_html};

/// What has been measured so far.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) records: Vec<Record>,
    pub(super) masks: Vec<MaskMap>,
    pub(super) shares: Vec<StepShares>,
    pub(super) failures: Vec<anyhow::Error>,
    /// The rows that were left when somebody asked to stop, in words.
    pub(super) missing: Vec<String>,
}

impl Results {
    /// A row and the blocks that it attended to.
    pub(super) fn add(&mut self, record: Record, masks: MaskMap) {
        self.records.push(record);
        self.masks.push(masks);
    }

    /// Tells every row's share of these ceilings.
    pub(super) fn move_under(&mut self, ceilings: &Ceilings) {
        for record in &mut self.records {
            if let Some(roofline) = &mut record.roofline {
                *roofline = roofline.under(ceilings, record.sparse_ms);
            }
        }
    }

    /// Whether all was measured.
    fn completeness(&self) -> Completeness {
        match self.failures.is_empty() && self.missing.is_empty() {
            true => Completeness::Whole,
            false => Completeness::Partial,
        }
    }

    /// What an interrupted run has and has not measured.
    pub(super) fn interruption(&self) -> Option<String> {
        if self.missing.is_empty() {
            return None;
        }
        let missing = self.missing.join("\n  ");
        let reports = match self.records.is_empty() {
            true => "no report is written",
            false => "table and reports hold what was measured before",
        };
        let count = self.missing.len();
        Some(format!(
            "interrupted: {reports}; rows that are missing ({count}):\n  {missing}"
        ))
    }
}

/// Minutes of measuring must not end at a folder that is not there, or in a file that was read.
pub(super) fn check_reports(args: &CompareArgs) -> anyhow::Result<()> {
    check_outs(
        &[
            ("--json", args.json.as_deref()),
            ("--csv", args.csv.as_deref()),
            ("--html", args.html.as_deref()),
        ],
        &[
            args.weights.as_deref(),
            args.qkv.as_deref(),
            args.tiles.tiles.as_deref(),
        ],
    )
}

/// What became of every strategy of other libraries, row by row.
pub(super) fn contenders(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records.iter().filter(|r| !r.contenders.is_empty()) {
        text.push_str(&format!(
            "{} {} {}, ours {:.2} ms\n",
            record.op, record.shape, record.pattern, record.sparse_ms
        ));
        for contender in &record.contenders {
            text.push_str(&format!("    {}\n", contender.words()));
        }
    }
    text
}

/// What became of the reports.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Why some could not be written.
    pub(super) failures: Vec<anyhow::Error>,
    /// Which went to another file than the one that was asked for, and why.
    pub(super) moved: Vec<String>,
}

/// Writes every report that can be written, where rows are missing to another file than the one that was asked for.
pub(super) fn write_reports(args: &CompareArgs, bench: &Bench, results: &Results) -> Written {
    let mut written = Written::default();
    // Of a run in which no row succeeded there is nothing to tell: an earlier report stays.
    if results.records.is_empty() {
        return written;
    }
    let mut write = |out: &Option<PathBuf>, bytes: &dyn Fn() -> anyhow::Result<Vec<u8>>| {
        let Some(out) = out else { return };
        let path =
            bytes().and_then(|bytes| Ok(write_results(out, &bytes, results.completeness())?));
        match path {
            Ok(path) => written.moved.extend(moved_words(out, &path)),
            Err(error) => written.failures.push(error),
        }
    };
    let origin = Origin::now();
    let failures = Vec::from_iter(results.failures.iter().map(|f| format!("{f:#}")));
    write(&args.json, &|| {
        let run = Run {
            command: &origin.command,
            date: &origin.date,
            failures: &failures,
            missing: &results.missing,
            rows: &results.records,
        };
        Ok(to_json(run)?.into_bytes())
    });
    write(&args.csv, &|| Ok(to_csv(&results.records)?));
    write(&args.html, &|| {
        Ok(to_html(&report(bench, results, &origin, &failures))?.into_bytes())
    });
    written
}

/// What the HTML report tells.
fn report(bench: &Bench, results: &Results, origin: &Origin, failures: &[String]) -> Report {
    let command = &origin.command;
    Report {
        date: origin.date.clone(),
        command_line: match results.missing.len() {
            0 => command.clone(),
            missing => format!("{command} (interrupted, rows missing: {missing})"),
        },
        failures: failures.to_vec(),
        records: results.records.clone(),
        masks: results.masks.clone(),
        ceilings: bench.ceilings.clone(),
        peers: bench.peers.as_ref().map(Peers::words).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::commands::open;

    #[test]
    fn a_run_without_a_row_leaves_an_earlier_report_alone() {
        let folder = tempfile::tempdir().unwrap();
        let csv = folder.path().join("old.csv");
        std::fs::write(&csv, "kept").unwrap();
        let line = format!("sparse-bench compare --csv {}", csv.display());
        let Command::Compare(args) = Cli::parse_from(line.split_whitespace()).command else {
            panic!("{line} is another command");
        };
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let write = |results: &Results| {
            assert!(write_reports(&args, &bench, results).failures.is_empty());
            std::fs::read_to_string(&csv).unwrap()
        };
        let mut results = Results::default();
        assert_eq!(write(&results), "kept");
        results.records.push(crate::fixture::nm_matmul());
        assert!(write(&results).contains("nm_matmul"));
        // A report of all rows stays where some of the next run are missing.
        std::fs::write(&csv, "kept").unwrap();
        results.failures.push(anyhow::anyhow!("no memory"));
        let written = write_reports(&args, &bench, &results);
        assert_eq!(std::fs::read_to_string(&csv).unwrap(), "kept");
        let partial = folder.path().join("old.partial.csv");
        let text = std::fs::read_to_string(&partial).unwrap();
        assert!(text.contains("nm_matmul"), "{text}");
        let [moved] = &written.moved[..] else {
            panic!("{written:?}");
        };
        assert!(moved.ends_with("old.partial.csv"), "{moved}");
    }

    #[test]
    fn rows_move_under_the_ceilings_that_were_seen_last() {
        let mut results = Results {
            records: vec![crate::fixture::nm_matmul()],
            ..Results::default()
        };
        let mut ceilings = crate::fixture::ceilings();
        let share = |results: &Results| results.records[0].roofline.unwrap().share;
        results.move_under(&ceilings);
        let before = share(&results);
        ceilings.fmas_per_second *= 2.0;
        results.move_under(&ceilings);
        assert_eq!(share(&results), before / 2.0);
    }

    #[test]
    fn the_report_tells_the_rows_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let html = folder.path().join("report.html");
        let line = format!("sparse-bench compare --html {}", html.display());
        let Command::Compare(args) = Cli::parse_from(line.split_whitespace()).command else {
            panic!("{line} is another command");
        };
        let bench = Bench::new(open(None).unwrap(), Duration::ZERO);
        let results = Results {
            records: vec![crate::fixture::nm_matmul()],
            failures: vec![anyhow::anyhow!("no memory").context("nm_matvec 1 x 8")],
            ..Results::default()
        };
        assert!(write_reports(&args, &bench, &results).failures.is_empty());
        let partial = folder.path().join("report.partial.html");
        let report = std::fs::read_to_string(partial).unwrap();
        assert!(report.contains("nm_matvec 1 x 8: no memory"));
        assert!(!html.exists());
    }
}
