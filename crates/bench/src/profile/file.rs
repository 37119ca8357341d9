//! Profiles as JSON files.

use std::path::Path;

use serde::Deserialize;

use super::{FORMAT, Profile, ProfileError, VERSION};
use crate::cli::ScoreMode;

/// What is read first, so that another version is refused as such and not for its fields.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

impl Profile {
    /// Reads and checks a profile.
    ///
    /// # Errors
    /// [`ProfileError`], the first rule broken.
    pub fn read(path: &Path) -> Result<Self, ProfileError> {
        let bytes = crate::json_file::read(path).map_err(|reason| ProfileError::Read {
            reason,
            path: path.into(),
        })?;
        let json = |reason| ProfileError::Json {
            reason,
            path: path.into(),
        };
        let header: Header = serde_json::from_slice(&bytes).map_err(json)?;
        if header.format != FORMAT {
            return Err(ProfileError::Format {
                found: header.format,
                path: path.into(),
            });
        }
        if header.version != u64::from(VERSION) {
            return Err(ProfileError::Version {
                found: header.version,
                path: path.into(),
            });
        }
        let profile: Self = serde_json::from_slice(&bytes).map_err(json)?;
        profile.check(path)?;
        Ok(profile)
    }

    fn check(&self, path: &Path) -> Result<(), ProfileError> {
        let (heads, thresholds) = (self.layer.heads, self.heads.len());
        if heads != thresholds {
            return Err(ProfileError::Heads {
                heads,
                thresholds,
                path: path.into(),
            });
        }
        if let (ScoreMode::Exact, Some(chunk)) = (self.options.mode, self.options.chunk) {
            return Err(ProfileError::Chunk {
                chunk,
                path: path.into(),
            });
        }
        if let Some(field) = self.options.empty_pattern() {
            return Err(ProfileError::EmptyPattern {
                field,
                path: path.into(),
            });
        }
        for (head, entry) in self.heads.iter().enumerate() {
            let shares = [("threshold", entry.threshold), ("density", entry.density)];
            let is_share = |&(_, value): &(_, f64)| (0.0..=1.0).contains(&value);
            if let Some((field, value)) = shares.into_iter().find(|share| !is_share(share)) {
                return Err(ProfileError::Share {
                    head,
                    field,
                    value,
                    path: path.into(),
                });
            }
        }
        Ok(())
    }

    /// As the text of a file.
    ///
    /// # Errors
    /// None for finite numbers; the serialiser's otherwise.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sparse_core::attention::AttentionShape;

    use super::super::fixture::profile;
    use super::*;

    /// The error of a profile changed by `change`.
    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        let mut value = serde_json::to_value(profile()).unwrap();
        change(&mut value);
        std::fs::write(&path, value.to_string()).unwrap();
        Profile::read(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        std::fs::write(&path, profile().to_json().unwrap()).unwrap();
        assert_eq!(Profile::read(&path).unwrap(), profile());
    }

    #[test]
    fn every_damage_has_its_message() {
        for (message, parts) in [
            (
                refusal(|p| p["format"] = json!("other")),
                ["\"other\"", FORMAT],
            ),
            (
                refusal(|p| p["version"] = json!(2)),
                ["version 2", "reads version 1"],
            ),
            (
                refusal(|p| p["heads"][1]["threshold"] = json!(1.5)),
                ["head 1", "1.5"],
            ),
            (
                refusal(|p| p["heads"][0]["density"] = json!(-5.0)),
                ["the density of head 0", "-5"],
            ),
            (
                refusal(|p| drop(p["options"].as_object_mut().unwrap().remove("soft_cap"))),
                ["no profile", "missing field `soft_cap`"],
            ),
            (
                refusal(|p| p["options"]["scale"] = Value::Null),
                ["no profile", "the softmax scale is null"],
            ),
            (
                refusal(|p| p["options"]["chunk"] = json!(64)),
                ["chunk 64", "exact"],
            ),
            (
                refusal(|p| p["options"]["sink_tokens"] = json!(0)),
                ["sink_tokens is 0", "null"],
            ),
            (
                refusal(|p| p["options"]["window_tokens"] = json!(0)),
                ["window_tokens is 0", "null"],
            ),
            (
                refusal(|p| p["options"]["dilated"] = json!({ "step": 0, "count": 1 })),
                ["dilated.step is 0", "null"],
            ),
            (
                refusal(|p| p["options"]["dilated"] = json!({ "step": 1, "count": 0 })),
                ["dilated.count is 0", "null"],
            ),
            (
                refusal(|p| p["layer"]["heads"] = json!(3)),
                ["3 query heads", "2 thresholds"],
            ),
            (
                refusal(|p| p["options"]["stride"] = json!("8")),
                ["no profile", "usize"],
            ),
            (
                refusal(|p| p["surprise"] = json!(1)),
                ["no profile", "surprise"],
            ),
            (
                refusal(|p| p["adapter"]["memory"] = json!(1)),
                ["no profile", "memory"],
            ),
            (refusal(|p| *p = json!([1])), ["no profile", "p.json"]),
        ] {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        let missing = Profile::read(Path::new("/no/such/profile.json")).unwrap_err();
        assert!(
            matches!(&missing, ProfileError::Read { reason, .. } if reason.kind() == std::io::ErrorKind::NotFound),
            "{missing}"
        );
    }

    #[test]
    fn a_profile_fits_layers_with_its_heads_only() {
        let shape =
            |heads, dim| AttentionShape::try_new(3, heads, heads / 2, 500, 600, dim).unwrap();
        assert!(profile().check_layer(shape(2, 16)).is_ok());
        for (other, part) in [
            (shape(4, 16), "the tensors have 4 query heads"),
            (shape(2, 8), "head_dim 8"),
        ] {
            let message = profile().check_layer(other).unwrap_err().to_string();
            assert!(
                message.contains("it is for 2 query heads") && message.contains(part),
                "{message}"
            );
        }
    }
}
