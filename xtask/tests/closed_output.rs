//! Standard output that nobody reads.

use std::process::{Command, Stdio};

/// `setup` prints what it finds; without a terminal and outside of CI it installs nothing.
#[test]
fn a_command_whose_output_nobody_reads_ends_without_a_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("setup")
        .env_remove("CI")
        .stdin(Stdio::null())
        .stdout(writer)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
}
