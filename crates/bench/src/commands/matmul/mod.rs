//! `sparse-bench matmul`: prune one weight matrix, multiply, write y, w and x.

mod inputs;

use std::process::ExitCode;

use crate::cli::MatmulArgs;
use inputs::MatmulInputs;

pub(crate) fn run(args: &MatmulArgs) -> anyhow::Result<ExitCode> {
    let inputs = MatmulInputs::read(args)?;
    anyhow::bail!("this build has no GPU part yet ({:?})", inputs.dtype)
}
