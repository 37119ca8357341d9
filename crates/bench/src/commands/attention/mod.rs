//! `sparse-bench attention`: one layer, or the calibration of its thresholds.

mod calibrate;
mod measured;
mod outputs;
mod promise;
mod rule;
mod run;
mod table;

use std::process::ExitCode;

use crate::cli::AttentionArgs;

pub(crate) fn run(args: &AttentionArgs) -> anyhow::Result<ExitCode> {
    match args.target() {
        Some(target) => calibrate::run(args, target),
        None => run::run(args),
    }
}
