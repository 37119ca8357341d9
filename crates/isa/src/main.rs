//! `sparse-isa`: registers, spills, waves and the hot loops of every kernel that plans take by default.

use std::process::ExitCode;

use clap::Parser as _;
use sparse_isa::command::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
