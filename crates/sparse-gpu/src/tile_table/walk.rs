//! The walks of matmul as a table of tiles names them: without what only the host of one problem knows.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sparse_core::Nm;
use sparse_shaders::Walk;

use super::TileTableError;

/// Which k the weights visit: the walk of a kernel, with what the best tile depends on.
///
/// Written, in tables too, as the name of the walk and its numbers: `dense`, `nm 8:2:4`, `bsr 32x32`.
///
/// ```
/// use sparse_gpu::TileWalk;
/// let walk: TileWalk = "nm 8:2:4".parse()?;
/// assert!(matches!(walk, TileWalk::Nm(pattern) if pattern.v() == 8));
/// assert_eq!(walk.to_string(), "nm 8:2:4");
/// # Ok::<(), sparse_gpu::TileTableError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum TileWalk {
    /// Every k.
    Dense,
    /// Every k, of weights stored as `[k_in, n_out]`.
    DenseTransposed,
    /// The columns that V rows share.
    Nm(Nm),
    /// Every k, with the weights put back in their places.
    NmExpand(Nm),
    /// Every row branches on its pattern.
    NmBranch(Nm),
    /// A list of columns for each row; for few tokens only.
    NmGather(Nm),
    /// Groups of four, each row selecting from them; for few tokens only.
    NmSelect {
        /// Stored weights of a group: 1 or 2.
        n: usize,
        /// Rows that share one pattern.
        v: usize,
    },
    /// N:M weights stored as `[k_in, n_out]`.
    NmTransposed(Nm),
    /// The columns of stored blocks.
    Bsr {
        /// Rows of a block.
        rows: usize,
        /// Columns of a block.
        cols: usize,
    },
    /// Blocks of weights stored as `[k_in, n_out]`.
    BsrTransposed {
        /// Rows of a block.
        rows: usize,
        /// Columns of a block.
        cols: usize,
    },
}

/// What a table may name.
const FORMS: &str = "dense, dense_transposed, nm V:N:M, nm_expand V:N:M, nm_branch V:N:M, nm_gather V:N:M, nm_select V:N:4, nm_transposed V:N:M, bsr RxC, bsr_transposed RxC";

impl TileWalk {
    /// The walk of a kernel. None for numbers that make no pattern, which no plan has.
    pub(crate) fn of(walk: Walk) -> Option<Self> {
        let pattern = |n, m, v| Nm::try_new(n, m, v).ok();
        Some(match walk {
            Walk::Dense { .. } => Self::Dense,
            Walk::DenseTransposed { .. } => Self::DenseTransposed,
            Walk::Nm { n, m, v, .. } => Self::Nm(pattern(n, m, v)?),
            Walk::NmExpand { n, m, v, .. } => Self::NmExpand(pattern(n, m, v)?),
            Walk::NmBranch { n, m, v, .. } => Self::NmBranch(pattern(n, m, v)?),
            Walk::NmGather { n, m, v, .. } => Self::NmGather(pattern(n, m, v)?),
            Walk::NmSelect { n, v, .. } => Self::NmSelect { n, v },
            Walk::NmTransposed { n, m, v, .. } => Self::NmTransposed(pattern(n, m, v)?),
            Walk::Bsr { br, bc } => Self::Bsr { rows: br, cols: bc },
            Walk::BsrTransposed { br, bc } => Self::BsrTransposed { rows: br, cols: bc },
        })
    }

    /// A walk of a kernel that has this name: with aligned rows and whole steps.
    pub(crate) fn example(self) -> Walk {
        let whole_steps = true;
        match self {
            Self::Dense => Walk::Dense {
                vector_weights: true,
            },
            Self::DenseTransposed => Walk::DenseTransposed {
                vector_weights: true,
                whole_steps,
            },
            Self::Nm(p) => Walk::Nm {
                n: p.n(),
                m: p.m(),
                v: p.v(),
                index_bits: p.index_bits(),
            },
            Self::NmExpand(p) => Walk::NmExpand {
                n: p.n(),
                m: p.m(),
                v: p.v(),
                index_bits: p.index_bits(),
            },
            Self::NmBranch(p) => Walk::NmBranch {
                n: p.n(),
                m: p.m(),
                v: p.v(),
                index_bits: p.index_bits(),
            },
            Self::NmGather(p) => Walk::NmGather {
                n: p.n(),
                m: p.m(),
                v: p.v(),
                index_bits: p.index_bits(),
            },
            Self::NmSelect { n, v } => Walk::NmSelect { n, v, whole_steps },
            Self::NmTransposed(p) => Walk::NmTransposed {
                n: p.n(),
                m: p.m(),
                v: p.v(),
                index_bits: p.index_bits(),
                whole_steps,
            },
            Self::Bsr { rows: br, cols: bc } => Walk::Bsr { br, bc },
            Self::BsrTransposed { rows: br, cols: bc } => Walk::BsrTransposed { br, bc },
        }
    }
}

