//! `cargo xtask browser`: the operations in a headless Chromium, against the CPU references.

use crate::cargo;
use crate::wasm::TARGET;
use crate::wasm_tools::{Need, Tools};
use anyhow::Result;
use std::ffi::OsString;

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

/// Seconds that all tests may take; a browser compiles some two hundred kernels for them. The runner's own patience is 20.
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
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
    if std::env::var_os("WASM_BINDGEN_TEST_TIMEOUT").is_none() {
        command.env("WASM_BINDGEN_TEST_TIMEOUT", PATIENCE);
    }
    if !arguments.test_arguments.is_empty() {
        command.arg("--").args(&arguments.test_arguments);
    }
    cargo::run(&mut command)
}
