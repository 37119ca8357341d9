//! Options, profile and what is usual made one, and the rules between them.

use std::fmt::Display;
use std::path::Path;

use sparse_core::attention::MaskHeads;
use sparse_core::xattention::{Threshold, XAttentionOptions};
use sparse_gpu::AttentionProfile;
use sparse_gpu::profile::{HeadKinds, ScoreMode, Settings, Target};

use super::{AttentionArgs, AttentionArgsError};

impl AttentionArgs {
    /// What `--causal` and `--full` say; nothing where neither is given.
    fn causal(&self) -> Option<bool> {
        (self.causal || self.full).then_some(self.causal)
    }

    fn mask_heads(&self) -> Option<MaskHeads> {
        self.mask_heads.map(MaskHeads::from)
    }

    fn mode(&self) -> Option<ScoreMode> {
        self.mode.map(ScoreMode::from)
    }

    fn kinds(&self) -> Option<HeadKinds> {
        self.head_kinds.as_ref().map(|option| option.kinds.clone())
    }

    /// The file of `--head-kinds`, where it names one.
    pub fn head_kinds_file(&self) -> Option<&Path> {
        self.head_kinds.as_ref()?.file.as_deref()
    }

    /// What `--calibrate` is to reach; nothing where it is not given.
    pub fn target(&self) -> Option<Target> {
        let error = self.target_error.map(Target::RelativeL2Error);
        error.or(self.target_mass.map(Target::KeptMass))
    }

    /// The one file of `--qkv`.
    ///
    /// # Errors
    /// [`AttentionArgsError::SeveralFiles`].
    pub fn only_qkv(&self) -> Result<&Path, AttentionArgsError> {
        match &self.qkv[..] {
            [only] => Ok(only),
            several => Err(AttentionArgsError::SeveralFiles {
                count: several.len(),
            }),
        }
    }

    /// Everything but the thresholds: from the options given, else from `profile`, else as usual.
    ///
    /// # Errors
    /// [`AttentionArgsError::Profile`] where an option contradicts the profile, [`AttentionArgsError::ChunkWithoutReference`].
    pub fn settings(
        &self,
        profile: Option<&AttentionProfile>,
    ) -> Result<Settings, AttentionArgsError> {
        let Some(profile) = profile else {
            let usual = XAttentionOptions::default();
            let settings = Settings {
                block: self.block.unwrap_or(usual.block),
                stride: self.stride.unwrap_or(usual.stride),
                causal: self.causal().unwrap_or(usual.causal),
                scale: self.scale,
                mode: self.mode().unwrap_or(ScoreMode::Exact),
                chunk: self.chunk,
                soft_cap: self.soft_cap,
                sink_tokens: self.sinks,
                window_tokens: self.window,
                dilated: self.dilated,
                head_kinds: self.kinds(),
                mask_heads: self.mask_heads().unwrap_or_default(),
            };
            return match (settings.mode, self.chunk) {
                (ScoreMode::Exact, Some(chunk)) => {
                    Err(AttentionArgsError::ChunkWithoutReference { chunk })
                }
                _ => Ok(settings),
            };
        };
        let own = &profile.settings;
        let reach = |causal: bool| if causal { "causal" } else { "full" };
        agree("--block", self.block, own.block)?;
        agree("--stride", self.stride, own.stride)?;
        agree(
            "--causal or --full",
            self.causal().map(reach),
            reach(own.causal),
        )?;
        agree("--mode", self.mode(), own.mode)?;
        agree_with("--chunk", self.chunk, own.chunk, "the usual one")?;
        agree_with("--scale", self.scale, own.scale, "1 / sqrt(head_dim)")?;
        let none = "none";
        agree_with("--soft-cap", self.soft_cap, own.soft_cap, none)?;
        agree_with("--sinks", self.sinks, own.sink_tokens, none)?;
        agree_with("--window", self.window, own.window_tokens, none)?;
        agree_with("--dilated", self.dilated, own.dilated, none)?;
        agree_with(
            "--head-kinds",
            self.kinds(),
            own.head_kinds.clone(),
            "all sparse",
        )?;
        agree("--mask-heads", self.mask_heads(), own.mask_heads)?;
        Ok(own.clone())
    }

    /// The options of the scores, the selection and the attention where no profile gives them, without the blocks of [`Settings::forced`].
    /// `settings`: [`AttentionArgs::settings`] without a profile.
    ///
    /// # Errors
    /// [`AttentionArgsError::Options`], the first rule of `XAttention` broken.
    pub fn options(&self, settings: &Settings) -> Result<XAttentionOptions, AttentionArgsError> {
        let usual = XAttentionOptions::default().threshold;
        let threshold = self.threshold.map_or(usual, Threshold::Uniform);
        let options = XAttentionOptions {
            top_k: self.top_k,
            ..settings.without_patterns(threshold)
        };
        options.validate()?;
        Ok(options)
    }
}

/// An option that is given must be what the thresholds were found with.
fn agree<T: PartialEq + Display>(
    option: &'static str,
    given: Option<T>,
    found_with: T,
) -> Result<(), AttentionArgsError> {
    agree_with(option, given, Some(found_with), "")
}

/// The same where the profile may hold nothing, which means `usual`.
fn agree_with<T: PartialEq + Display>(
    option: &'static str,
    given: Option<T>,
    found_with: Option<T>,
    usual: &str,
) -> Result<(), AttentionArgsError> {
    match given {
        Some(given) if found_with.as_ref() != Some(&given) => Err(AttentionArgsError::Profile {
            option,
            given: given.to_string(),
            found_with: found_with.map_or_else(|| usual.to_owned(), |found| found.to_string()),
        }),
        _ => Ok(()),
    }
}
