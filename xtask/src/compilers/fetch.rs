//! How the compilers of npm and `PyPI` are fetched, in pinned versions.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Dawn for Node: Tint and a backend that needs no driver.
pub(super) const TINT: &str = "webgpu@0.6.2";

/// The package of `PyPI` whose source carries DXC's libraries, of which [`dxc_library()`] takes that of this machine, as `pip` wants it pinned.
pub(super) const DXC: &str = "compushady==0.17.5 --hash=sha256:5052caf9e955d8e7a48e22f536e82b44b72e83af46e824a9e99157c7809de691\n";

/// The name of DXC's library for this machine in its package: on Linux and Windows. On macOS a program `dxc` is used where there is one.
pub(super) fn dxc_library() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("libdxcompiler_x86_64.so.3.7"),
        ("linux", "aarch64") => Some("libdxcompiler_aarch64.so.3.7"),
        ("windows", "x86_64") => Some("dxcompiler.dll"),
        _ => None,
    }
}

/// As Windows starts it: there it is a script.
pub(super) fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

pub(super) fn python() -> &'static str {
    if cfg!(windows) { "python" } else { "python3" }
}

/// Nothing of the package runs: what it would do after installing is to pick the program of this system, which it does again when it is used.
pub(super) fn tint(folder: &Path) -> Result<()> {
    cargo::run(
        Command::new(npm())
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--prefix",
            ])
            .arg(folder)
            .arg(TINT),
    )
}

/// The library out of the package's source archive, whose digest is checked; nothing of the package is built.
pub(super) fn dxc(folder: &Path) -> Result<()> {
    let library = dxc_library().context("the package has no library for this machine")?;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, DXC)
        .with_context(|| format!("not written: {}", requirements.display()))?;
    cargo::run(
        Command::new(python())
            .args(["-m", "pip", "download", "--no-deps", "--no-binary", ":all:"])
            .args(["--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--dest")
            .arg(folder),
    )?;
    let archive = folder.join("compushady-0.17.5.tar.gz");
    let member = format!("compushady-0.17.5/compushady/backends/{library}");
    cargo::run(
        Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(folder)
            .args(["--strip-components=3", &member]),
    )?;
    if !folder.join(library).is_file() {
        bail!("the archive holds no {member}");
    }
    // Only the library is wanted of it.
    let _ = std::fs::remove_file(archive);
    Ok(())
}
