//! The commands. Inputs are read and checked before an adapter is asked for, so that mistakes are reported at once.

pub(crate) mod adapters;
pub(crate) mod attention;
pub(crate) mod compare;
pub(crate) mod matmul;
pub(crate) mod memory;
mod origin;
mod output;
pub(crate) mod tune;

use std::process::ExitCode;

use anyhow::Context;
use sparse_gpu::{Gpu, GpuOptions, TileTable};

use self::origin::{Origin, record_of_this_run};
use self::output::{Completeness, check_outs, moved_words, print, write_results};
use crate::cli::TilesArgs;
use crate::record::Record;

/// Names the adapter where `--adapter` does not; the tests and the criterion benches read it too.
const ADAPTER_VARIABLE: &str = "SPARSE_ADAPTER";

/// The device of the adapter whose name contains `wanted`, else what `SPARSE_ADAPTER` says, else the most capable one.
pub(crate) fn open(wanted: Option<&str>) -> anyhow::Result<Gpu> {
    open_for(wanted, false)
}

/// As [`open`], where asked with what cooperative matrices need, if the adapter has it.
fn open_for(wanted: Option<&str>, cooperative_matrix: bool) -> anyhow::Result<Gpu> {
    let options = GpuOptions {
        adapter: wanted
            .map(str::to_owned)
            .or_else(|| std::env::var(ADAPTER_VARIABLE).ok()),
        cooperative_matrix,
        ..GpuOptions::default()
    };
    Ok(Gpu::open_blocking(&options)?)
}

/// As [`open_for`], for plans that prefer the tiles of a table. The table is read first.
fn open_with_tiles(
    wanted: Option<&str>,
    args: &TilesArgs,
    cooperative_matrix: bool,
) -> anyhow::Result<Gpu> {
    let Some(path) = &args.tiles else {
        return open_for(wanted, cooperative_matrix);
    };
    let table = crate::json_file::read(path)
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other))
        .context("cannot read the table of tiles")
        .and_then(|text| Ok(TileTable::from_json(&text)?))
        .with_context(|| path.display().to_string())?;
    let gpu = open_for(wanted, cooperative_matrix)?;
    let tuned = if args.tiles_of_any_adapter {
        gpu.with_tiles_of_any_adapter(&table)
    } else {
        gpu.with_tiles(&table)
    };
    tuned.with_context(|| path.display().to_string())
}

/// 1 where a row lies outside of its error bound, which is said.
fn exit_code(record: &Record) -> ExitCode {
    let complaints = complaints(std::slice::from_ref(record));
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    match complaints.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What is said of the rows that lie outside of their error bounds.
fn complaints(records: &[Record]) -> Vec<String> {
    let wrong = records.iter().filter(|record| !record.is_right());
    wrong.map(complaint).collect()
}

/// What is said of a row that lies outside of its error bound, and a line for each of its contenders that does.
fn complaint(record: &Record) -> String {
    let ratio = record.max_err_over_bound;
    // NaN and infinities say nothing of how far.
    let cause = if ratio.is_finite() {
        ""
    } else {
        "; a result is NaN or infinite where the reference, in f64, is not (numbers that f32 has no room for do that: take smaller operands), \
         or a row of the mask is no right choice"
    };
    let faults: String = record
        .faults
        .iter()
        .map(|fault| format!("\n  {fault}"))
        .collect();
    format!(
        "{} {} {} is wrong: its largest error is {ratio} times its bound{cause}{faults}",
        record.op, record.shape, record.pattern
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_infinite_error_says_what_may_cause_it() {
        let with = |max_err_over_bound| {
            complaint(&Record {
                max_err_over_bound,
                ..crate::fixture::nm_matmul()
            })
        };
        assert!(with(1.5).ends_with("is wrong: its largest error is 1.5 times its bound"));
        let overflowed = with(f64::INFINITY);
        assert!(
            overflowed.contains("inf times its bound; a result is NaN or infinite"),
            "{overflowed}"
        );
    }

    #[test]
    fn a_wrong_contender_has_its_line() {
        let record = Record {
            max_err_over_bound: 1.5,
            faults: vec!["the dense baseline: y[1, 2] is 3".into()],
            ..crate::fixture::nm_matmul()
        };
        let said = complaint(&record);
        assert!(
            said.ends_with("1.5 times its bound\n  the dense baseline: y[1, 2] is 3"),
            "{said}"
        );
    }
}
