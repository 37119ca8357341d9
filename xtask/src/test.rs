//! `cargo xtask test`: the whole suite on one adapter of this machine.

use crate::adapter::{self, DriverChoice};
use crate::{cargo, setup};
use anyhow::Result;

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
    pub(crate) cargo_test_arguments: Vec<String>,
}

/// Sets the machine up and runs `cargo test`.
pub(crate) fn run(arguments: &TestArguments) -> Result<()> {
    setup::run(&arguments.setup)?;
    let variables = adapter::variables(arguments.driver)?;
    let mut command = cargo::cargo(cargo_arguments(&arguments.cargo_test_arguments))?;
    variables.apply(&mut command);
    cargo::run(&mut command)
}

/// The whole workspace, unless the user names packages: cargo lets `--workspace` win over `--package`.
fn cargo_arguments(passed: &[String]) -> Vec<&str> {
    let ours = passed.iter().map(String::as_str);
    let names_package = ours
        .clone()
        .take_while(|&argument| argument != "--")
        .any(|argument| {
            argument.starts_with("-p") || argument.split('=').next() == Some("--package")
        });
    let scope = if names_package {
        None
    } else {
        Some("--workspace")
    };
    std::iter::once("test").chain(scope).chain(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(passed: &[&str]) -> String {
        let passed: Vec<String> = passed.iter().map(|&argument| argument.to_owned()).collect();
        cargo_arguments(&passed).join(" ")
    }

    #[test]
    fn the_workspace_is_tested_unless_a_package_is_named() {
        assert_eq!(line(&[]), "test --workspace");
        assert_eq!(line(&["--release"]), "test --workspace --release");
        assert_eq!(line(&["-p", "sparse-core"]), "test -p sparse-core");
        assert_eq!(line(&["-psparse-core"]), "test -psparse-core");
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
