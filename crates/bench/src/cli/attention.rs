//! `sparse-bench attention`: its options, and the rules between them.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use sparse_core::xattention::{Threshold, XAttentionError, XAttentionOptions};

use super::values::{count, finite, picture, positive, share};
use crate::profile::{Profile, Settings, Target};

/// Options of `sparse-bench attention`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench attention --qkv layer11.safetensors --scale 0.0625 --stride 16 --out o.safetensors
  sparse-bench attention --qkv layer11.safetensors --out o.safetensors --heatmap layer11.png
  sparse-bench attention --qkv layer11.safetensors --mode reference --chunk 4096 --out o.safetensors
  sparse-bench attention --qkv layer11.safetensors --full --dense --out dense.safetensors
  sparse-bench attention --calibrate --target-error 0.1 --qkv a.safetensors b.safetensors --out layer11.json
  sparse-bench attention --profile layer11.json --qkv c.safetensors --out o.safetensors

Reads q [batch, heads, q_len, head_dim] and k, v [batch, kv_heads, k_len, head_dim]. Writes block_scores f32 and mask u8
[batch, heads, q_blocks, k_blocks], out f32 [batch, heads, q_len, head_dim], lse f32 [batch, heads, q_len] (natural log).
Prints one JSON object on stdout and a table of the heads on stderr. With --calibrate it writes a profile instead: the
threshold of each head.")]
pub struct AttentionArgs {
    /// Safetensors file with tensors q, k and v; several for --calibrate
    #[arg(long, value_name = "F", required = true, num_args = 1..)]
    pub qkv: Vec<PathBuf>,
    /// Factor of q k^T before the softmax [default: that of the profile, or 1 / `sqrt(head_dim)`]
    #[arg(long, value_name = "X", value_parser = finite, allow_negative_numbers = true)]
    pub scale: Option<f64>,
    /// Token t sees the keys up to t + `k_len` - `q_len` [default: as the profile says, or this]
    #[arg(long)]
    pub causal: bool,
    /// Every token sees every key
    #[arg(long, conflicts_with = "causal")]
    pub full: bool,
    /// Tokens of a block [default: that of the profile, or 128]
    #[arg(long, value_parser = count)]
    pub block: Option<usize>,
    /// Tokens of a group of the score; must divide the block [default: that of the profile, or 8]
    #[arg(long, value_parser = count)]
    pub stride: Option<usize>,
    /// Share of the estimated attention mass that the selected blocks of a row must reach [default: 0.9]
    #[arg(long, value_parser = share)]
    pub threshold: Option<f64>,
    /// exact: real lengths, no chunks; reference: as the published code selects, padded to chunks [default: that of the
    /// profile, or exact]
    #[arg(long, value_enum)]
    pub mode: Option<ScoreMode>,
    /// Chunk of the reference mode in tokens [default: as the published wrapper chooses by length]
    #[arg(long, value_name = "C", value_parser = count)]
    pub chunk: Option<usize>,
    /// Attend to every block; the scores are computed and written all the same
    #[arg(long, conflicts_with_all = ["profile", "calibrate"])]
    pub dense: bool,
    /// Take the threshold of each head, and the options it was found with, from this profile (JSON)
    #[arg(long, value_name = "F", conflicts_with_all = ["threshold", "calibrate"])]
    pub profile: Option<PathBuf>,
    /// Find for each head the lowest threshold that reaches a target on all the files, write a profile (JSON) to --out
    #[arg(long, requires = "target", conflicts_with_all = ["threshold", "heatmap"])]
    pub calibrate: bool,
    /// Largest |out - dense out| / |dense out| of a head that --calibrate may end with
    #[arg(long, value_name = "E", group = "target", requires = "calibrate", value_parser = positive)]
    pub target_error: Option<f64>,
    /// Least share of the attention mass of a head, mean over its queries, that --calibrate may end with
    #[arg(long, value_name = "M", group = "target", requires = "calibrate", value_parser = share)]
    pub target_mass: Option<f64>,
    /// Draw block scores and mask of each head (.png or .svg)
    #[arg(long, value_name = "F", value_parser = picture)]
    pub heatmap: Option<PathBuf>,
    /// File to write: safetensors, or the profile of --calibrate
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
}

/// How XAttention scores and selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMode {
    /// Real lengths, means over real pairs, the smallest set of blocks that reaches the threshold.
    Exact,
    /// The behaviour of the published implementation, padding and chunks included.
    Reference,
}

impl Display for ScoreMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Reference => "reference",
        })
    }
}

/// The usual share of the mass.
const USUAL_THRESHOLD: f64 = 0.9;

