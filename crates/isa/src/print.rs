//! Standard output, which may be closed.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a line. Where nobody reads any more, as behind `| head`, the program goes on without: its verdict holds all the same.
///
/// # Errors
/// Where the line cannot be written for another reason, a full disk for one.
pub(crate) fn print(line: impl Display) -> Result<()> {
    print_to(&mut std::io::stdout().lock(), line)
}

fn print_to(out: &mut impl Write, line: impl Display) -> Result<()> {
    let printed = writeln!(out, "{line}").and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refuses everything.
    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_reading_is_no_failure_and_a_full_disk_is_one() {
        print_to(&mut Closed(ErrorKind::BrokenPipe), "line").unwrap();
        let full = print_to(&mut Closed(ErrorKind::StorageFull), "line");
        assert!(full.is_err());
    }
}
