//! Where the Vulkan loader on Linux looks for driver manifests.
//!
//! After "Driver Discovery on Linux" of the loader's document LoaderDriverInterface.md.

use super::Environment;
use std::path::{Path, PathBuf};

/// Variables that replace the usual search. The second is the older name, the only one of loaders before 1.3.207; the loader prefers the newer when both are
/// set.
pub(crate) const FORCING: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Files and folders that the loader reads manifests from, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ManifestPlaces {
    /// The variable that replaces the usual search, when the user has set one.
    pub(crate) forced_by: Option<&'static str>,
    paths: Vec<PathBuf>,
}

impl ManifestPlaces {
    /// The places that this environment leads to.
    pub(crate) fn from_environment(environment: Environment<'_>) -> Self {
        let list = |name: &str| -> Vec<PathBuf> {
            let value = environment(name).unwrap_or_default();
            std::env::split_paths(&value)
                .filter(|path| !path.as_os_str().is_empty())
                .collect()
        };
        for variable in FORCING {
            let paths = list(variable);
            if !paths.is_empty() {
                return Self {
                    forced_by: Some(variable),
                    paths,
                };
            }
        }
        let or_default = |paths: Vec<PathBuf>, default: &[&str]| -> Vec<PathBuf> {
            if paths.is_empty() {
                default.iter().map(PathBuf::from).collect()
            } else {
                paths
            }
        };
        let in_home = |path: &str| -> Vec<PathBuf> {
            environment("HOME")
                .map(|home| Path::new(&home).join(path))
                .into_iter()
                .collect()
        };
        let first_of = |own: Vec<PathBuf>, default: Vec<PathBuf>| {
            if own.is_empty() { default } else { own }
        };
        let mut paths = list("VK_ADD_DRIVER_FILES");
        let roots = [
            first_of(list("XDG_CONFIG_HOME"), in_home(".config")),
            or_default(list("XDG_CONFIG_DIRS"), &["/etc/xdg"]),
            vec!["/etc".into()],
            first_of(list("XDG_DATA_HOME"), in_home(".local/share")),
            or_default(list("XDG_DATA_DIRS"), &["/usr/local/share", "/usr/share"]),
        ];
        paths.extend(
            roots
                .into_iter()
                .flatten()
                .map(|root| root.join("vulkan/icd.d")),
        );
        Self {
            forced_by: None,
            paths,
        }
    }

    /// The places that this environment would lead to without [`FORCING`] variables: for a command that sets them to a driver of its own.
    pub(crate) fn unforced(environment: Environment<'_>) -> Self {
        let visible = |name: &str| environment(name).filter(|_| !FORCING.contains(&name));
        Self::from_environment(&visible)
    }

    /// Exactly these places.
    pub(crate) fn in_folders<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self {
            forced_by: None,
            paths: paths.into_iter().map(Into::into).collect(),
        }
    }

    /// Every manifest: a file as it is (there or not), a folder's `*.json` by name.
    pub(crate) fn manifests(&self) -> Vec<PathBuf> {
        self.paths
            .iter()
            .flat_map(|path| manifests_at(path))
            .collect()
    }
}

fn manifests_at(path: &Path) -> Vec<PathBuf> {
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    if is_manifest(&path.to_path_buf()) && !path.is_dir() {
        return vec![path.to_path_buf()];
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_manifest)
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn places(variables: &[(&str, &str)]) -> ManifestPlaces {
        ManifestPlaces::from_environment(&|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    fn paths(variables: &[(&str, &str)]) -> Vec<String> {
        places(variables)
            .paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    #[cfg(unix)]
    fn without_variables_the_standard_folders_are_searched_in_order() {
        assert_eq!(
            paths(&[("HOME", "/home/ada")]),
            [
                "/home/ada/.config/vulkan/icd.d",
                "/etc/xdg/vulkan/icd.d",
                "/etc/vulkan/icd.d",
                "/home/ada/.local/share/vulkan/icd.d",
                "/usr/local/share/vulkan/icd.d",
                "/usr/share/vulkan/icd.d",
            ]
        );
    }

    #[test]
    #[cfg(unix)]
    fn xdg_variables_replace_their_defaults() {
        let found = paths(&[
            ("HOME", "/home/ada"),
            ("XDG_CONFIG_HOME", "/conf"),
            ("XDG_DATA_HOME", "/data"),
            ("XDG_CONFIG_DIRS", "/c1"),
            ("XDG_DATA_DIRS", "/d1:/d2"),
        ]);
        let roots = ["/conf", "/c1", "/etc", "/data", "/d1", "/d2"];
        assert_eq!(found, roots.map(|root| format!("{root}/vulkan/icd.d")));
    }

    #[test]
    #[cfg(unix)]
    fn a_forcing_variable_replaces_every_folder_and_the_newer_name_wins() {
        let older = places(&[("VK_ICD_FILENAMES", "/a.json:/b.json")]);
        assert_eq!(older.forced_by, Some("VK_ICD_FILENAMES"));
        assert_eq!(
            older.manifests(),
            [PathBuf::from("/a.json"), PathBuf::from("/b.json")]
        );
        let both = places(&[
            ("VK_ICD_FILENAMES", "/a.json"),
            ("VK_DRIVER_FILES", "/c.json"),
        ]);
        assert_eq!(both.manifests(), [PathBuf::from("/c.json")]);
    }

    #[test]
    #[cfg(unix)]
    fn what_the_user_forces_can_be_left_out() {
        let with = |forced: bool| {
            let set = ["HOME", "VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
            let set = if forced { &set[..] } else { &set[..1] };
            ManifestPlaces::unforced(&|name| set.contains(&name).then(|| "/home/ada".into()))
        };
        assert_eq!(with(true), with(false));
    }

    #[test]
    #[cfg(unix)]
    fn an_empty_forcing_variable_is_as_none_and_added_files_come_first() {
        let found = places(&[("VK_DRIVER_FILES", ""), ("VK_ADD_DRIVER_FILES", "/x.json")]);
        assert_eq!(found.forced_by, None);
        assert_eq!(found.paths[0], PathBuf::from("/x.json"));
        assert!(
            found.paths.contains(&"/usr/share/vulkan/icd.d".into()),
            "{found:?}"
        );
    }

    #[test]
    fn a_folder_gives_its_json_files_by_name_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", "README"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = ManifestPlaces::in_folders([folder.path()]).manifests();
        assert_eq!(
            found,
            [folder.path().join("a.json"), folder.path().join("b.json")]
        );
    }
}
