//! `sparse-bench attention`: score, select and attend; write block scores, mask, output and log-sum-exp.

mod inputs;

use std::process::ExitCode;

use crate::cli::AttentionArgs;
use inputs::Qkv;

pub(crate) fn run(args: &AttentionArgs) -> anyhow::Result<ExitCode> {
    let options = args.options()?;
    let qkv = Qkv::read(&args.qkv)?;
    options.layout(qkv.shape)?;
    anyhow::bail!(
        "this version has no attention kernels yet; q {:?}, k {:?} and v {:?} ({}) could be read",
        qkv.q.shape(),
        qkv.k.shape(),
        qkv.v.shape(),
        qkv.dtype()
    )
}
