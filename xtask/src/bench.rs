//! `cargo xtask bench`: the comparison of every sparse operation with its dense twin, with a report to keep.

use crate::{cargo, setup};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::Path;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    setup: setup::SetupArguments,
    /// Passed to `sparse-bench compare`, for instance `-- --preset full --adapter NVIDIA`.
    #[arg(last = true)]
    compare_arguments: Vec<String>,
}

/// The reports that we ask for, with the options by which a user can ask for them elsewhere.
const REPORTS: [(&str, &str); 3] = [
    ("--json", "compare.json"),
    ("--csv", "compare.csv"),
    ("--html", "compare.html"),
];

/// Sets the machine up, builds `sparse-bench` with optimisation and runs its comparison.
pub(crate) fn run(arguments: &BenchArguments) -> Result<()> {
    setup::run(&arguments.setup)?;
    let root = cargo::workspace_root()?;
    let folder = root.join("bench-report");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("the report's folder cannot be made: {}", folder.display()))?;
    let ours = report_arguments(&folder, &arguments.compare_arguments);
    for (_, path) in &ours {
        // So that a report named at the end is of this run and not of an earlier one.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("an old report cannot be removed: {path}"));
            }
            _ => {}
        }
    }

    let manifest = root.join("Cargo.toml").display().to_string();
    let mut command = cargo::cargo(["run", "--release", "--manifest-path", manifest.as_str()])?;
    // Paths that the user gives are meant from where the user stands, not from the workspace root.
    command.current_dir(std::env::current_dir().context("the current folder is gone")?);
    command.args([
        "--package",
        "sparse-bench",
        "--bin",
        "sparse-bench",
        "--",
        "compare",
    ]);
    command.args(ours.iter().flat_map(|(option, path)| [option, path]));
    command.args(&arguments.compare_arguments);
    // Ctrl-C reaches the comparison, too, which then writes what it has measured: we wait for that, and tell where it lies.
    ctrlc::set_handler(|| {}).context("cannot leave Ctrl-C to the comparison")?;
    let finished = cargo::run(&mut command);

    // A comparison that found a result outside of its error bound fails after writing: that report is wanted most.
    for (_, path) in ours.iter().filter(|(_, path)| Path::new(path).is_file()) {
        println!("report: {path}");
    }
    finished
}

/// Option and path of each report that the user has not placed.
fn report_arguments(folder: &Path, passed: &[String]) -> Vec<(String, String)> {
    let placed = |option: &str| {
        passed
            .iter()
            .any(|argument| argument.split('=').next() == Some(option))
    };
    REPORTS
        .iter()
        .filter(|(option, _)| !placed(option))
        .map(|(option, name)| {
            (
                (*option).to_owned(),
                folder.join(name).display().to_string(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(passed: &[&str]) -> Vec<String> {
        let passed: Vec<String> = passed.iter().map(|&argument| argument.to_owned()).collect();
        let ours = report_arguments(Path::new("bench-report"), &passed);
        ours.into_iter().map(|(option, _)| option).collect()
    }

    #[test]
    fn all_three_reports_are_written_by_default() {
        assert_eq!(options(&[]), ["--json", "--csv", "--html"]);
        assert_eq!(
            options(&["--preset", "full"]),
            ["--json", "--csv", "--html"]
        );
    }

    #[test]
    fn a_report_that_the_user_places_is_left_to_the_user() {
        assert_eq!(options(&["--json", "mine.json"]), ["--csv", "--html"]);
        assert_eq!(options(&["--csv=mine.csv", "--html=mine.html"]), ["--json"]);
    }

    #[test]
    fn reports_lie_in_the_given_folder() {
        let ours = report_arguments(Path::new("bench-report"), &[]);
        let path = Path::new("bench-report")
            .join("compare.json")
            .display()
            .to_string();
        assert_eq!(ours[0], ("--json".to_owned(), path));
    }
}
