//! What is needed beside cargo to build for browsers and to test there: named where it is missing, and fetched.

use crate::cargo;
use crate::install::{self, starts};
use crate::os_release::OsRelease;
use crate::wasm::{self, TARGET};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's names.
const CHROMIUM: [&str; 2] = ["chromium", "chromium-driver"];
/// Where the user has Chromium's driver; read by the test runner.
pub(crate) const DRIVER: &str = "CHROMEDRIVER";
/// The address of one on another machine; read by the test runner.
pub(crate) const REMOTE_DRIVER: &str = "CHROMEDRIVER_REMOTE";
/// The programs of wasm-bindgen-cli that are used.
const BINDGEN: [&str; 2] = ["wasm-bindgen", "wasm-bindgen-test-runner"];

/// Something that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The standard library for the target.
    Target,
    /// The programs of wasm-bindgen-cli.
    Bindgen,
    /// Chromium and its driver.
    Driver,
}

/// What is needed, for the version of wasm-bindgen in the lock file: it and its programs must be the same.
#[derive(Debug)]
pub(crate) struct Tools {
    version: String,
    /// Where the programs are installed to.
    folder: PathBuf,
}

impl Tools {
    /// Those of the workspace in the folder `root`.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let lock = root.join("Cargo.lock");
        let text = std::fs::read_to_string(&lock)
            .with_context(|| format!("{} cannot be read", lock.display()))?;
        let version = locked_version(&text, "wasm-bindgen")
            .with_context(|| format!("{} has no wasm-bindgen", lock.display()))?;
        Ok(Self {
            version: version.to_owned(),
            folder: root.join("target/browser"),
        })
    }

    /// Makes sure that everything in `needs` is here: installs what is missing where `install` says so, after a question unless `yes`, or names it
    /// for `cargo xtask <command>`.
    pub(crate) fn provide(
        &self,
        needs: &[Need],
        command: &str,
        install: bool,
        yes: bool,
    ) -> Result<()> {
        let missing: Vec<Need> = needs
            .iter()
            .copied()
            .filter(|&need| !self.is_here(need))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = missing.iter().map(|&need| self.what(need)).collect();
        let names = names.join(", ");
        if !install {
            bail!("not here: {names}; `cargo xtask {command} --install` fetches what can be had");
        }
        let has_apt = starts("apt-get", "--version");
        for &need in &missing {
            // Before the minutes that the others take to build.
            possible(need, &OsRelease::of_this_machine(), has_apt)?;
        }
        if !install::allowed_without_asking(yes) {
            install::ask(&format!("Install {names}?"))?;
        }
        missing.into_iter().try_for_each(|need| self.install(need))
    }

    fn is_here(&self, need: Need) -> bool {
        match need {
            Need::Target => wasm::is_installed(),
            Need::Bindgen => BINDGEN.iter().all(|name| self.find(name).is_some()),
            Need::Driver => {
                [DRIVER, REMOTE_DRIVER].map(variable) != [None, None]
                    || starts("chromedriver", "--version")
            }
        }
    }

    /// A program of wasm-bindgen-cli.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let missing = || format!("{name} is not where it was installed");
        self.find(name).with_context(missing)
    }

    /// The program of the right version: ours, or that of the search path.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        [self.folder.join("bin").join(&name), PathBuf::from(name)]
            .into_iter()
            .find(|program| {
                let output = Command::new(program).arg("--version").output();
                output.is_ok_and(|output| {
                    says_version(&String::from_utf8_lossy(&output.stdout), &self.version)
                })
            })
    }

    fn what(&self, need: Need) -> String {
        match need {
            Need::Target => format!("{TARGET} (by rustup)"),
            Need::Bindgen => format!("wasm-bindgen-cli {} (built by cargo)", self.version),
            Need::Driver => {
                "Chromium and chromedriver (by apt-get; elsewhere set CHROMEDRIVER to the path of yours)"
                    .to_owned()
            }
        }
    }

    fn install(&self, need: Need) -> Result<()> {
        match need {
            Need::Target => cargo::run(Command::new("rustup").args(["target", "add", TARGET])),
            Need::Bindgen => {
                let mut command = cargo::cargo(["install", "wasm-bindgen-cli", "--version"])?;
                command.arg(&self.version).arg("--root").arg(&self.folder);
                cargo::run(&mut command)
            }
            Need::Driver => install::packages(&CHROMIUM),
        }
    }
}

/// Whether [`Tools::install`] can do it on this system; otherwise what to do by hand.
fn possible(need: Need, system: &OsRelease, has_apt: bool) -> Result<()> {
    match need {
        Need::Target | Need::Bindgen => Ok(()),
        Need::Driver if system.is("ubuntu") => bail!(
            "{} has Chromium as a snap only and no package of its driver: install chromedriver and a browser of its version, and set {DRIVER} to \
             its path",
            system.name
        ),
        Need::Driver if has_apt => Ok(()),
        Need::Driver => bail!(
            "there is no apt-get here: install Chromium and chromedriver, and set {DRIVER} to the path of this where it is not in PATH"
        ),
    }
}

/// A variable of our environment; an empty one is as none.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The version of a package in the text of a Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

/// Whether a program that was asked for its version is of this one.
fn says_version(output: &str, version: &str) -> bool {
    output.split_whitespace().any(|word| word == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_package_of_this_very_name() {
        let lock = "[[package]]\nname = \"wasm-bindgen-test\"\nversion = \"0.3.80\"\n\n[[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm-bindgen-test"), Some("0.3.80"));
        assert_eq!(locked_version(lock, "wasm"), None);
        assert_eq!(locked_version("name = \"wasm\"", "wasm"), None);
    }

    #[test]
    fn the_lock_file_of_this_workspace_has_it() {
        let tools = Tools::of(&cargo::workspace_root().unwrap()).unwrap();
        assert!(tools.version.starts_with("0.2."), "{tools:?}");
    }

    #[test]
    fn the_driver_is_installed_where_a_package_has_it() {
        let refusal = |families: &[&str], has_apt| {
            let system = OsRelease {
                families: families.iter().map(|&family| family.to_owned()).collect(),
                name: "The System".to_owned(),
            };
            for need in [Need::Target, Need::Bindgen] {
                possible(need, &system, has_apt).unwrap();
            }
            let driver = possible(Need::Driver, &system, has_apt);
            driver.err().map(|error| error.to_string())
        };
        assert_eq!(refusal(&["debian"], true), None);
        let no_apt = refusal(&["fedora"], false).unwrap();
        assert!(no_apt.starts_with("there is no apt-get here"), "{no_apt}");
        for families in [
            &["ubuntu", "debian"][..],
            &["linuxmint", "ubuntu", "debian"],
        ] {
            let snap = refusal(families, true).unwrap();
            assert!(
                snap.starts_with("The System has Chromium as a snap"),
                "{snap}"
            );
            assert!(snap.contains("set CHROMEDRIVER"), "{snap}");
        }
    }

    #[test]
    fn another_version_is_another_runner() {
        let output = "wasm-bindgen-test-runner 0.2.130\n";
        assert!(says_version(output, "0.2.130"), "its own version");
        assert!(
            !says_version(output, "0.2.13") && !says_version("", "0.2.130"),
            "a part of it, or none"
        );
    }
}
