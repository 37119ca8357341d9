//! `sparse-bench tune` and the options by which other commands take what it found.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::count;

/// Options of `sparse-bench tune`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench tune --out tiles.json
  sparse-bench tune --budget full --adapter NVIDIA --out nvidia.json
  sparse-bench tune --ops nm_matmul,nm_matvec --tokens 1,64,512 --budget 300 --out mlp.json
  sparse-bench compare --tiles tiles.json

Measures other tiles against the default of every kernel, by turns, and keeps those that are faster by more than the spread
of the measurement and whose results are right. Programs load the file with sparse_gpu::TileTable::from_json and give it to
Gpu::with_tiles; nothing else uses it. Ctrl-C ends the problem at hand and writes what was found before, with exit status 130; a
second one ends at once. A table that lacks problems, since some failed or for Ctrl-C, goes to a file of its own, to
tiles.partial.json for tiles.json, and a tiles.json that is there stays.")]
pub struct TuneArgs {
    /// Operations, comma-separated [default: all]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    pub ops: Vec<TuneOperation>,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
    /// Tokens to measure at, comma-separated: at most 8 for mat-vecs, more for the others, at least 128 for attention (keys, where queries are few)
    /// and scores; a tile is used half way to the next of them, and up to four times as many or as few [default: by adapter and budget]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = count, allow_hyphen_values = true)]
    pub tokens: Vec<usize>,
    /// quick (three minutes, the shapes that matter most), full (half an hour, all), or seconds for the shapes of quick
    #[arg(
        long,
        default_value = "quick",
        value_name = "quick|full|SECONDS",
        allow_hyphen_values = true
    )]
    pub budget: TuneBudget,
    /// The table to write (JSON) [default: none, only show what would stand in it]
    #[arg(long, value_name = "F")]
    pub out: Option<PathBuf>,
}

/// An operation whose kernels have tiles to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TuneOperation {
    /// Dense weights, few tokens and many.
    DenseMatmul,
    /// N:M weights, more than 8 tokens.
    NmMatmul,
    /// N:M weights, at most 8 tokens.
    NmMatvec,
    /// Block-sparse weights, more than 8 tokens.
    BsrMatmul,
    /// Attention, of many queries and of one over many keys (decoding); its tiles serve masks and all blocks alike.
    BlockAttention,
    /// The scores of `XAttention`.
    #[value(help = "The scores of XAttention")]
    XattentionScore,
}

/// How long tuning may take, and over which shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TuneBudget {
    /// In all.
    pub time: Duration,
    /// All shapes, and every tile that fits; otherwise the shapes that matter most, and tiles near the default.
    pub is_full: bool,
}

/// `--budget` that is none of the three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a budget is quick, full or a number of seconds from 1 to 86400, as in 300")]
pub struct TuneBudgetError;

impl FromStr for TuneBudget {
    type Err = TuneBudgetError;

    fn from_str(text: &str) -> Result<Self, TuneBudgetError> {
        let (seconds, is_full) = match text {
            "quick" => (180, false),
            "full" => (1800, true),
            other => {
                let seconds = other.parse().ok().filter(|s| (1..=86_400).contains(s));
                (seconds.ok_or(TuneBudgetError)?, false)
            }
        };
        Ok(Self {
            time: Duration::from_secs(seconds),
            is_full,
        })
    }
}

/// Options of commands that plan with a table of tiles.
#[derive(Clone, Debug, Default, Args)]
pub struct TilesArgs {
    /// Prefer the tiles of this table (JSON), which `sparse-bench tune` wrote on this adapter
    #[arg(long, value_name = "F")]
    pub tiles: Option<PathBuf>,
    /// Take the table of --tiles even where it was measured on another adapter
    #[arg(long, requires = "tiles")]
    pub tiles_of_any_adapter: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_name_or_seconds() {
        let quick: TuneBudget = "quick".parse().unwrap();
        let full: TuneBudget = "full".parse().unwrap();
        assert!(!quick.is_full && full.is_full && full.time > quick.time);
        let seconds: TuneBudget = "7".parse().unwrap();
        assert_eq!(seconds.time, Duration::from_secs(7));
        for wrong in ["", "0", "-1", "1.5", "86401", "fast"] {
            assert_eq!(wrong.parse::<TuneBudget>(), Err(TuneBudgetError), "{wrong}");
        }
    }
}
