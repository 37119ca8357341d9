//! Every variant of every kernel through the compilers that wait behind naga on other systems.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use sparse_shaders::{Source, expand_all_variants};

use crate::spirv::{self, Target};

/// Versions of SPIR-V: what wgpu writes for Vulkan 1.1 and 1.3, with spirv-val's name for the environment.
const VERSIONS: [((u8, u8), &str); 2] = [((1, 3), "vulkan1.1"), ((1, 6), "vulkan1.3")];

/// Writes all variants as SPIR-V and, built with the feature `writers`, as MSL, HLSL and WGSL; checks them with the tools that are here and
/// names those that are not. True where nothing was refused.
///
/// # Errors
/// A variant that does not expand, a tool that cannot be started.
pub fn check() -> Result<bool> {
    let sources = expand_all_variants()?;
    let folder = std::env::temp_dir().join(format!("sparse-shaders-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("no folder for the modules: {}", folder.display()))?;
    let refused = check_in(&sources, &folder);
    // What stays behind is only disk space.
    let _ = std::fs::remove_dir_all(&folder);
    let refused = refused?;
    for line in &refused {
        println!("REFUSED {line}");
    }
    Ok(refused.is_empty())
}

fn check_in(sources: &[Source], folder: &Path) -> Result<Vec<String>> {
    let mut refused = Vec::new();
    let spirv_val = find("spirv-val");
    for (version, environment) in VERSIONS {
        let target = Target {
            version,
            robust_buffers: true,
            names_of_varyings: true,
        };
        for source in sources {
            let words = spirv::compile(source, target)?;
            if let Some(program) = &spirv_val {
                refused.extend(
                    validate(program, environment, &words, folder)?.map(|message| {
                        format!("{} by spirv-val for {environment}: {message}", source.name)
                    }),
                );
            }
        }
        let by = if spirv_val.is_some() {
            ", taken by spirv-val"
        } else {
            ""
        };
        println!(
            "SPIR-V {}.{}: {} variants{by}",
            version.0,
            version.1,
            sources.len()
        );
    }
    if spirv_val.is_none() {
        println!("not run: spirv-val (on Debian: apt-get install spirv-tools)");
    }
    writers(sources)?;
    match find("node") {
        Some(node) => refused.extend(tint(&node, sources, folder)?),
        None => println!("not run: Tint (wants node, and its package webgpu)"),
    }
    match find("dxc") {
        Some(_) => {
            println!("not run: DXC, which is here; its HLSL is written, but not yet handed over");
        }
        None => println!("not run: DXC, which neither Debian nor npm has"),
    }
    Ok(refused)
}

/// What spirv-val says against a module.
fn validate(
    program: &Path,
    environment: &str,
    words: &[u32],
    folder: &Path,
) -> Result<Option<String>> {
    let file = folder.join("module.spv");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    std::fs::write(&file, bytes)?;
    let output = Command::new(program)
        .args(["--target-env", environment])
        .arg(&file)
        .output()
        .context("spirv-val could not be started")?;
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((!output.status.success()).then_some(message))
}

/// A module as the writers want it.
fn parse(source: &Source) -> Result<(naga::Module, ModuleInfo)> {
    let module = naga::front::wgsl::parse_str(&source.wgsl)
        .map_err(|e| anyhow!(e.emit_to_string(&source.wgsl)))?;
    let info = Validator::new(
        ValidationFlags::all(),
        Capabilities::SHADER_FLOAT16_IN_FLOAT32,
    )
    .validate(&module)
    .map_err(|e| anyhow!(e.emit_to_string(&source.wgsl)))?;
    Ok((module, info))
}

#[cfg(not(feature = "writers"))]
fn writers(sources: &[Source]) -> Result<()> {
    if let Some(source) = sources.first() {
        parse(source)?;
    }
    println!(
        "not run: naga's writers of MSL, HLSL and WGSL (build sparse-isa with the feature `writers`)"
    );
    Ok(())
}

#[cfg(feature = "writers")]
fn writers(sources: &[Source]) -> Result<()> {
    use naga::back::{hlsl, msl, wgsl};
    let metal = msl::Options {
        fake_missing_bindings: true,
        ..msl::Options::default()
    };
    let direct3d = hlsl::Options {
        fake_missing_bindings: true,
        shader_model: hlsl::ShaderModel::V6_0,
        ..hlsl::Options::default()
    };
    for source in sources {
        let (module, info) = parse(source)?;
        let written = |language: &str| format!("{}: naga writes no {language}", source.name);
        msl::write_string(&module, &info, &metal, &msl::PipelineOptions::default())
            .with_context(|| written("MSL"))?;
        let pipeline = hlsl::PipelineOptions::default();
        hlsl::Writer::new(&mut String::new(), &direct3d, &pipeline)
            .write(&module, &info, None)
            .with_context(|| written("HLSL"))?;
        wgsl::write_string(&module, &info, wgsl::WriterFlags::empty())
            .with_context(|| written("WGSL"))?;
    }
    println!(
        "MSL, HLSL, WGSL: {} variants written by naga",
        sources.len()
    );
    Ok(())
}

/// Hands every WGSL to Dawn's compiler; its null backend needs no driver.
fn tint(node: &Path, sources: &[Source], folder: &Path) -> Result<Vec<String>> {
    let has_package = Command::new(node)
        .args([
            "--input-type=module",
            "-e",
            "import('webgpu').then(() => process.exit(0), () => process.exit(1))",
        ])
        .stderr(Stdio::null())
        .status()
        .context("node could not be started")?;
    if !has_package.success() {
        println!("not run: Tint (npm install webgpu, in this folder or one above)");
        return Ok(Vec::new());
    }
    let texts: Vec<_> = sources
        .iter()
        .map(|s| (s.name.as_str(), s.wgsl.as_str()))
        .collect();
    let file = folder.join("shaders.json");
    std::fs::write(&file, serde_json::to_string(&texts)?)?;
    let mut child = Command::new(node)
        .args(["--input-type=module", "-"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("node could not be started")?;
    child
        .stdin
        .take()
        .context("node takes no program")?
        .write_all(include_bytes!("tint.mjs"))?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("Tint's run ended early ({})", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let refused: Vec<String> = text
        .lines()
        .map(|line| format!("by Tint: {line}"))
        .collect();
    println!(
        "Tint: {} variants, {} refused",
        sources.len(),
        refused.len()
    );
    Ok(refused)
}

/// A program of the search path.
fn find(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_validator_refuses_is_passed_on() {
        // This test's own program stands for spirv-val: it does not know these arguments, says so and fails.
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let message = validate(&program, "vulkan1.1", &[0x0723_0203, 0], folder.path()).unwrap();
        assert!(message.is_some_and(|text| text.contains("target-env")));
        let nothing = folder.path().join("no such program");
        assert!(validate(&nothing, "vulkan1.1", &[], folder.path()).is_err());
    }
}
