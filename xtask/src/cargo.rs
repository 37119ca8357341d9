//! Running cargo and other programs, with their command line shown and their failure named.

use crate::print::print;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The folder that holds the workspace's `Cargo.toml`.
///
/// Taken at run time from cargo, so that a moved checkout with an old build of xtask still works.
pub(crate) fn workspace_root() -> Result<PathBuf> {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set; start this program as `cargo xtask`")?;
    let root = Path::new(&xtask).parent();
    Ok(root
        .context("the folder of xtask has no parent folder")?
        .to_path_buf())
}

/// A cargo command at the workspace root, by the same cargo that started xtask.
pub(crate) fn cargo<S: AsRef<std::ffi::OsStr>>(
    arguments: impl IntoIterator<Item = S>,
) -> Result<Command> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace_root()?);
    Ok(command)
}

/// A version's first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The version of the cargo that started xtask; nothing where it tells it in another way than today.
pub(crate) fn version() -> Result<Option<Version>> {
    let output = cargo(["--version"])?
        .output()
        .context("could not start `cargo --version`")?;
    Ok(version_in(&String::from_utf8_lossy(&output.stdout)))
}

/// `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`, `cargo 1.97.0-nightly (..)`.
fn version_in(text: &str) -> Option<Version> {
    let mut numbers = text.strip_prefix("cargo ")?.split('.');
    Some(Version(
        numbers.next()?.parse().ok()?,
        numbers.next()?.parse().ok()?,
    ))
}

/// Prints the command line, runs it with our own stdout and stderr, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    ran(command, &[]).map(|_| ())
}

/// As [`run`], for a program that says by `status` that it did less than it was asked, which is neither success nor failure: whether it did all.
pub(crate) fn run_whole(command: &mut Command, status: i32) -> Result<bool> {
    Ok(ran(command, &[status])?.success())
}

/// Fails unless the program succeeds or ends with one of the statuses `allowed`.
fn ran(command: &mut Command, allowed: &[i32]) -> Result<ExitStatus> {
    let line = command_line(command);
    print(format_args!("$ {line}"))?;
    let status = command
        .status()
        .with_context(|| format!("could not start `{line}`"))?;
    let is_allowed = status.code().is_some_and(|code| allowed.contains(&code));
    if !status.success() && !is_allowed {
        bail!("`{line}` failed ({status})");
    }
    Ok(status)
}

/// The command as one would type it: set variables first, the program by its file name.
fn command_line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}={}",
            name.to_string_lossy(),
            quoted(&value?.to_string_lossy())
        ))
    });
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    variables
        .chain(words.map(|word| quoted(&word.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@\\".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_shows_variables_program_and_quoted_arguments() {
        let mut command = Command::new("/usr/bin/cargo");
        command
            .env("RUSTDOCFLAGS", "-Dwarnings -A x")
            .args(["test", "--bench", "*"]);
        assert_eq!(
            command_line(&command),
            "RUSTDOCFLAGS='-Dwarnings -A x' cargo test --bench '*'"
        );
    }

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let mut command = Command::new("cargo");
        command
            .arg("no-such-subcommand-of-cargo")
            .stderr(std::process::Stdio::null());
        let text = run(&mut command).unwrap_err().to_string();
        assert!(
            text.contains("`cargo no-such-subcommand-of-cargo` failed"),
            "{text}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_status_of_its_own_is_no_failure_and_no_other_is() {
        let ended = |code: &str| {
            let mut shell = Command::new("sh");
            run_whole(shell.args(["-c", "exit $0", code]), 3).ok()
        };
        assert_eq!(["0", "3", "1"].map(ended), [Some(true), Some(false), None]);
        assert!(run(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }

    #[test]
    fn the_version_of_cargo_is_read() {
        let stable = "cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n";
        assert_eq!(version_in(stable), Some(Version(1, 95)));
        assert_eq!(version_in("cargo 1.9.0-nightly"), Some(Version(1, 9)));
        assert!(Version(1, 9) < Version(1, 90), "compared as numbers");
        assert_eq!(version_in("rustc 1.95.0"), None);
        assert!(
            version().unwrap() >= Some(Version(1, 88)),
            "that of this machine"
        );
    }

    #[test]
    fn the_workspace_root_holds_the_workspace_manifest() {
        let manifest = workspace_root().unwrap().join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(text.contains("[workspace]"), "not the workspace's manifest");
    }
}
