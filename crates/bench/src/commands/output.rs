//! Where results go: standard output, which may be closed, and files, which must not be ones that were read.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;

use crate::tensors::{check_out, is_same_out};

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

#[cfg(test)]
mod tests {
    use super::*;

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
