//! A driver's manifest: one JSON file that names the driver's shared library.

use super::Libraries;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A driver whose library is there and fits this processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Driver {
    /// The JSON file; its name tells people which driver it is.
    pub(crate) manifest: PathBuf,
    /// The shared library that it names.
    pub(crate) library: PathBuf,
}

impl Driver {
    /// The manifest's file name, `lvp_icd.x86_64.json` for lavapipe.
    pub(crate) fn name(&self) -> String {
        self.manifest
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

/// Reads a manifest and finds its library; the error says why the driver cannot be used.
pub(crate) fn read(path: &Path, libraries: &Libraries) -> Result<Driver> {
    let text = std::fs::read_to_string(path).context("the manifest cannot be read")?;
    let json: serde_json::Value =
        serde_json::from_str(&text).context("the manifest is not valid JSON")?;
    let Some(named) = json
        .pointer("/ICD/library_path")
        .and_then(|value| value.as_str())
    else {
        bail!("the manifest has no ICD.library_path");
    };
    let library = library_path(path, named, libraries)
        .with_context(|| format!("the driver's library {named} is not there"))?;
    if !libraries.fits(&library) {
        bail!("the driver's library {named} is not one of this processor");
    }
    Ok(Driver {
        manifest: path.to_path_buf(),
        library,
    })
}

/// The loader's rule: a path with a slash is absolute or relative to the manifest, a bare name is left to the system's search.
fn library_path(manifest: &Path, named: &str, libraries: &Libraries) -> Option<PathBuf> {
    if !named.contains('/') {
        return libraries.find(named);
    }
    let path = manifest.parent()?.join(named);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("driver.json");
        fs::write(&path, text).unwrap();
        read(&path, &Libraries::in_folders([folder.path()]))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_kind_of_bad_manifest_has_its_own_reason() {
        assert_eq!(refusal("{"), "the manifest is not valid JSON");
        assert_eq!(
            refusal(r#"{"ICD": {}}"#),
            "the manifest has no ICD.library_path"
        );
        assert_eq!(
            refusal(r#"{"ICD": {"library_path": 7}}"#),
            "the manifest has no ICD.library_path"
        );
        assert_eq!(
            refusal(r#"{"ICD": {"library_path": "libnone.so"}}"#),
            "the driver's library libnone.so is not there"
        );
    }

    #[test]
    fn a_library_that_is_no_library_does_not_count() {
        // The manifest itself serves as the library: a file that is there and is not a program.
        assert_eq!(
            refusal(r#"{"ICD": {"library_path": "./driver.json"}}"#),
            "the driver's library ./driver.json is not one of this processor"
        );
    }

    #[test]
    fn an_absent_manifest_is_told_apart() {
        let text = read(
            Path::new("/no/such/manifest.json"),
            &Libraries::in_folders(["/no"]),
        );
        assert_eq!(text.unwrap_err().to_string(), "the manifest cannot be read");
    }
}
