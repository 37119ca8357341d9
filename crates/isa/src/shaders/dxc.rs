//! DXC, Microsoft's compiler of HLSL, which wgpu uses on Direct3D 12.
//!
//! A `dxc` of the search path is taken where there is one. Otherwise the library that `cargo xtask shaders --install` puts into its folder, called by
//! a Python script: the registry that has the library is Python's, its COM interface is four calls, and if the compiler crashes only the
//! script's process is gone. See "Compilers of other systems" in `docs/TESTING.md`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::script::Script;
use super::{Complaint, Outcome, parallel, tools};

/// What wgpu passes, but for its `-no-warnings`: only the one about `if ((a == b))` is left out, which naga writes whatever the WGSL.
const ARGUMENTS: [&str; 8] = [
    "-E",
    "main",
    "-T",
    "cs_6_0",
    "-HV",
    "2018",
    "-Ges",
    "-Wno-parentheses-equality",
];

const HOW: &str = "neither a program dxc nor the library is here (cargo xtask shaders --install; the Vulkan and Windows SDKs have the program)";

/// Compiles HLSL texts, each once.
pub(super) fn check(
    hlsl: &[(String, String)],
    installed: Option<&Path>,
    scratch: &Path,
) -> Result<Outcome> {
    let mut texts: Vec<(&str, &str)> = hlsl
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    texts.sort_by_key(|&(_, text)| text);
    texts.dedup_by_key(|&mut (_, text)| text);
    let (by, complaints) = if let Some(program) = tools::find("dxc") {
        let by = program.display().to_string();
        (by, run_program(&program, &texts, scratch)?)
    } else if let Some(script) = script(installed) {
        (
            "the library, by Python".to_owned(),
            script.run(&texts, scratch)?,
        )
    } else {
        return Ok(Outcome::NotRun(HOW.to_owned()));
    };
    Ok(Outcome::Ran {
        texts: texts.len(),
        by,
        complaints,
    })
}

/// The script that calls the library, where both library and interpreter are here.
fn script(installed: Option<&Path>) -> Option<Script> {
    let folder = installed?.join("dxc");
    let library = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().contains("dxcompiler")
        })?;
    let interpreter = tools::find("python3").or_else(|| tools::find("python"))?;
    let arguments = ["-", &ARGUMENTS.join(" ")].map(Into::into);
    Some(Script {
        interpreter,
        arguments: [arguments.into(), vec![library.into_os_string()]].concat(),
        text: include_str!("dxc.py"),
        folder: None,
    })
}

fn run_program(program: &Path, texts: &[(&str, &str)], scratch: &Path) -> Result<Vec<Complaint>> {
    let answers = parallel::map(texts, |thread, (name, text)| {
        let file = scratch.join(format!("{thread}.hlsl"));
        std::fs::write(&file, text)
            .with_context(|| format!("the HLSL cannot be written: {}", file.display()))?;
        let output = Command::new(program)
            .args(ARGUMENTS)
            .arg("-Fo")
            .arg(scratch.join(format!("{thread}.dxil")))
            .arg(&file)
            .output()
            .context("dxc could not be started")?;
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let refused = !output.status.success();
        Ok((refused || !message.is_empty()).then(|| Complaint {
            variant: (*name).to_owned(),
            refused,
            message,
        }))
    });
    answers.into_iter().filter_map(Result::transpose).collect()
}
