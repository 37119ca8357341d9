//! `sparse-isa`: registers, spills, waves and the hot loops of every kernel that plans take by default.

use std::process::ExitCode;

use clap::Parser as _;
use sparse_isa::command::Arguments;

fn main() -> ExitCode {
    // A program from Mesa's cache of compiled shaders has lost its listing.
    // SAFETY: no other thread runs yet.
    #[expect(
        unsafe_code,
        reason = "the driver reads its settings from the environment"
    )]
    unsafe {
        std::env::set_var("MESA_SHADER_CACHE_DISABLE", "true");
    }
    match Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
