//! Patterns of weights as text: `dense|2:4|N:M|V:N:M|bsr:BRxBC@DENSITY`.

use std::fmt;
use std::str::FromStr;

use sparse_core::{Nm, NmError};

/// What weights are pruned to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Nothing is pruned.
    Dense,
    /// N of every M weights along k are kept, V consecutive rows share one choice.
    Nm(Nm),
    /// The blocks with the largest sum of absolute values are kept.
    Bsr {
        /// Rows of a block.
        block_rows: usize,
        /// Columns of a block.
        block_cols: usize,
        /// Share of the blocks that is kept, above 0 and at most 1.
        density: f64,
    },
}

impl Pattern {
    /// Share of the weights that are kept: `n / m`, the density of the blocks, or 1.
    pub fn density(self) -> f64 {
        match self {
            Self::Dense => 1.0,
            Self::Nm(nm) => nm.density(),
            Self::Bsr { density, .. } => density,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Dense => f.write_str("dense"),
            Self::Nm(nm) => nm.fmt(f),
            Self::Bsr {
                block_rows,
                block_cols,
                density,
            } => write!(f, "bsr:{block_rows}x{block_cols}@{density}"),
        }
    }
}

/// Why a text is no pattern. Messages name the part that is wrong; who shows them puts the whole text before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// No known form.
    #[error(
        "{given:?} is no pattern; possible are dense, N:M (2:4), V:N:M (8:2:8, V rows share one choice) \
         and bsr:BRxBC@DENSITY (bsr:32x32@0.25)"
    )]
    UnknownForm {
        /// The argument.
        given: String,
    },
    /// A part that must be a whole number is none.
    #[error("{part} is {given:?}, but it must be a whole number from 1 up")]
    NotANumber {
        /// `block rows` or `block columns`.
        part: &'static str,
        /// What stands there.
        given: String,
    },
    /// N, M and V do not make a pattern.
    #[error(transparent)]
    Nm(NmError),
    /// The block pattern lacks its density.
    #[error(
        "the block pattern {given:?} has no density; write bsr:BRxBC@DENSITY, as in bsr:32x32@0.25"
    )]
    NoDensity {
        /// What stands after `bsr:`.
        given: String,
    },
    /// The block pattern lacks the `x` between rows and columns.
    #[error(
        "the block shape is {given:?}; write rows x columns without spaces, as in 32x32 or 16x64"
    )]
    BlockShape {
        /// What stands before `@`.
        given: String,
    },
    /// The density is no number above 0 and at most 1.
    #[error(
        "the density is {given:?}, but it must be above 0 and at most 1: it is the share of the blocks that is kept"
    )]
    Density {
        /// What stands after `@`.
        given: String,
    },
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "dense" {
            return Ok(Self::Dense);
        }
        if let Some(blocks) = text.strip_prefix("bsr:") {
            return parse_blocks(blocks);
        }
        match text.parse() {
            Ok(nm) => Ok(Self::Nm(nm)),
            // The message of the core crate does not know the other forms.
            Err(NmError::Unreadable { text }) => Err(PatternError::UnknownForm { given: text }),
            Err(error) => Err(PatternError::Nm(error)),
        }
    }
}

fn parse_blocks(text: &str) -> Result<Pattern, PatternError> {
    let (shape, density) = text
        .split_once('@')
        .ok_or_else(|| PatternError::NoDensity { given: text.into() })?;
    let (rows, cols) = shape
        .split_once('x')
        .ok_or_else(|| PatternError::BlockShape {
            given: shape.into(),
        })?;
    let refused = || PatternError::Density {
        given: density.into(),
    };
    let share: f64 = density.parse().map_err(|_| refused())?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(refused());
    }
    Ok(Pattern::Bsr {
        block_rows: positive("block rows", rows)?,
        block_cols: positive("block columns", cols)?,
        density: share,
    })
}

fn positive(part: &'static str, text: &str) -> Result<usize, PatternError> {
    text.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| PatternError::NotANumber {
            part,
            given: text.into(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Pattern>().unwrap_err().to_string()
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "dense",
            "2:4",
            "1:32",
            "8:2:8",
            "bsr:32x64@0.25",
            "bsr:1x1@1",
        ] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        assert_eq!("1:2:4".parse(), "2:4".parse::<Pattern>());
        assert_eq!("8:2:8".parse::<Pattern>().unwrap().density(), 0.25);
        assert_eq!("bsr:8x8@0.1".parse::<Pattern>().unwrap().density(), 0.1);
    }

    #[test]
    fn every_rule_has_its_message() {
        for unknown in ["", "4", "2:4:8:16", "csr", "Dense", "x:2:4", "2:-4"] {
            assert!(
                refusal(unknown).contains("is no pattern; possible are dense, N:M"),
                "{unknown}"
            );
        }
        assert!(refusal("0:4").starts_with("pattern 0:4 keeps nothing"));
        assert!(refusal("4:4").starts_with("pattern 4:4 drops nothing"));
        assert!(refusal("2:33").contains("the longest supported group has 32"));
        assert!(refusal("0:2:4").contains("v must be at least 1"));
        assert!(refusal("bsr:32x32").contains("has no density"));
        assert!(refusal("bsr:32@0.5").starts_with("the block shape is \"32\""));
        assert!(refusal("bsr:0x32@0.5").starts_with("block rows is \"0\""));
        for density in ["0", "1.5", "nan", "-1", "half", ""] {
            let message = refusal(&format!("bsr:32x32@{density}"));
            assert!(
                message.starts_with(&format!("the density is {density:?}")),
                "{message}"
            );
        }
    }
}
