//! Files of profiles: read for `attention --profile`. What is in them is [`AttentionProfile`]'s to read, check and write.

#[cfg(test)]
pub(crate) mod fixture;

use std::path::{Path, PathBuf};

use sparse_gpu::{AttentionProfile, ProfileError};

/// A file that cannot be used as a profile. Paths come last.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileFileError {
    /// The file cannot be read.
    #[error("cannot read the profile: {reason}: {}", path.display())]
    Read {
        /// The system's reason.
        reason: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// What is in it is no profile, or a damaged one.
    #[error("{reason}: {}", path.display())]
    Profile {
        /// The rule broken.
        reason: ProfileError,
        /// The file.
        path: PathBuf,
    },
}

/// Reads and checks the profile in a file.
///
/// # Errors
/// [`ProfileFileError`], with the path.
pub fn read(path: &Path) -> Result<AttentionProfile, ProfileFileError> {
    let bytes = crate::json_file::read(path).map_err(|reason| ProfileFileError::Read {
        reason,
        path: path.into(),
    })?;
    parse(&bytes).map_err(|reason| ProfileFileError::Profile {
        reason,
        path: path.into(),
    })
}

/// Bytes that are no text are no JSON either: tensors were given, say.
fn parse(bytes: &[u8]) -> Result<AttentionProfile, ProfileError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ProfileError::Json {
        reason: error.to_string(),
    })?;
    AttentionProfile::from_json(text)
}

#[cfg(test)]
mod tests {
    use super::fixture::profile;
    use super::*;

    #[test]
    fn files_are_read_as_they_were_written_and_errors_end_with_their_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        let written = profile().to_json().unwrap();
        std::fs::write(&path, &written).unwrap();
        assert_eq!(read(&path).unwrap(), profile());

        let refusal = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).unwrap_err().to_string()
        };
        let end = format!(": {}", path.display());
        for (message, part) in [
            (refusal(b"[1]"), "no profile that"),
            (
                refusal(written.replace("0.75", "1.75").as_bytes()),
                "damaged profile: the threshold of head 1 is 1.75",
            ),
            (
                refusal(b"{\"format\": \"\xff\"}"),
                "no profile that `sparse-bench attention --calibrate` wrote: invalid utf-8",
            ),
        ] {
            assert!(
                message.starts_with(part) && message.ends_with(&end),
                "{message}"
            );
        }
        let missing = read(Path::new("/no/such/profile.json")).unwrap_err();
        assert!(
            matches!(&missing, ProfileFileError::Read { reason, .. } if reason.kind() == std::io::ErrorKind::NotFound),
            "{missing}"
        );
    }
}
