//! Shader compilers that package registries have: spirv-val from Debian, Tint from npm, DXC from `PyPI`.

use crate::cargo;
use crate::install::{self, starts};
use crate::print::print;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Dawn for Node: Tint and a backend that needs no driver.
const TINT: &str = "webgpu@0.6.2";

/// The package of `PyPI` whose source carries DXC's libraries, of which [`dxc_library()`] takes that of this machine, as `pip` wants it pinned.
const DXC: &str = "compushady==0.17.5 --hash=sha256:5052caf9e955d8e7a48e22f536e82b44b72e83af46e824a9e99157c7809de691\n";

/// The folder of what [`install()`] fetches, in the user's cache.
pub(crate) fn folder() -> Result<PathBuf> {
    folder_in(&|name| std::env::var_os(name))
}

fn folder_in(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let home = |below: &str| variable("HOME").map(|home| Path::new(&home).join(below));
    let cache = if cfg!(windows) {
        variable("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        home("Library/Caches")
    } else {
        variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| home(".cache"))
    };
    let cache = cache.context("the user has no cache folder: neither HOME nor its kin is set")?;
    Ok(cache.join("sparse-shader-compilers"))
}

/// The name of DXC's library for this machine in its package: on Linux and Windows. On macOS a program `dxc` is used where there is one.
fn dxc_library() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("libdxcompiler_x86_64.so.3.7"),
        ("linux", "aarch64") => Some("libdxcompiler_aarch64.so.3.7"),
        ("windows", "x86_64") => Some("dxcompiler.dll"),
        _ => None,
    }
}

/// Something that is not here yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    SpirvVal,
    Tint,
    Dxc,
}

impl Missing {
    fn what(self) -> String {
        match self {
            Self::SpirvVal => "spirv-val (package spirv-tools, by apt-get)".to_owned(),
            Self::Tint => format!("Tint ({TINT}, 130 MB, by npm)"),
            Self::Dxc => "DXC (in compushady 0.17.5, 67 MB, by pip)".to_owned(),
        }
    }

    /// Whether [`Missing::install`] can do it here; otherwise what to do by hand.
    fn possible(self) -> Result<(), String> {
        let needs = |program: &str, how: &str| {
            if starts(program, "--version") {
                Ok(())
            } else {
                Err(format!("{program} is not here; {how}"))
            }
        };
        match self {
            Self::SpirvVal => needs(
                "apt-get",
                "install SPIRV-Tools of the Khronos group, which every Vulkan SDK has",
            ),
            Self::Tint => needs(npm(), "install Node.js with npm (on Debian: apt-get install nodejs npm)"),
            Self::Dxc if dxc_library().is_none() => {
                Err("the package has no library for this machine; a program dxc of the Vulkan SDK is used where there is one".to_owned())
            }
            Self::Dxc => needs(python(), "install Python with pip (on Debian: apt-get install python3-pip)"),
        }
    }

    fn install(self, folder: &Path) -> Result<()> {
        match self {
            Self::SpirvVal => install::packages(&["spirv-tools"]),
            Self::Tint => tint(&folder.join("tint")),
            Self::Dxc => dxc(&folder.join("dxc")),
        }
    }
}

/// As Windows starts it: there it is a script.
fn npm() -> &'static str {
    if cfg!(windows) { "npm.cmd" } else { "npm" }
}

fn python() -> &'static str {
    if cfg!(windows) { "python" } else { "python3" }
}

/// What of the three is not here.
fn missing(folder: &Path) -> Vec<Missing> {
    let library = dxc_library().map(|name| folder.join("dxc").join(name));
    [
        (Missing::SpirvVal, starts("spirv-val", "--version")),
        (
            Missing::Tint,
            folder
                .join("tint/node_modules/webgpu/package.json")
                .is_file(),
        ),
        (
            Missing::Dxc,
            starts("dxc", "--version") || library.is_some_and(|library| library.is_file()),
        ),
    ]
    .into_iter()
    .filter_map(|(compiler, here)| (!here).then_some(compiler))
    .collect()
}

/// Installs what is missing and can be had, after a question; what cannot be had is named, and is missing again when the shaders are checked.
pub(crate) fn install(folder: &Path, yes: bool) -> Result<()> {
    let mut wanted = Vec::new();
    for compiler in missing(folder) {
        match compiler.possible() {
            Ok(()) => wanted.push(compiler),
            Err(reason) => print(format_args!(
                "cannot be installed: {}: {reason}",
                compiler.what()
            ))?,
        }
    }
    if wanted.is_empty() {
        return print("shader compilers: nothing to install");
    }
    let list: Vec<_> = wanted.iter().map(|compiler| compiler.what()).collect();
    let question = format!(
        "Install {}? Packages of npm and pip go to {} only.",
        list.join(", "),
        folder.display()
    );
    if !install::allowed_without_asking(yes) {
        install::ask(&question)?;
    }
    for compiler in wanted {
        compiler.install(folder)?;
    }
    Ok(())
}

/// Nothing of the package runs: what it would do after installing is to pick the program of this system, which it does again when it is used.
fn tint(folder: &Path) -> Result<()> {
    make(folder)?;
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
fn dxc(folder: &Path) -> Result<()> {
    let library = dxc_library().context("the package has no library for this machine")?;
    make(folder)?;
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

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("the folder cannot be made: {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_lacks_tint_until_its_package_is_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(missing(folder.path()).contains(&Missing::Tint));
        let package = folder.path().join("tint/node_modules/webgpu");
        std::fs::create_dir_all(&package).unwrap();
        std::fs::write(package.join("package.json"), "{}").unwrap();
        assert!(!missing(folder.path()).contains(&Missing::Tint));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_folder_is_in_the_cache_of_the_user() {
        let with = |set: &'static [(&str, &str)]| {
            folder_in(&|name| {
                set.iter()
                    .find(|(variable, _)| *variable == name)
                    .map(|(_, value)| value.into())
            })
        };
        let folder = with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "")]).unwrap();
        assert_eq!(folder, Path::new("/h/.cache/sparse-shader-compilers"));
        let folder = with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]).unwrap();
        assert_eq!(folder, Path::new("/c/sparse-shader-compilers"));
        assert!(with(&[]).is_err());
    }
}
