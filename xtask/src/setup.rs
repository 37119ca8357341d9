//! `cargo xtask setup`: a graphics driver that wgpu can use, or a plain word what to do.

use crate::install::{self, Wanted};
use crate::print::print;
use crate::vulkan::{self, Driver, Libraries, ManifestPlaces, State};
use anyhow::{Result, bail};

/// Arguments of `cargo xtask setup`, shared by the commands that begin with it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SetupArguments {
    /// Install a missing driver without asking (as when the variable CI is set).
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Makes sure that a driver is there; installs a software one only where there is none.
pub(crate) fn run(arguments: &SetupArguments) -> Result<()> {
    if cfg!(target_os = "macos") {
        return print("Metal is part of macOS: there is nothing to install.");
    }
    if cfg!(windows) {
        return print(
            "Direct3D 12 is part of Windows 10 and later, with a software adapter (WARP): there is nothing to \
             install. For a GPU's full speed install its maker's current driver.",
        );
    }
    if !cfg!(target_os = "linux") {
        bail!(
            "this system is not known here; install a Vulkan driver and loader, then run `cargo test --workspace`"
        );
    }
    linux(arguments)
}

fn linux(arguments: &SetupArguments) -> Result<()> {
    if report(&look())? {
        return Ok(());
    }
    install::vulkan(Wanted::Driver, arguments.yes)?;
    if report(&look())? {
        return Ok(());
    }
    bail!(
        "the packages were installed, yet no Vulkan driver is found; the lines above say what is missing"
    )
}

/// Makes sure that the Vulkan loader is there, for a driver that was found.
pub(crate) fn loader(arguments: &SetupArguments) -> Result<()> {
    let environment = |name: &str| std::env::var_os(name);
    let is_here = || vulkan::has_loader(&Libraries::of_this_machine(&environment));
    if is_here() {
        return Ok(());
    }
    print(NO_LOADER)?;
    install::vulkan(Wanted::Loader, arguments.yes)?;
    if !is_here() {
        bail!("the package was installed, yet the Vulkan loader is not found");
    }
    Ok(())
}

const NO_LOADER: &str = "The Vulkan loader (libvulkan.so.1) is not there.";

/// Where this machine's environment sends the loader, and what it finds there.
fn look() -> (ManifestPlaces, State) {
    let environment = |name: &str| std::env::var_os(name);
    let places = ManifestPlaces::from_environment(&environment);
    let state = vulkan::state(&places, &Libraries::of_this_machine(&environment));
    (places, state)
}

/// Prints the state; true when nothing is missing, an error when installing could not help.
fn report((places, state): &(ManifestPlaces, State)) -> Result<bool> {
    match state {
        State::Ready(drivers) => {
            let names: Vec<String> = drivers.iter().map(Driver::name).collect();
            print(format_args!("Vulkan drivers: {}", names.join(", ")))?;
            return Ok(true);
        }
        State::NoLoader => print(NO_LOADER)?,
        State::NoDriver { unusable } => {
            for reason in unusable {
                print(format_args!("Not usable: {reason}"))?;
            }
            // The variable replaces the system's folders, so a newly installed driver would not be seen.
            if let Some(variable) = places.forced_by {
                bail!(
                    "{variable} is set and names no usable Vulkan driver; unset it, or let it name the JSON \
                     manifest of one"
                );
            }
            print("The Vulkan loader is there, but no driver.")?;
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_driver() -> State {
        State::NoDriver {
            unusable: vec!["the manifest cannot be read: /x.json".to_owned()],
        }
    }

    #[test]
    fn a_missing_driver_asks_for_an_installation() {
        let nowhere = ManifestPlaces::in_folders(["/no/such/folder"]);
        assert!(
            !report(&(nowhere, no_driver())).unwrap(),
            "nothing was there"
        );
    }

    #[test]
    fn a_variable_that_hides_every_driver_is_an_error_that_names_it() {
        let forced = ManifestPlaces::from_environment(&|name| {
            (name == "VK_ICD_FILENAMES").then(|| "/x.json".into())
        });
        let text = report(&(forced, no_driver())).unwrap_err().to_string();
        assert!(text.starts_with("VK_ICD_FILENAMES is set"), "{text}");
    }

    #[test]
    fn a_driver_is_enough() {
        let driver = Driver {
            manifest: "/a/lvp_icd.json".into(),
            library: "/a/lib.so".into(),
        };
        let places = ManifestPlaces::in_folders(["/a"]);
        assert!(
            report(&(places, State::Ready(vec![driver]))).unwrap(),
            "the driver was not seen"
        );
    }
}
