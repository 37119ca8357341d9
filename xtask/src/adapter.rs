//! Which adapter the test suite runs on, said to it through environment variables.

use crate::vulkan::{self, FORCING, Libraries, ManifestPlaces};
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
    /// Mesa's software driver: subgroups of 8, f16.
    Lavapipe,
    /// The software driver of Chromium: subgroups of 4, no f16, small workgroups.
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

/// Finds the driver on this machine, or says what to install.
pub(crate) fn variables(choice: DriverChoice) -> Result<AdapterVariables> {
    let environment = |name: &str| std::env::var_os(name);
    let libraries = Libraries::of_this_machine(&environment);
    match choice {
        DriverChoice::Any => Ok(AdapterVariables::default()),
        DriverChoice::Lavapipe => {
            lavapipe(&ManifestPlaces::from_environment(&environment), &libraries)
        }
        DriverChoice::Swiftshader => {
            let candidates = swiftshader_manifests(environment(SWIFTSHADER_VARIABLE))?;
            swiftshader(candidates, &libraries)
        }
    }
}

fn lavapipe(places: &ManifestPlaces, libraries: &Libraries) -> Result<AdapterVariables> {
    let (drivers, _) = vulkan::drivers(places, libraries);
    if !drivers
        .iter()
        .any(|driver| driver.name().starts_with("lvp_icd"))
    {
        // The suite is led by it, too, so that an installed one would not be seen.
        if let Some(variable) = places.forced_by {
            bail!("{variable} is set and does not name lavapipe; unset it");
        }
        bail!(
            "lavapipe is not installed; on Debian and Ubuntu: apt-get install mesa-vulkan-drivers"
        );
    }
    // Lavapipe calls its adapter after the rasteriser that it drives.
    Ok(AdapterVariables(vec![(
        ADAPTER_VARIABLE,
        "llvmpipe".into(),
    )]))
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
    let manifest = driver.manifest.clone().into_os_string();
    let mut variables = FORCING.map(|name| (name, manifest.clone())).to_vec();
    variables.push((ADAPTER_VARIABLE, "SwiftShader".into()));
    Ok(AdapterVariables(variables))
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
        assert_eq!(found.0, [("SPARSE_ADAPTER", "llvmpipe".into())]);
    }
}
