//! What each query head attends to, in words.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sparse_core::attention::HeadKind;

/// One kind per query head: `dense`, `sparse` or `streaming:SINKS:RECENT`, counts of blocks.
///
/// A list of these words in JSON; as text they have commas between them.
///
/// ```
/// use sparse_gpu::profile::HeadKinds;
/// use sparse_gpu::sparse_core::attention::HeadKind;
/// let kinds: HeadKinds = "sparse,streaming:1:8".parse()?;
/// assert_eq!(kinds.0[0], HeadKind::Sparse);
/// assert_eq!(kinds.to_string(), "sparse,streaming:1:8");
/// # Ok::<(), sparse_gpu::profile::HeadKindsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct HeadKinds(pub Vec<HeadKind>);

/// A word that is no kind of head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no kind of head {given:?}; possible are dense, sparse and streaming:SINKS:RECENT (counts of blocks, as in streaming:1:8)"
)]
pub struct HeadKindsError {
    /// The word.
    pub given: String,
}

/// The kind in words.
pub fn head_kind_words(kind: HeadKind) -> String {
    match kind {
        HeadKind::Dense => "dense".into(),
        HeadKind::Sparse => "sparse".into(),
        HeadKind::Streaming {
            sink_blocks,
            recent_blocks,
        } => format!("streaming:{sink_blocks}:{recent_blocks}"),
    }
}

fn head_kind(word: &str) -> Result<HeadKind, HeadKindsError> {
    let unknown = || HeadKindsError { given: word.into() };
    match word {
        "dense" => Ok(HeadKind::Dense),
        "sparse" => Ok(HeadKind::Sparse),
        _ => {
            let counts = word.strip_prefix("streaming:").ok_or_else(unknown)?;
            let (sinks, recent) = counts.split_once(':').ok_or_else(unknown)?;
            let count = |text: &str| text.parse().map_err(|_| unknown());
            Ok(HeadKind::Streaming {
                sink_blocks: count(sinks)?,
                recent_blocks: count(recent)?,
            })
        }
    }
}

impl FromStr for HeadKinds {
    type Err = HeadKindsError;

    fn from_str(text: &str) -> Result<Self, HeadKindsError> {
        text.split(',')
            .map(|word| head_kind(word.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TryFrom<Vec<String>> for HeadKinds {
    type Error = HeadKindsError;

    fn try_from(words: Vec<String>) -> Result<Self, HeadKindsError> {
        words
            .iter()
            .map(|word| head_kind(word))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<HeadKinds> for Vec<String> {
    fn from(kinds: HeadKinds) -> Self {
        kinds.0.into_iter().map(head_kind_words).collect()
    }
}

impl Display for HeadKinds {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Vec::from(self.clone()).join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        let text = "dense,sparse,streaming:1:8";
        let kinds: HeadKinds = text.parse().unwrap();
        let streaming = HeadKind::Streaming {
            sink_blocks: 1,
            recent_blocks: 8,
        };
        assert_eq!(kinds.0, [HeadKind::Dense, HeadKind::Sparse, streaming]);
        assert_eq!(kinds.to_string(), text);
        let json = serde_json::to_string(&kinds).unwrap();
        assert_eq!(json, r#"["dense","sparse","streaming:1:8"]"#);
        assert_eq!(serde_json::from_str::<HeadKinds>(&json).unwrap(), kinds);
    }

    #[test]
    fn other_words_are_refused_with_the_possible_ones() {
        for text in [
            "",
            "dens",
            "streaming",
            "streaming:1",
            "streaming:1:x",
            "dense,,sparse",
        ] {
            let message = text.parse::<HeadKinds>().unwrap_err().to_string();
            assert!(
                message.contains("streaming:SINKS:RECENT"),
                "{text}: {message}"
            );
        }
    }
}
