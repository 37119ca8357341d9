//! `cargo xtask isa`: what the kernels become on a GPU, told by its driver's own compiler.

use crate::cargo;
use crate::vulkan::{self, FORCING, Libraries, ManifestPlaces};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments of `cargo xtask isa`.
#[derive(Debug, clap::Args)]
pub(crate) struct IsaArguments {
    /// Compare the machine code with the checked-in table, on Mesa's driver for AMD, which needs no hardware.
    #[arg(long, conflicts_with_all = ["write", "isa_arguments"])]
    check: bool,
    /// Write that table anew, for a change that is meant.
    #[arg(long, conflicts_with = "isa_arguments")]
    write: bool,
    /// Passed to `sparse-isa`, which then looks at the first GPU of this machine: `-- --chip-table my.csv`, `-- --dump matmul_dense`.
    #[arg(last = true)]
    pub(crate) isa_arguments: Vec<OsString>,
}

/// The table that `--check` compares with: RDNA2 as Debian 12's Mesa compiles for it.
const TABLE: &str = "docs/isa/debian-12-amd-navi21.csv";

/// The chip of that table, as RADV wants it named.
const CHIP: &str = "navi21";

/// Builds `sparse-isa` and runs it.
pub(crate) fn run(arguments: &IsaArguments) -> Result<()> {
    if arguments.check {
        return check();
    }
    if arguments.write {
        return on_radv("--chip-table", &table()?);
    }
    let mut command = sparse_isa()?;
    command.args(&arguments.isa_arguments);
    // Paths are meant from where the user stands.
    command.current_dir(std::env::current_dir()?);
    cargo::run(&mut command)
}

/// Whether the driver that [`check`] needs can exist on this system.
pub(crate) const CAN_CHECK: bool = cfg!(target_os = "linux");

/// Compares the machine code with the checked-in table.
pub(crate) fn check() -> Result<()> {
    on_radv("--check", &table()?)
}

fn table() -> Result<PathBuf> {
    Ok(cargo::workspace_root()?.join(TABLE))
}

fn on_radv(option: &str, table: &Path) -> Result<()> {
    let environment = |name: &str| std::env::var_os(name);
    let libraries = Libraries::of_this_machine(&environment);
    let manifest = radv(&ManifestPlaces::unforced(&environment), &libraries)?;
    let mut command = sparse_isa()?;
    command
        .arg(option)
        .arg(table)
        .envs(FORCING.map(|name| (name, &manifest)))
        .env("RADV_FORCE_FAMILY", CHIP);
    cargo::run(&mut command)
}

fn radv(places: &ManifestPlaces, libraries: &Libraries) -> Result<PathBuf> {
    let (drivers, unusable) = vulkan::drivers(places, libraries);
    let radv = drivers
        .into_iter()
        .find(|driver| driver.name().starts_with("radeon_icd"));
    let Some(driver) = radv else {
        let reasons = unusable.join("; ");
        bail!(
            "Mesa's driver for AMD (RADV), whose compiler the machine code is checked with, is not installed; no GPU is needed for it. On Debian \
             and Ubuntu: apt-get install mesa-vulkan-drivers{}",
            if reasons.is_empty() {
                String::new()
            } else {
                format!(" (not usable: {reasons})")
            }
        );
    };
    Ok(driver.manifest)
}

fn sparse_isa() -> Result<Command> {
    let mut command = cargo::cargo(["run", "--quiet", "--manifest-path"])?;
    command
        .arg(cargo::workspace_root()?.join("Cargo.toml"))
        .args(["--package", "sparse-isa", "--bin", "sparse-isa", "--"]);
    Ok(command)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn without_the_driver_the_error_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let places = ManifestPlaces::in_folders([folder.path()]);
        let libraries = Libraries::in_folders([folder.path()]);
        let error = radv(&places, &libraries).unwrap_err().to_string();
        assert!(
            error.contains("apt-get install mesa-vulkan-drivers"),
            "{error}"
        );
    }

    #[test]
    fn the_driver_is_found_by_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        std::fs::write(folder.path().join("lib.so"), &program[..64]).unwrap();
        let manifest = folder.path().join("radeon_icd.x86_64.json");
        std::fs::write(&manifest, r#"{"ICD": {"library_path": "./lib.so"}}"#).unwrap();
        let places = ManifestPlaces::in_folders([folder.path()]);
        let found = radv(&places, &Libraries::in_folders(["/no"])).unwrap();
        assert_eq!(found, manifest);
    }

    #[test]
    fn the_table_is_checked_in() {
        assert!(table().unwrap().is_file(), "{TABLE} is not there");
    }
}
