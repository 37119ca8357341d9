//! What the thresholds of a profile were found with.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use sparse_core::attention::{AttentionShape, MaskHeads};
use sparse_core::xattention::{Mode, ReferenceOptions, Threshold, XAttentionOptions};
use sparse_core::{BlockGrid, BlockMask, MaskError};

use super::HeadKinds;

/// `null` for nothing, but not left out: a profile that lost a field must not run with what is usual.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// How is scored and selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMode {
    /// Real lengths, means over real pairs, the smallest set of blocks that reaches the threshold.
    Exact,
    /// The behaviour of the published implementation, padding and chunks included.
    Reference,
}

impl Display for ScoreMode {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Reference => "reference",
        })
    }
}

/// Options of scores, selection and attention, all but the thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Tokens of a block.
    pub block: usize,
    /// Tokens of a group of the score.
    pub stride: usize,
    /// Whether the attention is causal.
    pub causal: bool,
    /// Softmax scale; none: `1 / sqrt(head_dim)`. A profile has one, so that it does not depend on what is usual.
    #[serde(deserialize_with = "given")]
    pub scale: Option<f64>,
    /// How is scored and selected.
    pub mode: ScoreMode,
    /// Chunk of the reference mode in tokens; none: by length, as the published wrapper does.
    #[serde(deserialize_with = "given")]
    pub chunk: Option<usize>,
    /// Soft cap of the attention's logits; none: off.
    #[serde(deserialize_with = "given")]
    pub soft_cap: Option<f64>,
    /// The blocks of this many first keys are always selected, at least 1; none: no such pattern.
    #[serde(deserialize_with = "given")]
    pub sink_tokens: Option<usize>,
    /// The blocks of this many keys up to each query are always selected, at least 1; none: no such pattern.
    #[serde(deserialize_with = "given")]
    pub window_tokens: Option<usize>,
    /// Blocks at regular distances are always selected; none: no such pattern.
    #[serde(deserialize_with = "given")]
    pub dilated: Option<Dilated>,
    /// One per query head; none: all sparse.
    #[serde(deserialize_with = "given")]
    pub head_kinds: Option<HeadKinds>,
    /// Whether query heads share a mask; left out of the file where they do not.
    #[serde(default, skip_serializing_if = "is_usual", with = "MaskHeadsName")]
    pub mask_heads: MaskHeads,
}

/// As the file says it. A profile that lost the field has the wrong number of thresholds.
#[derive(Serialize, Deserialize)]
#[serde(remote = "MaskHeads", rename_all = "snake_case")]
enum MaskHeadsName {
    Query,
    Key,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_usual(heads: &MaskHeads) -> bool {
    *heads == MaskHeads::default()
}

impl Settings {
    /// As options of XAttention, without [`Settings::forced`], and not yet validated.
    pub fn without_patterns(&self, threshold: Threshold) -> XAttentionOptions {
        XAttentionOptions {
            block: self.block,
            stride: self.stride,
            threshold,
            causal: self.causal,
            scale: self.scale,
            soft_cap: self.soft_cap,
            head_kinds: self.head_kinds.clone().map(|kinds| kinds.0),
            mask_heads: self.mask_heads,
            mode: match self.mode {
                ScoreMode::Exact => Mode::Exact,
                ScoreMode::Reference => Mode::Reference(ReferenceOptions {
                    chunk: self.chunk,
                    ..ReferenceOptions::default()
                }),
            },
            ..XAttentionOptions::default()
        }
    }

    /// The first field that says 0 where it means a number of always selected tokens or blocks. No option writes such a profile.
    pub(super) fn empty_pattern(&self) -> Option<&'static str> {
        let (step, count) = self.dilated.map(|d| (d.step, d.count)).unzip();
        [
            ("sink_tokens", self.sink_tokens),
            ("window_tokens", self.window_tokens),
            ("dilated.step", step),
            ("dilated.count", count),
        ]
        .into_iter()
        .find_map(|(field, number)| (number == Some(0)).then_some(field))
    }

    /// Whether there are blocks that are always selected.
    pub(super) fn has_patterns(&self) -> bool {
        self.sink_tokens.is_some() || self.window_tokens.is_some() || self.dilated.is_some()
    }

    /// The blocks that sinks, window and dilated pattern select of a problem of `shape`; nothing where there is no such pattern.
    ///
    /// # Errors
    /// Where the block is 0 or the mask is too large.
    pub fn forced(&self, shape: AttentionShape) -> Result<Option<BlockMask>, MaskError> {
        let [batch, heads, ..] = shape.mask_shape_by(self.block, self.mask_heads);
        let grid = BlockGrid {
            batch,
            heads,
            q_len: shape.q_len(),
            k_len: shape.k_len(),
            block: self.block,
        };
        let sinks = self.sink_tokens.map(|n| BlockMask::sinks(&grid, n));
        let window = self
            .window_tokens
            .map(|n| BlockMask::sliding_window(&grid, n));
        let dilated = self
            .dilated
            .map(|d| BlockMask::dilated(&grid, d.step, d.count));
        let mut all: Option<BlockMask> = None;
        for pattern in [sinks, window, dilated].into_iter().flatten() {
            let pattern = pattern?;
            all = Some(match all {
                Some(all) => all.union(&pattern)?,
                None => pattern,
            });
        }
        Ok(all)
    }
}

/// Every `step`-th block backwards from that of the query, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dilated {
    /// Blocks from one to the next, at least 1.
    pub step: usize,
    /// Number of blocks, at least 1.
    pub count: usize,
}

/// A dilated pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no dilated pattern; write STEPxCOUNT with numbers of blocks from 1 up, as in 4x8"
)]
pub struct DilatedError {
    /// What was given.
    pub given: String,
}

impl FromStr for Dilated {
    type Err = DilatedError;

    fn from_str(text: &str) -> Result<Self, DilatedError> {
        let count = |text: &str| text.parse().ok().filter(|&n: &usize| n > 0);
        text.split_once('x')
            .and_then(|(step, number)| {
                Some(Self {
                    step: count(step)?,
                    count: count(number)?,
                })
            })
            .ok_or_else(|| DilatedError { given: text.into() })
    }
}

impl Display for Dilated {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.step, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::profile;
    use super::*;

    #[test]
    fn patterns_are_united() {
        let shape = AttentionShape::try_new(1, 2, 1, 320, 320, 16).unwrap();
        let none = profile().settings;
        assert_eq!(none.forced(shape), Ok(None));
        let some = Settings {
            sink_tokens: Some(33),
            dilated: Some("3x2".parse().unwrap()),
            ..none.clone()
        };
        let mask = some.forced(shape).unwrap().unwrap();
        // Two blocks of sinks, the own block and the third before it.
        assert_eq!(mask.row(0, 1, 7).collect::<Vec<_>>(), [0, 1, 4, 7]);
        let window = Settings {
            window_tokens: Some(64),
            ..none
        };
        let mask = window.forced(shape).unwrap().unwrap();
        assert_eq!(mask.row(0, 0, 7).collect::<Vec<_>>(), [5, 6, 7]);
    }

    #[test]
    fn dilated_patterns_are_read_as_they_are_written() {
        assert_eq!("4x8".parse::<Dilated>().unwrap().to_string(), "4x8");
        for text in ["4", "0x8", "4x0", "x", "4x8x2"] {
            assert!(text.parse::<Dilated>().is_err(), "{text}");
        }
    }
}
