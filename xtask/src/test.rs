//! `cargo xtask test`: the whole suite on one adapter of this machine.

use crate::adapter::{self, DriverChoice};
use crate::{cargo, setup};
use anyhow::Result;
use std::ffi::{OsStr, OsString};

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArguments {
    #[command(flatten)]
    setup: setup::SetupArguments,
    /// The driver to run on.
    #[arg(long, value_enum, default_value_t)]
    driver: DriverChoice,
    /// Passed to `cargo test`, for instance `-- -p sparse-core` or `-- -- --nocapture`.
    #[arg(last = true)]
    pub(crate) cargo_test_arguments: Vec<OsString>,
}

/// Sets the machine up and runs `cargo test`.
pub(crate) fn run(arguments: &TestArguments) -> Result<()> {
    setup::run(&arguments.setup)?;
    let variables = adapter::variables(arguments.driver)?;
    let mut command = cargo::cargo(cargo_arguments(&arguments.cargo_test_arguments))?;
    variables.apply(&mut command);
    cargo::run(&mut command)
}

/// The whole workspace, unless the user says which packages: cargo lets `--workspace` win over `--package`, and takes it once only.
fn cargo_arguments(passed: &[OsString]) -> Vec<&OsStr> {
    let words = passed.iter().map(|argument| argument.to_string_lossy());
    let mut of_cargo = words.take_while(|word| word != "--");
    let says_packages = of_cargo.any(|word| {
        let option = word.split('=').next().unwrap_or_default();
        word.starts_with("-p") || ["--package", "--workspace", "--all"].contains(&option)
    });
    let scope = (!says_packages).then_some("--workspace");
    let ours = ["test"].into_iter().chain(scope).map(OsStr::new);
    ours.chain(passed.iter().map(OsString::as_os_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(passed: &[&str]) -> String {
        let passed: Vec<OsString> = passed.iter().map(OsString::from).collect();
        let line = cargo_arguments(&passed).join(OsStr::new(" "));
        line.into_string().unwrap()
    }

    #[test]
    fn the_workspace_is_tested_unless_a_package_is_named() {
        assert_eq!(line(&[]), "test --workspace");
        assert_eq!(line(&["--release"]), "test --workspace --release");
        assert_eq!(line(&["-p", "sparse-core"]), "test -p sparse-core");
        assert_eq!(line(&["-psparse-core"]), "test -psparse-core");
        let excluding = ["--workspace", "--exclude", "sparse-core"];
        assert_eq!(line(&excluding), format!("test {}", excluding.join(" ")));
        assert_eq!(line(&["--all"]), "test --all");
        assert_eq!(
            line(&["--package=sparse-core"]),
            "test --package=sparse-core"
        );
    }

    #[test]
    fn arguments_of_the_test_programs_name_no_package() {
        assert_eq!(line(&["nm", "--", "-p"]), "test --workspace nm -- -p");
    }
}
