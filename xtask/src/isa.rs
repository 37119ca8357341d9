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
        return match check()? {
            Comparison::Same => Ok(()),
            Comparison::OtherDriver => bail!("not checked: the machine code, {OTHER_DRIVER}"),
        };
    }
    if arguments.write {
        return cargo::run(&mut on_radv("--chip-table", &table()?)?);
    }
    let mut command = sparse_isa()?;
    command.args(&arguments.isa_arguments);
    // Paths are meant from where the user stands.
    command.current_dir(std::env::current_dir()?);
    cargo::run(&mut command)
}

/// Whether the driver that [`check`] needs can exist on this system.
pub(crate) const CAN_CHECK: bool = cfg!(target_os = "linux");

/// How a comparison ended that found no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The machine code is that of the table.
    Same,
    /// The table is of another driver than this machine's, and only the rules for default tiles were checked.
    OtherDriver,
}

/// Why there was no comparison, and what to do.
pub(crate) const OTHER_DRIVER: &str = "because the table is of Debian 12's Mesa and this machine has another (the line NOT COMPARED says which); to compare, run \
     `cargo xtask isa --check` on Debian 12, in a container for instance: no GPU is needed";

/// The exit status by which `sparse-isa --check` says [`Comparison::OtherDriver`], as its help has it.
const NOT_COMPARED: i32 = 3;

/// Compares the machine code with the checked-in table; a difference is an error.
pub(crate) fn check() -> Result<Comparison> {
    let mut command = on_radv("--check", &table()?)?;
    let is_compared = cargo::run_whole(&mut command, NOT_COMPARED)?;
    Ok(if is_compared {
        Comparison::Same
    } else {
        Comparison::OtherDriver
    })
}

fn table() -> Result<PathBuf> {
    Ok(cargo::workspace_root()?.join(TABLE))
}

/// `sparse-isa` on Mesa's driver for AMD, with a table to write or to compare with.
fn on_radv(option: &str, table: &Path) -> Result<Command> {
    let environment = |name: &str| std::env::var_os(name);
    let libraries = Libraries::of_this_machine(&environment);
    let manifest = radv(&ManifestPlaces::unforced(&environment), &libraries)?;
    let mut command = sparse_isa()?;
    command
        .arg(option)
        .arg(table)
        .envs(FORCING.map(|name| (name, &manifest)))
        .env("RADV_FORCE_FAMILY", CHIP);
    Ok(command)
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
