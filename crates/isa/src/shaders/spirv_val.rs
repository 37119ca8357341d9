//! SPIR-V as wgpu writes it for Vulkan, read by spirv-val.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Complaint, Outcome, Variant, parallel, tools};
use crate::spirv::{self, Target};

/// What wgpu writes for Vulkan 1.1 and for 1.3.
pub(super) const TARGETS: [Target; 2] = [
    Target {
        version: (1, 3),
        robust_buffers: true,
        names_of_varyings: true,
    },
    Target {
        version: (1, 6),
        robust_buffers: true,
        names_of_varyings: true,
    },
];

/// spirv-val's name for the environment that takes this version.
fn environment(target: Target) -> &'static str {
    if target.version < (1, 6) {
        "vulkan1.1"
    } else {
        "vulkan1.3"
    }
}

/// Writes all variants and has them read.
pub(super) fn check(variants: &[Variant], target: Target, scratch: &Path) -> Result<Outcome> {
    let program = tools::find("spirv-val");
    let answers = parallel::map(variants, |thread, variant| {
        let words = spirv::write(&variant.source, &variant.module, &variant.info, target)?;
        let Some(program) = &program else {
            return Ok(None);
        };
        let file = scratch.join(format!("{thread}.spv"));
        let said = validate(program, environment(target), &words, &file)?;
        Ok(said.map(|(refused, message)| Complaint {
            variant: variant.name().to_owned(),
            refused,
            message,
        }))
    });
    let complaints = answers
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    Ok(match program {
        Some(_) => Outcome::Ran {
            texts: variants.len(),
            by: format!("spirv-val for {}", environment(target)),
            complaints,
        },
        None => Outcome::NotRun(format!(
            "naga wrote {} modules, spirv-val is not here to read them (cargo xtask shaders --install, or on Debian: apt-get install spirv-tools)",
            variants.len()
        )),
    })
}

/// Writes variants that no spirv-val at hand can read.
pub(super) fn write(variants: &[Variant]) -> Result<Outcome> {
    for target in TARGETS {
        let written = parallel::map(variants, |_, variant| {
            spirv::write(&variant.source, &variant.module, &variant.info, target)
        });
        written.into_iter().try_for_each(|words| words.map(drop))?;
    }
    Ok(Outcome::Ran {
        texts: variants.len(),
        by: "1.3 and 1.6, written, read by nobody".to_owned(),
        complaints: Vec::new(),
    })
}

/// Whether spirv-val refuses a module, and what it says; nothing where it is content.
fn validate(
    program: &Path,
    environment: &str,
    words: &[u32],
    file: &Path,
) -> Result<Option<(bool, String)>> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    std::fs::write(file, bytes)
        .with_context(|| format!("the module cannot be written: {}", file.display()))?;
    let output = Command::new(program)
        .args(["--target-env", environment])
        .arg(file)
        .output()
        .context("spirv-val could not be started")?;
    let said = [output.stderr, output.stdout].concat();
    let message = String::from_utf8_lossy(&said).trim().to_owned();
    let refused = !output.status.success();
    Ok((refused || !message.is_empty()).then_some((refused, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_validator_refuses_is_passed_on() {
        // This test's own program stands for spirv-val: it does not know these arguments, says so and fails.
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("module.spv");
        let said = validate(&program, "vulkan1.1", &[0x0723_0203, 0], &file).unwrap();
        assert!(said.is_some_and(|(refused, text)| refused && text.contains("target-env")));
        let nothing = folder.path().join("no such program");
        assert!(validate(&nothing, "vulkan1.1", &[], &file).is_err());
    }
}
