//! Which adapter the test suite runs on, said to it through environment variables.

use crate::setup::{self, SetupArguments};
use crate::vulkan::{self, Driver, FORCING, Libraries, ManifestPlaces};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Read by the suite: a part of the wanted adapter's name, in any case; unset means the first by preference.
const ADAPTER_VARIABLE: &str = "SPARSE_ADAPTER";

/// Says where SwiftShader's manifest lies, when it is not in the place that Debian's chromium has for it.
const SWIFTSHADER_VARIABLE: &str = "SPARSE_SWIFTSHADER_ICD";

/// Where packages put SwiftShader: Debian's chromium, and the folder of Google's own package.
const SWIFTSHADER_MANIFESTS: [&str; 2] = [
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
];

/// The driver that the suite shall run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DriverChoice {
    /// Mesa's software driver (Linux): subgroups of 8, f16.
    Lavapipe,
    /// The software driver of Chromium (Linux): subgroups of 4, no f16, small workgroups.
    Swiftshader,
    /// The first adapter by preference, or what `SPARSE_ADAPTER` names.
    #[default]
    Any,
}

/// The variables that lead wgpu and the suite to the wanted driver.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AdapterVariables(Vec<(&'static str, OsString)>);

impl AdapterVariables {
    /// Sets them for one command.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.envs(self.0.iter().map(|(name, value)| (name, value)));
    }
}

/// Makes sure that the driver is on this machine: installs what is missing and can be had, or says what to do.
pub(crate) fn provide(
    choice: DriverChoice,
    arguments: &SetupArguments,
) -> Result<AdapterVariables> {
    if choice != DriverChoice::Any {
        only_on(cfg!(target_os = "linux"))?;
    }
    let environment = |name: &str| std::env::var_os(name);
    let libraries = || Libraries::of_this_machine(&environment);
    let variables = match choice {
        DriverChoice::Any => {
            setup::run(arguments)?;
            return Ok(AdapterVariables::default());
        }
        // What setup installs is lavapipe.
        DriverChoice::Lavapipe => found_or_installed(
            || {
                lavapipe(
                    &ManifestPlaces::from_environment(&environment),
                    &libraries(),
                )
            },
            || setup::run(arguments),
        )?,
        DriverChoice::Swiftshader => {
            let candidates = swiftshader_manifests(environment(SWIFTSHADER_VARIABLE))?;
            swiftshader(candidates, &libraries())?
        }
    };
    // Beside the driver that was found no other is needed.
    setup::loader(arguments)?;
    Ok(variables)
}

/// Where drivers have the places and the form by which they are found here.
fn only_on(linux: bool) -> Result<()> {
    if !linux {
        bail!(
            "--driver lavapipe and --driver swiftshader are for Linux; elsewhere leave --driver out and set {ADAPTER_VARIABLE} to a part of the              adapter's name (cargo run -p sparse-bench -- adapters)"
        );
    }
    Ok(())
}

/// What is found, if need be after an installation.
fn found_or_installed<T>(
    find: impl Fn() -> Result<T>,
    install: impl FnOnce() -> Result<()>,
) -> Result<T> {
    find().or_else(|_| {
        install()?;
        find()
    })
}

fn lavapipe(places: &ManifestPlaces, libraries: &Libraries) -> Result<AdapterVariables> {
    let (drivers, _) = vulkan::drivers(places, libraries);
    let mut drivers = drivers.into_iter();
    let Some(driver) = drivers.find(|driver| driver.name().starts_with("lvp_icd")) else {
        // Two wishes that contradict each other; and an installed one would not be seen.
        if let Some(variable) = places.forced_by {
            bail!("{variable} is set and does not name lavapipe; unset it");
        }
        bail!(
            "lavapipe is not installed; on Debian and Ubuntu: apt-get install mesa-vulkan-drivers"
        );
    };
    // Lavapipe calls its adapter after the rasteriser that it drives.
    only(&driver, "llvmpipe")
}

/// Makes `driver` the only one, also for programs that do not read [`ADAPTER_VARIABLE`]: the examples.
fn only(driver: &Driver, adapter: &str) -> Result<AdapterVariables> {
    // The tests start elsewhere than the user.
    let manifest = std::path::absolute(&driver.manifest)
        .with_context(|| format!("no path: {}", driver.manifest.display()))?;
    let mut variables = FORCING
        .map(|name| (name, manifest.clone().into_os_string()))
        .to_vec();
    variables.push((ADAPTER_VARIABLE, adapter.into()));
    Ok(AdapterVariables(variables))
}

/// Where to look: at what the user gave, from where the user stands, as the tests start elsewhere.
fn swiftshader_manifests(given: Option<OsString>) -> Result<Vec<PathBuf>> {
    let Some(given) = given else {
        return Ok(SWIFTSHADER_MANIFESTS.map(PathBuf::from).to_vec());
    };
    let given = std::path::absolute(given)
        .with_context(|| format!("{SWIFTSHADER_VARIABLE} names no file"))?;
    Ok(vec![given])
}

