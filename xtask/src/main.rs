//! Development commands of the workspace: `cargo xtask <setup|test|bench|browser|web|ci|isa|shaders>`.
//!
//! They are a Rust program and not shell scripts so that they work alike on Linux, Windows and macOS.
#![warn(clippy::print_stdout)]

mod adapter;
mod bench;
mod browser;
mod cargo;
mod ci;
mod compilers;
#[cfg(test)]
mod documents;
mod install;
mod isa;
mod new_target;
mod os_release;
mod own_tests;
mod print;
mod setup;
mod shaders;
mod test;
mod vulkan;
mod wasm;
mod wasm_tools;
mod web;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Development commands of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes sure that a graphics driver is there, installing a software one where it can.
    Setup(setup::SetupArguments),
    /// Runs the whole test suite on one adapter of this machine.
    Test(test::TestArguments),
    /// Compares sparse products and attention with their dense twins on this machine and writes a report.
    Bench(bench::BenchArguments),
    /// Runs the operations in a headless Chromium, on the software adapter that it brings.
    Browser(browser::BrowserArguments),
    /// Builds the page that compares the operations in a browser, and serves it on this machine.
    Web(web::WebArguments),
    /// Runs everything that a change must pass, step by step.
    Ci(ci::CiArguments),
    /// Compiles the kernels through a GPU's driver, hardware or not, and says what their machine code holds.
    Isa(isa::IsaArguments),
    /// Expands every shader variant, validates it with naga, writes it in all shader languages, and hands it to the compilers that are here.
    Shaders(shaders::ShadersArguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Browser(arguments) => browser::run(&arguments),
        Command::Web(arguments) => web::run(&arguments),
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Isa(arguments) => isa::run(&arguments),
        Command::Shaders(arguments) => shaders::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[cfg(unix)]
    #[test]
    fn paths_behind_the_dashes_need_not_be_unicode() {
        use std::ffi::{OsStr, OsString};
        use std::os::unix::ffi::OsStrExt as _;
        let path = OsStr::from_bytes(b"\xff.json");
        let passed = |command: &str| -> Vec<OsString> {
            let line = ["xtask", command, "--"].map(OsStr::new);
            match Arguments::try_parse_from([&line[..], &[path]].concat())
                .unwrap()
                .command
            {
                Command::Test(arguments) => arguments.cargo_test_arguments,
                Command::Bench(arguments) => arguments.compare_arguments,
                Command::Browser(arguments) => arguments.test_arguments,
                Command::Isa(arguments) => arguments.isa_arguments,
                other => panic!("{other:?} passes nothing on"),
            }
        };
        for command in ["test", "bench", "browser", "isa"] {
            assert_eq!(passed(command), [path], "{command}");
        }
    }

    #[test]
    fn arguments_behind_the_dashes_are_passed_on_with_further_dashes() {
        let line = [
            "xtask",
            "test",
            "--yes",
            "--",
            "-p",
            "sparse-core",
            "--",
            "--nocapture",
        ];
        let Command::Test(test) = Arguments::try_parse_from(line).unwrap().command else {
            panic!("`test` parsed as another command");
        };
        assert_eq!(
            test.cargo_test_arguments,
            ["-p", "sparse-core", "--", "--nocapture"]
        );
    }
}
