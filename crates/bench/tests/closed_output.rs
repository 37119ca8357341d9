//! Standard output that is closed or full: nothing that was measured is lost, and nothing panics.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every test file uses a part of it")]
mod support;

use std::process::{Command, Stdio};

use support::{Folder, counting};

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sparse-bench"))
}

/// What is measured fast.
fn small_weights() -> Folder {
    Folder::with(&[("w", counting(&[16, 64]))])
}

/// One row of these weights.
fn measuring(weights: &Folder) -> Command {
    let mut command = bench();
    command
        .args(["compare", "--ops", "nm_matvec", "--seconds", "0.01"])
        .arg("--weights")
        .arg(weights.file());
    command
}

/// The reader of a pipe that is gone, as behind `| head`.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn reports_are_written_though_nobody_reads() {
    let folder = small_weights();
    let csv = folder.path("runs.csv");
    let output = measuring(&folder)
        .arg("--csv")
        .arg(&csv)
        .stdout(closed())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !errors.contains("panicked"),
        "{errors}"
    );
    assert!(std::fs::read_to_string(csv).unwrap().lines().count() > 1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = bench().arg("adapters").stdout(full).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("error: cannot print the results: No space left"),
        "{errors}"
    );
}

#[test]
fn a_run_that_is_refused_leaves_an_earlier_report_alone() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("old.csv");
    std::fs::write(&csv, "kept").unwrap();
    let output = bench()
        .args([
            "compare",
            "--preset",
            "attention",
            "--ops",
            "xattention",
            "--lengths",
            "99999999999",
            "--csv",
        ])
        .arg(&csv)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(csv).unwrap(), "kept");
}

/// What `command`, which fails because its report lies on a full disk, prints all the same.
#[cfg(target_os = "linux")]
fn printed_beside_a_full_disk(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("error: cannot write: No space left on device (os error 28): /dev/full"),
        "{errors}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One report on a full disk: the others are written, and the table is printed.
#[test]
#[cfg(target_os = "linux")]
fn what_was_measured_is_told_where_a_report_cannot_be_written() {
    let folder = small_weights();
    let csv = folder.path("runs.csv");
    let table = printed_beside_a_full_disk(
        measuring(&folder)
            .args(["--json", "/dev/full", "--csv"])
            .arg(&csv),
    );
    assert!(table.contains("nm_matvec"), "{table}");
    assert!(std::fs::read_to_string(csv).unwrap().lines().count() > 1);
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_tuned_is_told_where_the_table_cannot_be_written() {
    let table = printed_beside_a_full_disk(
        bench()
            .args(["tune", "--ops", "nm_matvec", "--tokens", "1"])
            .args(["--budget", "4", "--out", "/dev/full"]),
    );
    assert!(table.contains(" defaults displaced on "), "{table}");
    assert!(!table.contains("written to"), "{table}");
}