fn swiftshader(candidates: Vec<PathBuf>, libraries: &Libraries) -> Result<AdapterVariables> {
    let (drivers, unusable) = vulkan::drivers(&ManifestPlaces::in_folders(candidates), libraries);
    let Some(driver) = drivers.first() else {
        bail!(
            "SwiftShader was not found; on Debian: apt-get install chromium, elsewhere set {SWIFTSHADER_VARIABLE} to \
             its vk_swiftshader_icd.json (looked at: {})",
            unusable.join("; ")
        );
    };
    only(driver, "SwiftShader")
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::path::Path;

    fn put_driver(folder: &Path, manifest: &str) {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        std::fs::write(folder.join("lib.so"), &program[..64]).unwrap();
        let json = r#"{"ICD": {"library_path": "./lib.so"}}"#;
        std::fs::write(folder.join(manifest), json).unwrap();
    }

    #[test]
    fn swiftshader_becomes_the_only_driver() {
        let folder = tempfile::tempdir().unwrap();
        put_driver(folder.path(), "vk_swiftshader_icd.json");
        let manifest = folder.path().join("vk_swiftshader_icd.json");
        let found = swiftshader(vec![manifest.clone()], &Libraries::in_folders(["/no"])).unwrap();
        assert_eq!(
            found.0,
            [
                ("VK_DRIVER_FILES", manifest.clone().into_os_string()),
                ("VK_ICD_FILENAMES", manifest.into_os_string()),
                ("SPARSE_ADAPTER", "SwiftShader".into()),
            ]
        );
    }

    #[test]
    fn a_given_swiftshader_is_meant_from_where_the_user_stands() {
        let given = |path: &str| swiftshader_manifests(Some(path.into()));
        let here = std::env::current_dir().unwrap();
        assert_eq!(given("a/b.json").unwrap(), [here.join("a/b.json")]);
        assert_eq!(given("/a/b.json").unwrap(), [Path::new("/a/b.json")]);
        assert!(given("").is_err(), "no file");
        assert!(swiftshader_manifests(None).unwrap().len() > 1);
    }

    #[test]
    fn an_absent_swiftshader_says_what_to_install_and_where_it_looked() {
        let gone = vec![PathBuf::from("/no/vk_swiftshader_icd.json")];
        let error = swiftshader(gone, &Libraries::in_folders(["/no"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("apt-get install chromium"), "{error}");
        assert!(error.contains("/no/vk_swiftshader_icd.json"), "{error}");
    }

    #[test]
    fn a_variable_that_hides_lavapipe_is_named() {
        let folder = tempfile::tempdir().unwrap();
        put_driver(folder.path(), "radeon_icd.x86_64.json");
        let manifest = folder.path().join("radeon_icd.x86_64.json");
        let forced = ManifestPlaces::from_environment(&|name| {
            (name == "VK_ICD_FILENAMES").then(|| manifest.clone().into_os_string())
        });
        let error = lavapipe(&forced, &Libraries::in_folders(["/no"])).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("VK_ICD_FILENAMES is set"), "{error}");
    }

    #[test]
    fn lavapipe_is_found_by_its_manifest_and_chosen_by_its_adapter_name() {
        let folder = tempfile::tempdir().unwrap();
        let libraries = Libraries::in_folders(["/no"]);
        let places = ManifestPlaces::in_folders([folder.path()]);
        put_driver(folder.path(), "radeon_icd.x86_64.json");
        let error = lavapipe(&places, &libraries).unwrap_err().to_string();
        assert!(error.contains("mesa-vulkan-drivers"), "{error}");
        put_driver(folder.path(), "lvp_icd.x86_64.json");
        let found = lavapipe(&places, &libraries).unwrap();
        let manifest = folder.path().join("lvp_icd.x86_64.json");
        assert_eq!(
            found.0,
            [
                ("VK_DRIVER_FILES", manifest.clone().into_os_string()),
                ("VK_ICD_FILENAMES", manifest.into_os_string()),
                ("SPARSE_ADAPTER", "llvmpipe".into()),
            ]
        );
    }

    #[test]
    fn nothing_is_installed_for_a_driver_that_is_there() {
        let tries = std::cell::Cell::new(0);
        let find = |at: i32| {
            tries.set(tries.get() + 1);
            anyhow::ensure!(tries.get() >= at, "not there");
            Ok(tries.get())
        };
        let forbidden = || bail!("something was installed");
        assert_eq!(found_or_installed(|| find(1), forbidden).unwrap(), 1);
        tries.set(0);
        assert_eq!(found_or_installed(|| find(2), || Ok(())).unwrap(), 2);
        tries.set(0);
        assert!(
            found_or_installed(|| find(3), || Ok(())).is_err(),
            "installed in vain"
        );
    }

    #[test]
    fn other_systems_are_told_what_to_do_instead() {
        let error = only_on(false).unwrap_err().to_string();
        assert!(
            error.contains("for Linux") && error.contains("SPARSE_ADAPTER"),
            "{error}"
        );
        only_on(true).unwrap();
    }
}
