//! The target of browsers.

use std::path::Path;
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
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}
