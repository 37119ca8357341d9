//! `cargo xtask test`: the whole suite on one adapter of this machine.

use crate::adapter::{self, DriverChoice};
use crate::print::print;
use crate::{cargo, own_tests, setup};
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

/// Makes sure that the driver is there and runs `cargo test`.
pub(crate) fn run(arguments: &TestArguments) -> Result<()> {
    let variables = adapter::provide(arguments.driver, &arguments.setup)?;
    let passed = &arguments.cargo_test_arguments;
    let excluded: &[_] = if own_tests::LEFT_OUT && takes_workspace(passed) {
        &own_tests::EXCLUSION
    } else {
        &[]
    };
    let mut command = cargo::cargo(cargo_arguments(excluded, passed))?;
    variables.apply(&mut command);
    cargo::run(&mut command)?;
    if excluded.is_empty() {
        return Ok(());
    }
    print(own_tests::NOT_CHECKED)
}

/// What `cargo test` is given: the whole workspace, unless the user says which packages (cargo takes `--workspace` once only), less what is `excluded`.
fn cargo_arguments<'a>(excluded: &[&'a str], passed: &'a [OsString]) -> Vec<&'a OsStr> {
    let scope = (!says_packages(passed)).then_some("--workspace");
    let ours = ["test"].into_iter().chain(scope);
    let ours = ours.chain(excluded.iter().copied()).map(OsStr::new);
    ours.chain(passed.iter().map(OsString::as_os_str)).collect()
}

/// Whether all packages are tested, by default or because the user says so: cargo lets `--workspace` win over `--package`.
fn takes_workspace(passed: &[OsString]) -> bool {
    !says_packages(passed) || options(passed).any(|option| is_workspace(&option))
}

fn says_packages(passed: &[OsString]) -> bool {
    options(passed)
        .any(|option| option.starts_with("-p") || option == "--package" || is_workspace(&option))
}

fn is_workspace(option: &str) -> bool {
    ["--workspace", "--all"].contains(&option)
}

/// The words for cargo itself, without values behind `=`; those behind `--` are for the test programs.
fn options(passed: &[OsString]) -> impl Iterator<Item = String> {
    let words = passed.iter().map(|word| word.to_string_lossy());
    let of_cargo = words.take_while(|word| word != "--");
    of_cargo.map(|word| word.split('=').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(passed: &[&str]) -> Vec<OsString> {
        passed.iter().map(OsString::from).collect()
    }

    fn line(passed: &[&str]) -> String {
        let line = cargo_arguments(&[], &words(passed)).join(OsStr::new(" "));
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

    #[test]
    fn what_is_excluded_is_said_before_the_words_for_the_test_programs() {
        let passed = words(&["nm", "--", "--nocapture"]);
        let line = cargo_arguments(&own_tests::EXCLUSION, &passed).join(OsStr::new(" "));
        assert_eq!(line, "test --workspace --exclude xtask nm -- --nocapture");
    }

    #[test]
    fn a_package_is_excluded_only_from_the_whole_workspace() {
        for whole in [&[][..], &["--release"], &["--all"], &["nm", "--", "-p"]] {
            assert!(takes_workspace(&words(whole)), "{whole:?}");
        }
        assert!(takes_workspace(&words(&[
            "-p",
            "sparse-core",
            "--workspace"
        ])));
        // Cargo refuses `--exclude` beside these.
        for some in [&["-p", "sparse-core"][..], &["--package=sparse-core"]] {
            assert!(!takes_workspace(&words(some)), "{some:?}");
        }
    }
}
