//! `cargo xtask bench`: the comparison of sparse products and attention with their dense twins, with a report to keep.

use crate::print::print;
use crate::{cargo, setup};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    #[command(flatten)]
    setup: setup::SetupArguments,
    /// Passed to `sparse-bench compare`, for instance `-- --preset full --adapter NVIDIA`.
    #[arg(last = true)]
    pub(crate) compare_arguments: Vec<OsString>,
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

    let mut command = cargo::cargo(["run", "--release", "--manifest-path"])?;
    command.arg(root.join("Cargo.toml"));
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
    for (option, path) in &ours {
        command.arg(option).arg(path);
    }
    command.args(&arguments.compare_arguments);
    // Ctrl-C reaches the comparison, too, which then writes what it has measured, to files of other names, and says where: we wait for that.
    ctrlc::set_handler(|| {}).context("cannot leave Ctrl-C to the comparison")?;
    let paths: Vec<_> = ours.iter().map(|(_, path)| path.as_path()).collect();
    let (finished, written) = run_and_list(&mut command, &paths);
    let mut written = written.into_iter();
    let named = written.try_for_each(|path| print(format_args!("report: {}", path.display())));
    finished.and(named)
}

/// Runs `command`, and lists those of `paths` that it wrote. Reports of an earlier run stay where this one writes none, and are not listed.
/// A comparison that found a result outside of its error bound fails after writing: that report is wanted most.
fn run_and_list<'a>(command: &mut Command, paths: &[&'a Path]) -> (Result<()>, Vec<&'a Path>) {
    let earlier: Vec<_> = paths.iter().map(|path| modified(path)).collect();
    let finished = cargo::run(command);
    let written = paths.iter().zip(earlier).filter(|(path, earlier)| {
        let now = modified(path);
        now.is_some() && now != *earlier
    });
    let written = written.map(|(path, _)| *path).collect();
    (finished, written)
}

/// When the file was written, where there is one.
fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}

/// Option and path of each report that the user has not placed.
fn report_arguments(folder: &Path, passed: &[OsString]) -> Vec<(&'static str, PathBuf)> {
    let placed = |option: &str| {
        let mut words = passed.iter().map(|argument| argument.to_string_lossy());
        words.any(|word| word.split('=').next() == Some(option))
    };
    REPORTS
        .iter()
        .filter(|(option, _)| !placed(option))
        .map(|(option, name)| (*option, folder.join(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(passed: &[&str]) -> Vec<&'static str> {
        let passed: Vec<OsString> = passed.iter().map(OsString::from).collect();
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

    fn cargo_with(argument: &str) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg(argument);
        cargo
    }

    #[test]
    fn a_run_that_writes_nothing_leaves_earlier_reports_and_names_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compare.json");
        std::fs::write(&path, "an hour of measuring").unwrap();
        let paths = [path.as_path()];
        let (finished, written) = run_and_list(&mut cargo_with("--no-such-option"), &paths);
        assert!(finished.is_err() && written.is_empty(), "{written:?}");
        let (finished, written) = run_and_list(&mut cargo_with("--version"), &paths);
        assert!(finished.is_ok() && written.is_empty(), "{written:?}");
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept, "an hour of measuring");
    }

    #[cfg(unix)]
    #[test]
    fn reports_that_a_run_wrote_are_named_even_where_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (replaced, new, missing) = (path("a"), path("b"), path("c"));
        let old = SystemTime::now() - std::time::Duration::from_secs(3600);
        let file = std::fs::File::create(&replaced).unwrap();
        file.set_modified(old).unwrap();
        let mut writer = Command::new("sh");
        writer.args(["-c", "echo > $0; echo > $1; exit 1"]);
        writer.args([&replaced, &new]);
        let (finished, written) = run_and_list(&mut writer, &[&replaced, &new, &missing]);
        assert!(finished.is_err());
        assert_eq!(written, [&replaced, &new]);
    }

    #[test]
    fn reports_lie_in_the_given_folder() {
        let ours = report_arguments(Path::new("bench-report"), &[]);
        let path = Path::new("bench-report").join("compare.json");
        assert_eq!(ours[0], ("--json", path));
    }
}
