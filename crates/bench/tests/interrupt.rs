//! Ctrl-C while `compare` or `tune` measures: what has been measured is written.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What `command` says on its standard error and output where Ctrl-C comes while it is at its second row. It must end as interrupted.
fn interrupted(command: &mut Command) -> (String, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    // The first row has been measured when the second is announced.
    while !said.contains("row 2 of ") {
        assert!(errors.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let signalled = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signalled.success());
    errors.read_to_string(&mut said).unwrap();
    let mut table = String::new();
    let mut out = child.stdout.take().unwrap();
    out.read_to_string(&mut table).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    (said, table)
}

#[test]
fn the_rows_measured_before_ctrl_c_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let asked = ["runs.json", "runs.csv", "runs.html"].map(path);
    let partial = ["runs.partial.json", "runs.partial.csv", "runs.partial.html"].map(path);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparse-bench"));
    // Long enough that the second row is at work when the signal comes.
    command.args(["compare", "--ops", "nm_matvec", "--seconds", "3"]);
    for (option, file) in ["--json", "--csv", "--html"].iter().zip(&asked) {
        command.arg(option).arg(file);
    }
    let (said, table) = interrupted(&mut command);

    // By their names alone the rows before Ctrl-C would pass for all.
    assert!(asked.iter().all(|path| !path.exists()), "{said}");
    assert!(said.contains("runs.csv is not written;"), "{said}");
    let [json, csv, html] = partial.map(|path| std::fs::read_to_string(path).unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    let measured = json["rows"].as_array().unwrap().len();
    assert_eq!(csv.lines().count(), 1 + measured);
    assert!(table.contains("nm_matvec"), "{table}");
    // What was announced is measured or missing, and so is what came behind.
    let (_, after) = said.split_once("row 1 of ").unwrap();
    let all: usize = after.split(':').next().unwrap().parse().unwrap();
    let missing = all - measured;
    assert!(measured > 0 && missing > 0, "{said}");
    assert_eq!(json["missing"].as_array().unwrap().len(), missing, "{json}");
    assert_eq!(json["rows"][0]["source"], "generated");
    assert!(
        said.contains(&format!(
            "interrupted: table and reports hold what was measured before; rows that are missing ({missing}):\n  nm_matvec "
        )),
        "{said}"
    );
    let (_, list) = said.split_once("):\n").unwrap();
    assert_eq!(list.lines().count(), missing, "{said}");
    let marked = format!("(interrupted, rows missing: {missing})");
    assert!(html.contains(&marked), "{marked} is missing in the report");
}

#[test]
fn the_tiles_found_before_ctrl_c_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let tiles = folder.path().join("tiles.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparse-bench"));
    command
        .args(["tune", "--ops", "nm_matvec", "--budget", "30", "--out"])
        .arg(&tiles);
    let (said, table) = interrupted(&mut command);
    assert!(table.contains("written to "), "{table}");
    assert!(!tiles.exists(), "{said}");
    let partial = tiles.with_file_name("tiles.partial.json");
    let json: Value = serde_json::from_str(&std::fs::read_to_string(partial).unwrap()).unwrap();
    assert!(json.is_object(), "{json}");
    assert!(
        said.contains(
            "interrupted: the table holds what was found before; problems that are missing ("
        ),
        "{said}"
    );
}