impl std::fmt::Display for TileWalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.example().name();
        match *self {
            Self::Dense | Self::DenseTransposed => f.write_str(name),
            // V is written where it is 1, too: one form only.
            Self::Nm(p)
            | Self::NmExpand(p)
            | Self::NmBranch(p)
            | Self::NmGather(p)
            | Self::NmTransposed(p) => {
                write!(f, "{name} {}:{}:{}", p.v(), p.n(), p.m())
            }
            Self::NmSelect { n, v } => write!(f, "{name} {v}:{n}:4"),
            Self::Bsr { rows, cols } | Self::BsrTransposed { rows, cols } => {
                write!(f, "{name} {rows}x{cols}")
            }
        }
    }
}

impl FromStr for TileWalk {
    type Err = TileTableError;

    fn from_str(text: &str) -> Result<Self, TileTableError> {
        let (name, numbers) = text.split_once(' ').unwrap_or((text, ""));
        let unknown = || TileTableError::Walk {
            found: text.to_owned(),
            known: FORMS,
        };
        let pattern = || numbers.parse::<Nm>().map_err(|_| unknown());
        let block = || {
            let sides = numbers.split_once('x').ok_or_else(unknown)?;
            let side = |text: &str| text.parse().ok().filter(|&n| n > 0).ok_or_else(unknown);
            Ok((side(sides.0)?, side(sides.1)?))
        };
        match name {
            "dense" if numbers.is_empty() => Ok(Self::Dense),
            "dense_transposed" if numbers.is_empty() => Ok(Self::DenseTransposed),
            "nm" => pattern().map(Self::Nm),
            "nm_expand" => pattern().map(Self::NmExpand),
            "nm_branch" => pattern().map(Self::NmBranch),
            "nm_gather" => pattern().map(Self::NmGather),
            "nm_select" => match pattern()? {
                p if p.m() == 4 && p.n() <= 2 => Ok(Self::NmSelect { n: p.n(), v: p.v() }),
                _ => Err(unknown()),
            },
            "nm_transposed" => pattern().map(Self::NmTransposed),
            "bsr" => block().map(|(rows, cols)| Self::Bsr { rows, cols }),
            "bsr_transposed" => block().map(|(rows, cols)| Self::BsrTransposed { rows, cols }),
            _ => Err(unknown()),
        }
    }
}

impl From<TileWalk> for String {
    fn from(walk: TileWalk) -> Self {
        walk.to_string()
    }
}

impl TryFrom<String> for TileWalk {
    type Error = TileTableError;

    fn try_from(text: String) -> Result<Self, TileTableError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_walk_is_read_as_it_was_written() {
        let written = [
            "dense",
            "dense_transposed",
            "nm 8:2:4",
            "nm_expand 1:2:4",
            "nm_branch 1:2:4",
            "nm_gather 1:2:4",
            "nm_select 1:2:4",
            "nm_transposed 4:2:8",
            "bsr 32x16",
            "bsr_transposed 8x8",
        ];
        for text in written {
            let walk: TileWalk = text.parse().unwrap();
            assert_eq!(walk.to_string(), text);
            assert_eq!(TileWalk::of(walk.example()), Some(walk), "{text}");
        }
    }

    #[test]
    fn other_words_are_refused_with_the_words_that_there_are() {
        for text in [
            "",
            "csr",
            "dense 4",
            "nm",
            "nm_select 1:2:8",
            "nm_select 1:3:4",
            "nm 4:4",
            "nm 8:2:x",
            "bsr 0x8",
            "bsr 8",
            "bsr 8x-1",
        ] {
            let error = text.parse::<TileWalk>().unwrap_err().to_string();
            assert!(error.contains("nm V:N:M"), "{text}: {error}");
        }
    }
}
