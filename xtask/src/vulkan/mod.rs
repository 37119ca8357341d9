//! Is there a Vulkan driver that the loader would find and could load?
//!
//! A program reaches Vulkan in two steps: it loads `libvulkan.so.1` (the loader), and the loader reads small JSON manifests,
//! each of which names the shared library of one driver (an ICD, installable client driver). A missing loader, a manifest without
//! its library, and a library of another processor are all common on fresh machines and in containers, and all end in "no
//! adapter". So each link of that chain is checked here as the loader would follow it.
//!
//! Whether the driver then finds a device is known only to the driver: `sparse-bench adapters` tells.

mod libraries;
mod manifest;
mod search;

pub(crate) use libraries::Libraries;
pub(crate) use manifest::Driver;
pub(crate) use search::{FORCING, ManifestPlaces};

use std::ffi::OsString;

/// How the environment is read: a function, so that tests need not change the process's own variables.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What stands between a program and a Vulkan device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The loader and at least one driver are there.
    Ready(Vec<Driver>),
    /// There is no loader, whatever drivers there are.
    NoLoader,
    /// A loader, but no usable driver; `unusable` says why each manifest that was found does not count.
    NoDriver { unusable: Vec<String> },
}

/// The name by which every program, wgpu included, asks for the loader.
const LOADER: &str = "libvulkan.so.1";

/// Whether programs find the loader.
pub(crate) fn has_loader(libraries: &Libraries) -> bool {
    libraries.find(LOADER).is_some()
}

/// Follows the loader's way through `places` and says how far it leads.
pub(crate) fn state(places: &ManifestPlaces, libraries: &Libraries) -> State {
    if !has_loader(libraries) {
        return State::NoLoader;
    }
    let (drivers, unusable) = drivers(places, libraries);
    if drivers.is_empty() {
        State::NoDriver { unusable }
    } else {
        State::Ready(drivers)
    }
}

/// The usable drivers of `places`, and for each unusable manifest the reason.
pub(crate) fn drivers(
    places: &ManifestPlaces,
    libraries: &Libraries,
) -> (Vec<Driver>, Vec<String>) {
    let mut drivers = Vec::new();
    let mut unusable = Vec::new();
    for path in places.manifests() {
        match manifest::read(&path, libraries) {
            Ok(driver) => drivers.push(driver),
            Err(reason) => unusable.push(format!("{reason:#}: {}", path.display())),
        }
    }
    (drivers, unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// A file that passes for a shared library of this processor: the head of the running program.
    fn put_library(path: &Path) {
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        fs::write(path, &program[..64]).unwrap();
    }

    fn put_manifest(folder: &Path, name: &str, library: &str) {
        fs::write(
            folder.join(name),
            format!(r#"{{"ICD": {{"library_path": "{library}"}}}}"#),
        )
        .unwrap();
    }

    fn look(folder: &Path) -> State {
        state(
            &ManifestPlaces::in_folders([folder]),
            &Libraries::in_folders([folder]),
        )
    }

    #[test]
    fn an_empty_machine_has_no_loader() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path()), State::NoLoader);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_loader_alone_is_no_driver() {
        let folder = tempfile::tempdir().unwrap();
        put_library(&folder.path().join(LOADER));
        assert_eq!(
            look(folder.path()),
            State::NoDriver {
                unusable: Vec::new()
            }
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_manifest_without_its_library_is_reported_and_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        put_library(&folder.path().join(LOADER));
        put_manifest(folder.path(), "gone.json", "libgone.so");
        let State::NoDriver { unusable } = look(folder.path()) else {
            panic!("a driver without a library counted as a driver");
        };
        assert_eq!(unusable.len(), 1);
        assert!(unusable[0].contains("libgone.so"), "{unusable:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn loader_manifest_and_library_make_a_driver() {
        let folder = tempfile::tempdir().unwrap();
        put_library(&folder.path().join(LOADER));
        put_library(&folder.path().join("libsoft.so"));
        put_manifest(folder.path(), "gone.json", "libgone.so");
        put_manifest(folder.path(), "soft.json", "./libsoft.so");
        let State::Ready(drivers) = look(folder.path()) else {
            panic!("the driver was not found")
        };
        assert_eq!(drivers.len(), 1);
        assert_eq!(drivers[0].manifest, folder.path().join("soft.json"));
    }
}
