//! `cargo xtask shaders`: every shader variant through naga and the compilers that wait behind it on other systems.

use crate::{cargo, compilers};
use anyhow::{Context, Result};

/// Arguments of `cargo xtask shaders`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShadersArguments {
    /// First install those compilers that are missing: spirv-val, Tint and DXC.
    #[arg(long)]
    install: bool,
    /// Install without asking (as when the variable CI is set).
    #[arg(long, short, requires = "install")]
    yes: bool,
    /// Only variants whose name contains this; the tests of the shader crate are left out.
    #[arg(long, value_name = "PART")]
    only: Option<String>,
}

/// The naga validation of every variant lives in the tests of `sparse-shaders`; `sparse-isa` hands all of them to the compilers of other systems, as
/// far as they are here, and names those that are not.
pub(crate) fn run(arguments: &ShadersArguments) -> Result<()> {
    let folder = compilers::folder();
    if arguments.install {
        let folder = folder.as_deref();
        let folder =
            folder.context("the user has no cache folder: neither HOME nor its kin is set")?;
        compilers::install(folder, arguments.yes)?;
    }
    // Thousands of texts: what a build in release takes longer, naga takes back.
    let mut sparse_isa = cargo::cargo([
        "run",
        "--release",
        "--package",
        "sparse-isa",
        "--features",
        "writers",
        "--",
        "--shaders",
    ])?;
    // Without it those of the system are asked.
    if let Some(folder) = folder {
        sparse_isa.arg("--compilers").arg(folder);
    }
    match &arguments.only {
        Some(part) => {
            sparse_isa.args(["--only", part]);
        }
        None => cargo::run(&mut cargo::cargo(["test", "--package", "sparse-shaders"])?)?,
    }
    cargo::run(&mut sparse_isa)
}
