//! `--head-kinds`: a list, or a file with one.

use std::path::{Path, PathBuf};

use sparse_gpu::profile::{HeadKinds, HeadKindsError};

/// A value of `--head-kinds` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadKindsOptionError {
    /// A word that is no kind.
    #[error(transparent)]
    Unknown(#[from] HeadKindsError),
    /// A file of kinds that is none.
    #[error("cannot read a JSON array of kinds such as [\"dense\", \"sparse\"]: {reason}: {path}")]
    File {
        /// The reason.
        reason: String,
        /// The file.
        path: String,
    },
}

/// The value of `--head-kinds`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadKindsOption {
    /// What it says.
    pub kinds: HeadKinds,
    /// The file that it was read from, which no output may replace; none where the kinds stand on the command line.
    pub file: Option<PathBuf>,
}

impl HeadKindsOption {
    /// From a list, or the name of a `.json` file with an array of words.
    pub(super) fn parse(text: &str) -> Result<Self, HeadKindsOptionError> {
        if !text.ends_with(".json") {
            return Ok(Self {
                kinds: text.parse()?,
                file: None,
            });
        }
        let file = |reason: String| HeadKindsOptionError::File {
            reason,
            path: text.to_owned(),
        };
        let bytes = crate::json_file::read(Path::new(text)).map_err(|e| file(e.to_string()))?;
        Ok(Self {
            kinds: serde_json::from_slice(&bytes).map_err(|e| file(e.to_string()))?,
            file: Some(text.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_from_a_list_or_a_file() {
        let text = "dense,sparse,streaming:1:8";
        let kinds: HeadKinds = text.parse().unwrap();
        let listed = HeadKindsOption::parse(text).unwrap();
        assert_eq!((&listed.kinds, listed.file), (&kinds, None));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kinds.json");
        std::fs::write(&path, r#"["dense","sparse","streaming:1:8"]"#).unwrap();
        let read = HeadKindsOption::parse(path.to_str().unwrap()).unwrap();
        assert_eq!((read.kinds, read.file), (kinds, Some(path)));
    }

    #[test]
    fn what_cannot_be_read_has_a_reason() {
        let unknown = HeadKindsOption::parse("dense,dens").unwrap_err();
        assert!(unknown.to_string().contains("no kind of head \"dens\""));
        let missing = HeadKindsOption::parse("/no/such.json").unwrap_err();
        let HeadKindsOptionError::File { reason, path } = missing else {
            panic!("{missing}");
        };
        // In the words of the system.
        let system = std::fs::File::open("/no/such.json").unwrap_err();
        assert_eq!((reason, path), (system.to_string(), "/no/such.json".into()));
    }
}
