//! Tint, the WGSL compiler of Dawn and so of Chromium, by Dawn's package for Node.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::script::Script;
use super::{Outcome, Variant, tools};

const HOW: &str = "wants node and its package webgpu (cargo xtask shaders --install, or npm install webgpu in this folder or one above)";

/// Hands over the WGSL as it is, and makes a pipeline with WebGPU's default limits; Dawn's null backend needs no driver.
pub(super) fn check(
    variants: &[Variant],
    installed: Option<&Path>,
    scratch: &Path,
) -> Result<Outcome> {
    let Some(node) = tools::find("node") else {
        return Ok(Outcome::NotRun(HOW.to_owned()));
    };
    let folder = installed.map(|folder| folder.join("tint"));
    let folder = folder.filter(|folder| folder.is_dir());
    if !has_package(&node, folder.as_deref())? {
        return Ok(Outcome::NotRun(HOW.to_owned()));
    }
    let script = Script {
        interpreter: node,
        arguments: ["--input-type=module", "-"].map(Into::into).into(),
        text: include_str!("tint.mjs"),
        folder,
    };
    let texts: Vec<_> = variants
        .iter()
        .map(|variant| (variant.name(), variant.source.wgsl.as_str()))
        .collect();
    Ok(Outcome::Ran {
        texts: texts.len(),
        by: "Dawn's null backend, default limits".to_owned(),
        complaints: script.run(&texts, scratch)?,
    })
}

fn has_package(node: &Path, folder: Option<&Path>) -> Result<bool> {
    let mut command = Command::new(node);
    command.args([
        "--input-type=module",
        "-e",
        "import('webgpu').then(() => process.exit(0), () => process.exit(1))",
    ]);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let status = command
        .stderr(Stdio::null())
        .status()
        .context("node could not be started")?;
    Ok(status.success())
}
