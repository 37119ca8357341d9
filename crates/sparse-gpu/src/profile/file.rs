//! Profiles as JSON.

use serde::Deserialize;
use sparse_core::attention::HeadKind;
use sparse_core::xattention::XAttentionError;

use super::{AttentionProfile, FORMAT, HeadThreshold, ProfileError, ScoreMode, VERSION};

/// What is read first, so that another version is refused as such and not for its fields.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// The reason alone: an error of the serialiser cannot be compared.
fn json(error: serde_json::Error) -> ProfileError {
    ProfileError::Json {
        reason: error.to_string(),
    }
}

impl AttentionProfile {
    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// [`ProfileError`], the first rule broken.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        let header: Header = serde_json::from_str(text).map_err(json)?;
        if header.format != FORMAT {
            return Err(ProfileError::Format {
                found: header.format,
            });
        }
        if header.version != u64::from(VERSION) {
            return Err(ProfileError::Version {
                found: header.version,
            });
        }
        let profile: Self = serde_json::from_str(text).map_err(json)?;
        profile.check()?;
        Ok(profile)
    }

    /// As the text of a file.
    ///
    /// # Errors
    /// [`ProfileError`] where [`AttentionProfile::from_json`] would refuse it.
    pub fn to_json(&self) -> Result<String, ProfileError> {
        self.check()?;
        let text = serde_json::to_string_pretty(self).map_err(json)?;
        Ok(text + "\n")
    }

    /// Whether the profile makes sense, for whichever lengths.
    ///
    /// # Errors
    /// [`ProfileError`], the first rule broken.
    pub fn check(&self) -> Result<(), ProfileError> {
        let (heads, thresholds) = (self.layer.heads, self.heads.len());
        if heads != thresholds {
            return Err(ProfileError::Heads { heads, thresholds });
        }
        self.check_settings()?;
        finite("target", self.target.number())?;
        self.heads
            .iter()
            .enumerate()
            .try_for_each(|(head, entry)| entry.check(head))?;
        // Last: its words are not those of the file.
        self.check_options()
            .map_err(|reason| ProfileError::Options { reason })
    }

    /// What a file can say and no option means.
    fn check_settings(&self) -> Result<(), ProfileError> {
        let settings = &self.settings;
        if settings.scale.is_none() {
            return Err(ProfileError::NoScale);
        }
        if let (ScoreMode::Exact, Some(chunk)) = (settings.mode, settings.chunk) {
            return Err(ProfileError::Chunk { chunk });
        }
        match settings.empty_pattern() {
            Some(field) => Err(ProfileError::EmptyPattern { field }),
            None => Ok(()),
        }
    }

    /// The rules of options that do not depend on lengths.
    fn check_options(&self) -> Result<(), XAttentionError> {
        let options = self.settings.options(self.threshold());
        options.validate()?;
        if let Some(kinds) = &options.head_kinds {
            HeadKind::check_all(kinds, self.layer.heads, options.any_sparse())?;
        }
        Ok(())
    }
}

impl HeadThreshold {
    /// Whether head `head` can have this entry.
    fn check(&self, head: usize) -> Result<(), ProfileError> {
        let shares = [("threshold", self.threshold), ("density", self.density)];
        // Written so that NaN is refused.
        let is_share = |&(_, value): &(_, f64)| (0.0..=1.0).contains(&value);
        if let Some((field, value)) = shares.into_iter().find(|share| !is_share(share)) {
            return Err(ProfileError::Share { head, field, value });
        }
        finite("relative_l2_error", self.relative_l2_error)?;
        finite("kept_mass", self.kept_mass)
    }
}

/// JSON has neither NaN nor infinities: what was written of them would not be read again.
fn finite(field: &'static str, value: f64) -> Result<(), ProfileError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(ProfileError::NotFinite { field, value })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::profile;
    use super::*;

    /// The error of a profile changed by `change`.
    fn refusal(change: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::to_value(profile()).unwrap();
        change(&mut value);
        let error = AttentionProfile::from_json(&value.to_string()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn a_profile_is_read_as_it_was_written() {
        let text = profile().to_json().unwrap();
        assert_eq!(AttentionProfile::from_json(&text), Ok(profile()));
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
                refusal(|p| drop(p["options"].as_object_mut().unwrap().remove("scale"))),
                ["no profile", "missing field `scale`"],
            ),
            (
                refusal(|p| p["options"]["scale"] = Value::Null),
                ["damaged profile", "the softmax scale is null"],
            ),
            (
                refusal(|p| p["options"]["scale"] = json!(-1.0)),
                ["damaged profile", "softmax scale -1"],
            ),
            (
                refusal(|p| p["options"]["stride"] = json!(5)),
                ["damaged profile", "stride 5 does not divide block 32"],
            ),
            (
                refusal(|p| p["options"]["chunk"] = json!(64)),
                ["chunk 64", "exact"],
            ),
            (
                refusal(|p| p["options"]["mode"] = json!("Exact")),
                ["no profile", "unknown variant `Exact`"],
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
                refusal(|p| p["options"]["head_kinds"] = json!(["dense", "dens"])),
                ["no profile", "no kind of head \"dens\""],
            ),
            (
                refusal(|p| p["options"]["head_kinds"] = json!(["sparse"])),
                ["damaged profile", "1 head kinds are given for 2"],
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
            (
                refusal(|p| *p = json!([1])),
                ["no profile", "`sparse-bench attention --calibrate`"],
            ),
        ] {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn no_part_of_a_file_is_a_profile() {
        let text = profile().to_json().unwrap();
        for end in (0..text.trim_end().len()).step_by(7) {
            let error = AttentionProfile::from_json(&text[..end]).unwrap_err();
            assert!(matches!(error, ProfileError::Json { .. }), "{error}");
        }
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let refusal = |change: fn(&mut AttentionProfile)| {
            let mut profile = profile();
            change(&mut profile);
            profile.to_json().unwrap_err().to_string()
        };
        for (message, part) in [
            (
                refusal(|p| p.heads[1].relative_l2_error = f64::INFINITY),
                "relative_l2_error of inf",
            ),
            (
                refusal(|p| p.heads[0].kept_mass = f64::NAN),
                "kept_mass of NaN",
            ),
            (
                refusal(|p| p.heads[0].density = f64::NAN),
                "density of head 0",
            ),
            (
                refusal(|p| p.target = super::super::Target::KeptMass(f64::NAN)),
                "target of NaN",
            ),
            (refusal(|p| p.settings.scale = None), "scale is null"),
            (
                refusal(|p| p.settings.soft_cap = Some(f64::INFINITY)),
                "soft cap",
            ),
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
