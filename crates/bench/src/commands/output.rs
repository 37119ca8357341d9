//! Where results go: standard output, which may be closed, and files, which must not be ones that were read.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::tensors::{TensorFileError, check_out, is_same_out, is_special, target, write_file};

/// Prints a line. Where nobody reads any more, as behind `| head`, the command goes on without: its files are still written.
///
/// # Errors
/// Where the line cannot be written for another reason, a full disk for one.
pub(super) fn print(line: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let printed = writeln!(out, "{line}").and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print the results"),
    }
}

/// Checks before anything is measured that the files of these options can be written, that none of them is one of `inputs`, and that no two
/// are the same.
///
/// # Errors
/// The first option that is wrong.
pub(super) fn check_outs(
    outs: &[(&'static str, Option<&Path>)],
    inputs: &[Option<&Path>],
) -> anyhow::Result<()> {
    let inputs: Vec<&Path> = inputs.iter().flatten().copied().collect();
    let mut checked: Vec<(&str, &Path)> = Vec::new();
    for &(option, out) in outs {
        let Some(out) = out else { continue };
        check_out(out, &inputs)?;
        if let Some((other, _)) = checked.iter().find(|(_, other)| is_same_out(out, other)) {
            anyhow::bail!(
                "{other} and {option} are the same file, choose two: {}",
                out.display()
            );
        }
        checked.push((option, out));
    }
    Ok(())
}

/// Where the results of a run are written: to the file that was asked for, but those of a run that lacks some to a new file beside it. A file
/// that is there may have all of them, and one by that name alone would pass for whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// All that was asked for.
    Whole,
    /// Some failed, or were left when somebody asked to stop.
    Partial,
}

/// Writes `bytes` to `out`, or beside it, and gives the path of what was written. Devices and pipes, beside which there is nothing, take both.
///
/// # Errors
/// [`TensorFileError::Write`]; an existing file stays as it was.
pub(super) fn write_results(
    out: &Path,
    bytes: &[u8],
    completeness: Completeness,
) -> Result<PathBuf, TensorFileError> {
    let path = match completeness {
        Completeness::Partial if !is_special(out) => beside(&file_of(out)),
        _ => out.to_path_buf(),
    };
    write_file(&path, bytes)?;
    Ok(path)
}

/// Tells where results are that did not go to `out`; nothing where they did.
pub(super) fn moved_words(out: &Path, written: &Path) -> Option<String> {
    (out != written).then(|| {
        let what = match out.is_file() {
            true => "stays as it was",
            false => "is not written",
        };
        format!(
            "results are missing, so {} {what}; the others are in {}",
            out.display(),
            written.display()
        )
    })
}

/// Where `out` is a link, what it leads to, there or not: its folder is the one that was checked.
fn file_of(out: &Path) -> PathBuf {
    if !out.is_symlink() {
        return out.to_path_buf();
    }
    target(out).unwrap_or_else(|_| out.to_path_buf())
}

/// The first of `tiles.partial.json`, `tiles.partial-2.json`, ... that is not there, for `tiles.json`: no results are replaced, and no input is.
fn beside(out: &Path) -> PathBuf {
    let name = |number: usize| {
        let mut name = out.file_stem().unwrap_or_default().to_os_string();
        name.push(".partial");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        if let Some(extension) = out.extension() {
            name.push(".");
            name.push(extension);
        }
        out.with_file_name(name)
    };
    let mut number = 1;
    // A link that leads nowhere is there too.
    while name(number).symlink_metadata().is_ok() {
        number += 1;
    }
    name(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_results_replace_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, completeness| {
            let written = write_results(&path(name), name.as_bytes(), completeness).unwrap();
            assert_eq!(std::fs::read(&written).unwrap(), name.as_bytes());
            written
        };
        // What lacks results does not pass for whole where nothing is there either.
        let written = write("new.json", Completeness::Partial);
        assert_eq!(written, path("new.partial.json"));
        assert!(!path("new.json").exists());
        let words = moved_words(&path("new.json"), &written).unwrap();
        assert!(words.contains("new.json is not written;"), "{words}");
        // Everything is new.
        let written = write("tiles.json", Completeness::Whole);
        assert_eq!(written, path("tiles.json"));
        assert_eq!(moved_words(&path("tiles.json"), &written), None);
        std::fs::write(path("tiles.json"), "kept").unwrap();
        std::fs::write(path("tiles"), "kept").unwrap();
        for (name, expected) in [
            ("tiles.json", "tiles.partial.json"),
            ("tiles.json", "tiles.partial-2.json"),
            ("tiles", "tiles.partial"),
        ] {
            let written = write(name, Completeness::Partial);
            assert_eq!(written, path(expected));
            assert_eq!(std::fs::read(path(name)).unwrap(), b"kept");
            let words = moved_words(&path(name), &written).unwrap();
            assert!(
                words.contains("stays as it was;") && words.ends_with(expected),
                "{words}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn partial_results_lie_beside_what_a_link_leads_to_and_devices_take_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("far")).unwrap();
        let link = folder.join("link.csv");
        let there = folder.join("far").join("runs.csv");
        std::os::unix::fs::symlink(&there, &link).unwrap();
        let expected = ["runs.partial.csv", "runs.partial-2.csv"];
        for name in expected.map(|name| folder.join("far").join(name)) {
            let written = write_results(&link, b"1", Completeness::Partial).unwrap();
            assert_eq!(written, name);
            // The second time the link leads to a file.
            std::fs::write(&there, "kept").unwrap();
        }
        let null = Path::new("/dev/null");
        let written = write_results(null, b"1", Completeness::Partial).unwrap();
        assert_eq!(written, null);
    }

    #[test]
    fn two_options_do_not_share_a_file_and_none_is_an_input() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (a, b, input) = (path("a"), path("b"), path("input"));
        std::fs::write(&input, "kept").unwrap();
        let check = |json: &Path, csv: &Path| {
            check_outs(
                &[
                    ("--json", Some(json)),
                    ("--csv", Some(csv)),
                    ("--html", None),
                ],
                &[Some(&input), None],
            )
            .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(check(&a, &b), Ok(()));
        let same = check(&a, &a).unwrap_err();
        assert!(
            same.starts_with("--json and --csv are the same file, choose two: "),
            "{same}"
        );
        // By another path, before the file is there and after.
        std::fs::create_dir(path("inner")).unwrap();
        let dotted = path("inner").join("..").join("b");
        assert!(check(&b, &dotted).is_err());
        std::fs::write(&b, "").unwrap();
        assert!(check(&b, &dotted).is_err());
        assert_eq!(check(&a, &dotted), Ok(()));
        let replaced = check(&a, &input).unwrap_err();
        assert!(
            replaced.starts_with("cannot write: it is an input of this command"),
            "{replaced}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_device_takes_several_reports() {
        let null = Some(Path::new("/dev/null"));
        check_outs(&[("--json", null), ("--csv", null)], &[]).unwrap();
    }
}
