//! `cargo xtask browser`: the operations in a headless Chromium, against the CPU references.

use crate::cargo;
use crate::wasm::TARGET;
use crate::wasm_tools::{DRIVER, Need, REMOTE_DRIVER, Tools, variable};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{self, Path};
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
    pub(crate) test_arguments: Vec<OsString>,
}

/// Says how many seconds all tests may take; read by the test runner, which panics where it is empty.
const PATIENCE_VARIABLE: &str = "WASM_BINDGEN_TEST_TIMEOUT";
/// A browser compiles some two hundred kernels for them. The runner's own patience is 20.
const PATIENCE: &str = "1200";
/// What the tests need beside cargo.
const NEEDS: [Need; 3] = [Need::Target, Need::Bindgen, Need::Driver];

/// Builds the tests for the browser and runs them there.
pub(crate) fn run(arguments: &BrowserArguments) -> Result<()> {
    let tools = Tools::of(&cargo::workspace_root()?)?;
    tools.provide(&NEEDS, "browser", arguments.install, arguments.yes)?;
    let runner = tools.program("wasm-bindgen-test-runner")?;
    let mut command = cargo::cargo([
        "test",
        "--package",
        "sparse-browser-tests",
        "--target",
        TARGET,
    ])?;
    run_by(&mut command, &runner, variable("PATH"))?;
    in_chromium(
        &mut command,
        variable(DRIVER),
        variable(REMOTE_DRIVER).is_some(),
    )?;
    be_patient(&mut command, std::env::var_os(PATIENCE_VARIABLE));
    if !arguments.test_arguments.is_empty() {
        command.arg("--").args(&arguments.test_arguments);
    }
    cargo::run(&mut command)
}

/// Makes cargo run the tests by `runner`. Cargo splits its variable at spaces, so that a path would end at the first: it gets the name only, whose
/// folder becomes the first of the search path.
fn run_by(command: &mut Command, runner: &Path, search_path: Option<OsString>) -> Result<()> {
    let name = runner.file_name().context("the runner has no name")?;
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", name);
    let folder = runner.parent().unwrap_or(Path::new(""));
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let search_path = search_path.unwrap_or_default();
    let others = std::env::split_paths(&search_path);
    let folders = std::env::join_paths(std::iter::once(folder.to_path_buf()).chain(others));
    let folders =
        folders.with_context(|| format!("PATH cannot have this folder: {}", folder.display()))?;
    command.env("PATH", folders);
    Ok(())
}

/// Variables by which the runner takes another browser before it looks for Chromium, whose switches the tests have: it takes the first that is set,
/// remote drivers before local ones, and without any Firefox's and Safari's before Chromium's of the search path.
const OTHER_DRIVERS: [&str; 5] = [
    "GECKODRIVER_REMOTE",
    "GECKODRIVER",
    "SAFARIDRIVER_REMOTE",
    "SAFARIDRIVER",
    "MSEDGEDRIVER_REMOTE",
];

/// Makes the runner take Chromium: by its driver at `driver`, else by that of the search path, unless there is a `remote` one.
fn in_chromium(command: &mut Command, driver: Option<OsString>, remote: bool) -> Result<()> {
    for name in OTHER_DRIVERS {
        command.env_remove(name);
    }
    if remote {
        return Ok(());
    }
    let driver = match driver.as_ref().map(Path::new) {
        // The runner starts elsewhere than the user.
        Some(driver) if driver.components().count() > 1 => path::absolute(driver)
            .with_context(|| format!("{DRIVER} names no path: {}", driver.display()))?,
        Some(name) => name.to_path_buf(),
        None => "chromedriver".into(),
    };
    command.env_remove(REMOTE_DRIVER).env(DRIVER, driver);
    Ok(())
}

/// Gives the tests as long as they need, unless the user has `given` them a time; an empty one is none.
fn be_patient(command: &mut Command, given: Option<OsString>) {
    if given.is_none_or(|seconds| seconds.is_empty()) {
        command.env(PATIENCE_VARIABLE, PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the command sets a variable to; `Some(None)` where it removes it.
    fn set(command: &Command, name: &str) -> Option<Option<OsString>> {
        let mut all = command.get_envs();
        let (_, value) = all.find(|(known, _)| *known == name)?;
        Some(value.map(Into::into))
    }

    #[test]
    fn a_runner_in_a_folder_with_a_space_is_found_by_its_name() {
        const RUNNER: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER";
        let folder = Path::new("my work").join("bin");
        let others = std::env::join_paths(["a", "b"]).unwrap();
        let mut command = Command::new("cargo");
        run_by(&mut command, &folder.join("runner"), Some(others.clone())).unwrap();
        assert_eq!(set(&command, RUNNER), Some(Some("runner".into())));
        let all = std::env::join_paths([&folder, Path::new("a"), Path::new("b")]).unwrap();
        assert_eq!(set(&command, "PATH"), Some(Some(all)));

        // One of the search path is found as it is.
        let mut command = Command::new("cargo");
        run_by(&mut command, Path::new("runner"), Some(others)).unwrap();
        assert_eq!(set(&command, RUNNER), Some(Some("runner".into())));
        assert_eq!(set(&command, "PATH"), None);
    }

    #[test]
    fn chromium_is_taken_whatever_other_browsers_there_are() {
        let driver = |given: Option<&str>, remote| {
            let mut command = Command::new("cargo");
            in_chromium(&mut command, given.map(Into::into), remote).unwrap();
            for other in OTHER_DRIVERS {
                assert_eq!(set(&command, other), Some(None), "{other}");
            }
            set(&command, DRIVER)
        };
        assert_eq!(driver(None, false), Some(Some("chromedriver".into())));
        assert_eq!(driver(Some("mine"), false), Some(Some("mine".into())));
        let below = Path::new("below").join("chromedriver");
        let here = std::env::current_dir().unwrap().join(&below);
        let given = driver(below.to_str(), false);
        assert_eq!(given, Some(Some(here.into_os_string())));
        assert_eq!(driver(Some("mine"), true), None, "the remote one is left");
    }

    #[test]
    fn the_tests_have_as_long_as_the_user_gives_them_or_as_they_need() {
        let patience = |given: Option<&str>| {
            let mut command = Command::new("cargo");
            be_patient(&mut command, given.map(Into::into));
            set(&command, PATIENCE_VARIABLE)
        };
        for none in [None, Some("")] {
            assert_eq!(patience(none), Some(Some(PATIENCE.into())), "{none:?}");
        }
        assert_eq!(patience(Some("60")), None, "the user's own holds");
    }
}
