//! `cargo xtask browser`: the operations in a headless Chromium, against the CPU references.

use crate::cargo;
use crate::install::{self, starts};
use crate::wasm::{self, TARGET};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments of `cargo xtask browser`.
#[derive(Debug, clap::Args)]
pub(crate) struct BrowserArguments {
    /// First install what is missing: the target wasm32, wasm-bindgen's test runner, Chromium and its driver.
    #[arg(long)]
    install: bool,
    /// Install without asking (as when the variable CI is set).
    #[arg(long, short, requires = "install")]
    yes: bool,
    /// Passed to the tests, for instance `-- products`.
    #[arg(last = true)]
    test_arguments: Vec<String>,
}

/// Seconds that all tests may take; a browser compiles some two hundred kernels for them. The runner's own patience is 20.
const PATIENCE: &str = "1200";
/// Debian's names.
const CHROMIUM: [&str; 2] = ["chromium", "chromium-driver"];

/// Builds the tests for the browser and runs them there.
pub(crate) fn run(arguments: &BrowserArguments) -> Result<()> {
    let root = cargo::workspace_root()?;
    let tools = Tools::of(&root)?;
    let missing = tools.missing();
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|&need| tools.what(need)).collect();
        let names = names.join(", ");
        if !arguments.install {
            bail!("not here: {names}; `cargo xtask browser --install` fetches what can be had");
        }
        if !install::allowed_without_asking(arguments.yes) {
            install::ask(&format!("Install {names}?"))?;
        }
        for need in missing {
            tools.install(need)?;
        }
    }
    let runner = tools
        .runner()
        .context("the test runner is not where it was installed")?;
    let mut command = cargo::cargo([
        "test",
        "--package",
        "sparse-browser-tests",
        "--target",
        TARGET,
    ])?;
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
    if std::env::var_os("WASM_BINDGEN_TEST_TIMEOUT").is_none() {
        command.env("WASM_BINDGEN_TEST_TIMEOUT", PATIENCE);
    }
    if !arguments.test_arguments.is_empty() {
        command.arg("--").args(&arguments.test_arguments);
    }
    cargo::run(&mut command)
}

/// Something that the tests need beside cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Target,
    Runner,
    Driver,
}

/// What the tests need, for the version of wasm-bindgen that they are built with: it and its runner must be the same.
#[derive(Debug)]
struct Tools {
    version: String,
    /// Where the runner is installed to.
    folder: PathBuf,
}

impl Tools {
    fn of(root: &Path) -> Result<Self> {
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

    fn missing(&self) -> Vec<Need> {
        [
            (Need::Target, wasm::is_installed()),
            (Need::Runner, self.runner().is_some()),
            (
                Need::Driver,
                std::env::var_os("CHROMEDRIVER").is_some() || starts("chromedriver", "--version"),
            ),
        ]
        .into_iter()
        .filter_map(|(need, here)| (!here).then_some(need))
        .collect()
    }

    /// The runner of the right version: ours, or that of the search path.
    fn runner(&self) -> Option<PathBuf> {
        let name = format!("wasm-bindgen-test-runner{}", std::env::consts::EXE_SUFFIX);
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
            Need::Runner => format!("wasm-bindgen-cli {} (built by cargo)", self.version),
            Need::Driver => {
                "Chromium and chromedriver (by apt-get; elsewhere set CHROMEDRIVER to the path of yours)"
                    .to_owned()
            }
        }
    }

    fn install(&self, need: Need) -> Result<()> {
        match need {
            Need::Target => cargo::run(Command::new("rustup").args(["target", "add", TARGET])),
            Need::Runner => {
                let mut command = cargo::cargo(["install", "wasm-bindgen-cli", "--version"])?;
                command.arg(&self.version).arg("--root").arg(&self.folder);
                cargo::run(&mut command)
            }
            Need::Driver if starts("apt-get", "--version") => install::packages(&CHROMIUM),
            Need::Driver => bail!("there is no apt-get here: install {}", self.what(need)),
        }
    }
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
    fn another_version_is_another_runner() {
        let output = "wasm-bindgen-test-runner 0.2.130\n";
        assert!(says_version(output, "0.2.130"), "its own version");
        assert!(
            !says_version(output, "0.2.13") && !says_version("", "0.2.130"),
            "a part of it, or none"
        );
    }
}