impl AttentionArgs {
    /// What `--causal` and `--full` say; nothing where neither is given.
    fn causal(&self) -> Option<bool> {
        (self.causal || self.full).then_some(self.causal)
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
    pub fn settings(&self, profile: Option<&Profile>) -> Result<Settings, AttentionArgsError> {
        let Some(profile) = profile else {
            let settings = Settings {
                block: self.block.unwrap_or(128),
                stride: self.stride.unwrap_or(8),
                causal: self.causal().unwrap_or(true),
                scale: self.scale,
                mode: self.mode.unwrap_or(ScoreMode::Exact),
                chunk: self.chunk,
            };
            return match (settings.mode, self.chunk) {
                (ScoreMode::Exact, Some(chunk)) => {
                    Err(AttentionArgsError::ChunkWithoutReference { chunk })
                }
                _ => Ok(settings),
            };
        };
        let own = &profile.options;
        let reach = |causal: bool| if causal { "causal" } else { "full" };
        agree("--block", self.block, own.block)?;
        agree("--stride", self.stride, own.stride)?;
        agree(
            "--causal or --full",
            self.causal().map(reach),
            reach(own.causal),
        )?;
        agree("--mode", self.mode, own.mode)?;
        agree_with("--chunk", self.chunk, own.chunk, "the usual one")?;
        agree_with("--scale", self.scale, own.scale, "1 / sqrt(head_dim)")?;
        Ok(own.clone())
    }

    /// The options of the scores, the selection and the attention.
    ///
    /// # Errors
    /// One variant per rule between options.
    pub fn options(
        &self,
        profile: Option<&Profile>,
    ) -> Result<XAttentionOptions, AttentionArgsError> {
        let threshold = match profile {
            Some(profile) => profile.threshold(),
            None => Threshold::Uniform(self.threshold.unwrap_or(USUAL_THRESHOLD)),
        };
        let options = self.settings(profile)?.options(threshold);
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

/// Options of `attention` that do not go together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionArgsError {
    /// A chunk in exact mode.
    #[error(
        "--chunk {chunk} has no meaning in --mode exact, which has no chunks; add --mode reference or leave it out"
    )]
    ChunkWithoutReference {
        /// Tokens of a chunk.
        chunk: usize,
    },
    /// Several files without `--calibrate`.
    #[error(
        "--qkv names {count} files; only --calibrate takes several, attention runs on one at a time"
    )]
    SeveralFiles {
        /// Files named.
        count: usize,
    },
    /// An option that the profile was not made with.
    #[error(
        "{option} is {given}, but the thresholds of the profile were found with {found_with}; leave the option out, or calibrate again with it"
    )]
    Profile {
        /// The option.
        option: &'static str,
        /// Its value.
        given: String,
        /// That of the profile.
        found_with: String,
    },
    /// A rule of `XAttention` itself.
    #[error(transparent)]
    Options(#[from] XAttentionError),
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sparse_core::xattention::Mode;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::profile::fixture::profile;

    fn attention(options: &str) -> AttentionArgs {
        let line = format!("sparse-bench attention --qkv f --out o {options}");
        match Cli::try_parse_from(line.split_whitespace())
            .unwrap()
            .command
        {
            Command::Attention(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn attention_is_causal_unless_full() {
        let causal = |options| attention(options).options(None).unwrap().causal;
        assert!(causal("") && causal("--causal") && !causal("--full"));
    }

    #[test]
    fn rules_between_options_name_the_numbers() {
        let refusal = |options: &str| attention(options).options(None).unwrap_err().to_string();
        let reference = attention("--mode reference --chunk 4096 --stride 16")
            .options(None)
            .unwrap();
        assert!(matches!(reference.mode, Mode::Reference(o) if o.chunk == Some(4096)));
        assert!(refusal("--chunk 2048").contains("no meaning in --mode exact"));
        assert!(refusal("--stride 7").contains("7") && refusal("--stride 7").contains("128"));
        assert!(refusal("--mode reference --chunk 200").contains("200"));
        assert!(refusal("--scale -1").contains("-1"));
    }

    #[test]
    fn a_profile_gives_what_the_options_leave_open_and_nothing_may_contradict_it() {
        let profile = profile();
        let options = |line: &str| attention(line).options(Some(&profile));
        let all = options("").unwrap();
        assert_eq!((all.block, all.stride, all.causal), (32, 4, false));
        assert_eq!(all.threshold, Threshold::PerHead(vec![0.5, 0.75]));
        assert_eq!(
            options("--block 32 --stride 4 --full --scale 0.25").unwrap(),
            all
        );
        for (line, parts) in [
            ("--block 64", ["--block is 64", "found with 32"]),
            ("--stride 8", ["--stride is 8", "found with 4"]),
            ("--causal", ["is causal", "found with full"]),
            (
                "--mode reference",
                ["--mode is reference", "found with exact"],
            ),
            ("--chunk 128", ["--chunk is 128", "the usual one"]),
            ("--scale 0.5", ["--scale is 0.5", "found with 0.25"]),
        ] {
            let message = options(line).unwrap_err().to_string();
            assert!(
                parts.iter().all(|part| message.contains(part)),
                "{line}: {message}"
            );
        }
    }

    #[test]
    fn only_calibration_takes_several_files_and_it_needs_one_target() {
        let parse = |options: &str| {
            let line = format!("sparse-bench attention --qkv f g --out o {options}");
            Cli::try_parse_from(line.split_whitespace())
        };
        let Command::Attention(args) = parse("--calibrate --target-mass 0.9").unwrap().command
        else {
            panic!("another command");
        };
        assert_eq!(args.target(), Some(Target::KeptMass(0.9)));
        assert_eq!(
            args.only_qkv(),
            Err(AttentionArgsError::SeveralFiles { count: 2 })
        );
        for wrong in [
            "--calibrate",
            "--target-error 0.1",
            "--calibrate --target-error 0.1 --target-mass 0.9",
            "--calibrate --target-error 0",
            "--calibrate --target-mass 0.9 --threshold 0.5",
            "--calibrate --target-mass 0.9 --dense",
            "--profile p --threshold 0.5",
            "--heatmap map.jpg",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
