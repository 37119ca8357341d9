//! What `compare` tells: the files of `--json`, `--csv` and `--html`, and words for the terminal.

use std::path::Path;
use std::time::SystemTime;

use crate::cli::CompareArgs;
use crate::compare::attention::StepShares;
use crate::compare::bench::Bench;
use crate::peers::Peers;
use crate::record::{Record, to_csv, to_json};
use crate::report::{MaskMap, Report, to_html, utc_date_time};
use crate::tensors::{check_out, write_file};

/// What has been measured so far.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) records: Vec<Record>,
    pub(super) masks: Vec<MaskMap>,
    pub(super) shares: Vec<StepShares>,
    pub(super) failures: Vec<anyhow::Error>,
}

/// Minutes of measuring must not end at a folder that is not there, or in a file that was read.
pub(super) fn check_reports(args: &CompareArgs) -> anyhow::Result<()> {
    let inputs: Vec<&Path> = [&args.weights, &args.qkv]
        .into_iter()
        .filter_map(|input| input.as_deref())
        .collect();
    for report in [&args.json, &args.csv, &args.html].into_iter().flatten() {
        check_out(report, &inputs)?;
    }
    Ok(())
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

pub(super) fn write_reports(
    args: &CompareArgs,
    bench: &Bench,
    results: &Results,
) -> anyhow::Result<()> {
    if let Some(path) = &args.json {
        write_file(path, to_json(&results.records)?.as_bytes())?;
    }
    if let Some(path) = &args.csv {
        write_file(path, &to_csv(&results.records)?)?;
    }
    if let Some(path) = &args.html {
        let report = Report {
            date: utc_date_time(SystemTime::now()),
            command_line: command_line(),
            records: results.records.clone(),
            masks: results.masks.clone(),
            ceilings: bench.ceilings.clone(),
            peers: bench.peers.as_ref().map(Peers::words).unwrap_or_default(),
        };
        write_file(path, to_html(&report)?.as_bytes())?;
    }
    Ok(())
}

/// The command as it was typed, the program without its folder.
fn command_line() -> String {
    let arguments = std::env::args_os().skip(1);
    std::iter::once("sparse-bench".into())
        .chain(arguments.map(|argument| argument.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}
