//! The target of browsers.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What `sparse-gpu` is built for there.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Asks the compiler where the target's standard library would lie: works with and without rustup.
pub(crate) fn is_installed() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null());
    let Ok(output) = command.output() else {
        return false;
    };
    path(output.stdout.trim_ascii()).is_dir()
}

/// A path that a program printed.
#[cfg(unix)]
fn path(printed: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(printed).into()
}

/// A path that a program printed.
#[cfg(not(unix))]
fn path(printed: &[u8]) -> PathBuf {
    String::from_utf8_lossy(printed).into_owned().into()
}
