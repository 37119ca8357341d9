//! Every variant of every kernel through the compilers that wait behind naga on other systems.
//!
//! naga writes what wgpu would hand to a driver (SPIR-V for Vulkan, HLSL for Direct3D 12, MSL for Metal); spirv-val and DXC read that. A browser
//! takes the WGSL itself: Tint, the compiler of Chromium's Dawn, reads it. Metal's own compiler exists on macOS only and is not asked.

mod dxc;
mod outcome;
mod parallel;
mod script;
mod spirv_val;
mod tint;
mod tools;
mod variants;
mod writers;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use outcome::{Complaint, Outcome};
use variants::{Distinct, Variant};

use crate::print::print;

/// What is done with the variants.
#[derive(Clone, Debug, Default)]
pub struct Compilers {
    /// Where `cargo xtask shaders --install` puts compilers.
    pub installed: Option<PathBuf>,
    /// Only variants with this in their name.
    pub only: Option<String>,
}

/// Hands the variants to every compiler that is here, names those that are not, and prints what they say. True where nothing was refused and
/// nothing warned of.
///
/// # Errors
/// A variant that does not expand, a compiler that cannot be started or ends early.
pub fn check(compilers: &Compilers) -> Result<bool> {
    let Distinct {
        all,
        portable,
        matrices,
    } = variants::distinct(compilers.only.as_deref())?;
    let scratch = Scratch::new()?;
    let installed = compilers.installed.as_deref();
    let mut good = true;
    let mut took = |name: &str, work: &mut dyn FnMut() -> Result<Outcome>| -> Result<()> {
        let start = Instant::now();
        let outcome = work().with_context(|| format!("{name} could not be asked"))?;
        good &= outcome.print(name, start.elapsed())?;
        Ok(())
    };
    for target in spirv_val::TARGETS {
        let name = format!("SPIR-V {}.{}", target.version.0, target.version.1);
        took(&name, &mut || {
            spirv_val::check(&all, target, scratch.folder())
        })?;
    }
    let mut hlsl = None;
    took("MSL, WGSL by naga", &mut || writers::msl_and_wgsl(&all))?;
    if !matrices.is_empty() {
        took("cooperative matrices, SPIR-V by naga", &mut || {
            spirv_val::write(&matrices)
        })?;
        took("cooperative matrices, MSL, WGSL by naga", &mut || {
            writers::msl_and_wgsl(&matrices)
        })?;
        print(format_args!(
            "NOT HANDED OVER: {} texts on cooperative matrices, to spirv-val (2023.1 does not know the capability), to naga's writer of HLSL (which \
             panics at them), to Tint (does not know the extension)",
            matrices.len()
        ))?;
    }
    took("HLSL by naga", &mut || {
        let (outcome, texts) = writers::hlsl(&all)?;
        hlsl = texts;
        Ok(outcome)
    })?;
    if let Some(hlsl) = &hlsl {
        took("DXC", &mut || dxc::check(hlsl, installed, scratch.folder()))?;
    }
    took("Tint", &mut || {
        tint::check(&all[..portable], installed, scratch.folder())
    })?;
    print(format_args!(
        "NOT HANDED OVER: {} texts with 64-bit integers, to Tint, which does not know them",
        all.len() - portable
    ))?;
    Ok(good)
}

/// A folder for what compilers want as files, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("sparse-shaders-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("no folder for the modules: {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is only disk space.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
