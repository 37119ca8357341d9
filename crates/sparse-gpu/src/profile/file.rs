//! Profiles as JSON.

use serde::Deserialize;
use sparse_core::attention::{AttentionShape, MaskHeads};
use sparse_core::xattention::XAttentionError;

use super::{AttentionProfile, FORMAT, HeadThreshold, Layer, ProfileError, ScoreMode, VERSION};

/// The longest usual chunk, which so many keys have. All others divide it: a block that does not goes with no length.
const LONGEST_USUAL_CHUNK: usize = 1 << 14;

/// What is read first, so that another version is refused as such and not for its fields.
#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// Whether this program reads what has this format and version.
fn check_header(format: &str, version: u64) -> Result<(), ProfileError> {
    if format != FORMAT {
        let found = format.to_owned();
        return Err(ProfileError::Format { found });
    }
    if version != u64::from(VERSION) {
        return Err(ProfileError::Version { found: version });
    }
    Ok(())
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
        check_header(&header.format, header.version)?;
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
        // Profiles within other files are read field by field.
        check_header(&self.format, self.version.into())?;
        let of = self.settings.mask_heads;
        let heads = match of {
            MaskHeads::Query => self.layer.heads,
            MaskHeads::Key => self.layer.kv_heads,
        };
        let thresholds = self.heads.len();
        if heads != thresholds {
            return Err(ProfileError::Heads {
                heads,
                of,
                thresholds,
            });
        }
        self.check_settings()?;
        let value = self.target.number();
        if !value.is_finite() {
            return Err(ProfileError::Target { value });
        }
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
        let scale = settings.scale.ok_or(ProfileError::NoScale)?;
        let factors = [("scale", Some(scale)), ("soft_cap", settings.soft_cap)];
        for (field, value) in factors {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                return Err(ProfileError::NotPositive { field, value });
            }
        }
        if let (ScoreMode::Exact, Some(chunk)) = (settings.mode, settings.chunk) {
            return Err(ProfileError::Chunk { chunk });
        }
        match settings.empty_pattern() {
            Some(field) => Err(ProfileError::EmptyPattern { field }),
            None => Ok(()),
        }
    }

    /// Whether there are lengths that the options go with.
    fn check_options(&self) -> Result<(), XAttentionError> {
        let Layer {
            heads,
            kv_heads,
            head_dim,
        } = self.layer;
        let shape = AttentionShape::try_new(1, heads, kv_heads, 1, LONGEST_USUAL_CHUNK, head_dim)?;
        let options = self.settings.without_patterns(self.threshold());
        options.layout(shape)?;
        if self.settings.has_patterns() && !options.any_sparse() {
            return Err(XAttentionError::ForcedWithoutSparse);
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
        // JSON has neither NaN nor infinities: what was written of them would not be read again.
        let measured = [
            ("relative_l2_error", self.relative_l2_error),
            ("kept_mass", self.kept_mass),
        ];
        match measured.into_iter().find(|(_, value)| !value.is_finite()) {
            Some((field, value)) => Err(ProfileError::NotFinite { head, field, value }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sparse_core::xattention::ReferenceOptions;

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

    /// Profiles of masks of query heads are what they were before there were others.
    #[test]
    fn heads_of_shared_masks_are_written_where_they_are() {
        let own = profile();
        assert!(!own.to_json().unwrap().contains("mask_heads"));
        let mut shared = own;
        shared.settings.mask_heads = MaskHeads::Key;
        shared.heads.pop();
        let text = shared.to_json().unwrap();
        assert!(text.contains(r#""mask_heads": "key""#), "{text}");
        assert_eq!(AttentionProfile::from_json(&text), Ok(shared.clone()));
        let lost = text.replace(r#""mask_heads": "key""#, r#""mask_heads": "query""#);
        assert!(AttentionProfile::from_json(&lost).is_err());

        shared.settings.sink_tokens = Some(32);
        let shape = AttentionShape::try_new(2, 2, 1, 64, 96, 16).unwrap();
        let options = shared.options(shape).unwrap();
        assert_eq!(options.mask_heads, MaskHeads::Key);
        assert_eq!(options.forced.as_ref().unwrap().shape(), [2, 1, 2, 3]);
        assert_eq!(options.layout(shape).unwrap().mask_shape(), [2, 1, 2, 3]);
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
                ["damaged profile: scale is -1", "above 0; calibrate again"],
            ),
            (
                refusal(|p| p["options"]["soft_cap"] = json!(0.0)),
                ["damaged profile: soft_cap is 0", "above 0; calibrate again"],
            ),
            (
                refusal(|p| p["options"]["stride"] = json!(5)),
                ["stride 5 does not divide block 32", "; calibrate again"],
            ),
            (
                refusal(|p| {
                    p["options"]["mode"] = json!("reference");
                    p["options"]["block"] = json!(48);
                }),
                [
                    "damaged profile: block 48 does not divide",
                    "a power of two",
                ],
            ),
            (
                refusal(|p| {
                    p["options"]["head_kinds"] = json!(["dense", "dense"]);
                    p["options"]["sink_tokens"] = json!(20);
                }),
                ["damaged profile: blocks are forced", "no head is Sparse"],
            ),
            (
                refusal(|p| p["layer"]["kv_heads"] = json!(0)),
                ["2 query heads cannot share 0", "; calibrate again"],
            ),
            (
                refusal(|p| p["layer"]["kv_heads"] = json!(3)),
                ["2 query heads cannot share 3", "; calibrate again"],
            ),
            (
                refusal(|p| p["layer"]["head_dim"] = json!(0)),
                ["the head dimension is 0", "; calibrate again"],
            ),
            (
                refusal(|p| {
                    p["layer"]["heads"] = json!(0);
                    p["heads"] = json!([]);
                }),
                ["0 query heads cannot share 1", "; calibrate again"],
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
                ["masks of 3 query heads", "2 thresholds"],
            ),
            (
                refusal(|p| p["options"]["mask_heads"] = json!("key")),
                ["masks of 1 key heads", "2 thresholds"],
            ),
            (
                refusal(|p| p["options"]["mask_heads"] = json!("kv")),
                ["no profile", "unknown variant `kv`"],
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
    fn blocks_that_go_with_some_lengths_are_taken() {
        let usual = |bits: u32| ReferenceOptions::usual_chunk(1 << bits);
        assert_eq!((0..27).map(usual).max(), Some(LONGEST_USUAL_CHUNK));
        // Most usual chunks are shorter than this block, one is as long.
        let mut profile = profile();
        profile.settings.mode = ScoreMode::Reference;
        profile.settings.block = 16384;
        profile.check().unwrap();
        let shape = |k_len| AttentionShape::try_new(1, 2, 1, 1, k_len, 16).unwrap();
        assert!(profile.options(shape(16384)).is_ok());
        assert!(profile.options(shape(4096)).is_err());
    }

    #[test]
    fn a_profile_within_another_file_is_checked_before_it_is_used() {
        let refusal = |change: fn(&mut Value)| {
            let mut value = serde_json::to_value(profile()).unwrap();
            change(&mut value);
            let profile: AttentionProfile = serde_json::from_value(value).unwrap();
            let error = profile.check().unwrap_err();
            assert_eq!(profile.to_json(), Err(error.clone()));
            let shape = AttentionShape::try_new(1, 2, 1, 64, 64, 16).unwrap();
            assert_eq!(profile.options(shape), Err(error.clone()));
            error.to_string()
        };
        for (message, part) in [
            (refusal(|p| p["format"] = json!("other")), "\"other\""),
            (refusal(|p| p["version"] = json!(2)), "version 2"),
            (
                refusal(|p| p["options"]["scale"] = Value::Null),
                "scale is null",
            ),
            (refusal(|p| p["options"]["chunk"] = json!(64)), "chunk 64"),
        ] {
            assert!(message.contains(part), "{message}");
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
                "the relative_l2_error of head 1 is inf, for which JSON has no number; make that head dense",
            ),
            (
                refusal(|p| p.heads[0].kept_mass = f64::NAN),
                "the kept_mass of head 0 is NaN, for which JSON has no number; calibrate again",
            ),
            (
                refusal(|p| p.heads[0].density = f64::NAN),
                "density of head 0",
            ),
            (
                refusal(|p| p.target = super::super::Target::KeptMass(f64::NAN)),
                "the target is NaN",
            ),
            (refusal(|p| p.settings.scale = None), "scale is null"),
            (
                refusal(|p| p.settings.soft_cap = Some(f64::INFINITY)),
                "soft_cap is inf",
            ),
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
