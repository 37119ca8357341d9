//! The rooms of `sparse-bench`: command line, tensor files, measuring, shapes, records and reports.
//!
//! The binary is one call to [`main`]. The criterion benches take their shapes and their names from here, so that a row of
//! `compare` and a bench of the same name measure the same thing.

// A closed output would be a panic: `commands::print` knows what to do.
#![deny(clippy::print_stdout)]

pub mod calibrate;
pub mod ceilings;
pub mod cli;
mod commands;
pub mod compare;
pub mod device;
pub mod interleave;
pub mod interrupt;
mod json_file;
pub mod memory;
pub mod peers;
pub mod presets;
pub mod profile;
pub mod progress;
pub mod record;
pub mod report;
pub mod tensors;
pub mod tune;

#[cfg(test)]
mod fixture;

use std::process::ExitCode;

use cli::Command;

/// The program: parses the command line, runs the command, prints an error once.
pub fn main() -> ExitCode {
    match run(&cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Matmul(args) => commands::matmul::run(args),
        Command::Attention(args) => commands::attention::run(args),
        Command::Memory(args) => commands::memory::run(args),
        Command::Adapters(args) => commands::adapters::run(args),
        Command::Compare(args) => commands::compare::run(args),
        Command::Tune(args) => commands::tune::run(args),
    }
}
