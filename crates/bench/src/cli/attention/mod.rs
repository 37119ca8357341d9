//! `sparse-bench attention`: its options.

mod error;
mod resolve;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sparse_core::attention::MaskHeads;
use sparse_gpu::profile::{Dilated, ScoreMode};

pub use error::AttentionArgsError;

use super::values::{block, count, finite, picture, positive, share};
use super::{HeadKindsOption, TilesArgs};

/// Options of `sparse-bench attention`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench attention --qkv layer11.safetensors --scale 0.0625 --stride 16 --out o.safetensors
  sparse-bench attention --qkv layer11.safetensors --out o.safetensors --heatmap layer11.png
  sparse-bench attention --qkv layer11.safetensors --mode reference --chunk 4096 --out o.safetensors
  sparse-bench attention --qkv layer11.safetensors --full --dense --out dense.safetensors
  sparse-bench attention --calibrate --target-error 0.1 --qkv a.safetensors b.safetensors --out layer11.json
  sparse-bench attention --auto --qkv layer11.safetensors --out o.safetensors
  sparse-bench attention --profile layer11.json --qkv c.safetensors --out o.safetensors

Reads q [batch, heads, q_len, head_dim] and k, v [batch, kv_heads, k_len, head_dim]. Writes block_scores f32 and mask u8
[batch, heads, q_blocks, k_blocks] (those of each query head, shared or not; no block_scores where --auto scored nothing), out f32 [batch, heads, q_len, head_dim], lse f32 [batch, heads, q_len] (natural log).
Prints one JSON object on stdout and a table of the heads on stderr. With --calibrate it writes a profile instead: the
threshold of each head.")]
pub struct AttentionArgs {
    /// Safetensors file with tensors q, k and v; several for --calibrate
    #[arg(long, value_name = "F", required = true, num_args = 1..)]
    pub qkv: Vec<PathBuf>,
    /// Factor of q k^T before the softmax [default: that of the profile, or 1 / `sqrt(head_dim)`]
    #[arg(long, value_name = "X", value_parser = finite, allow_hyphen_values = true)]
    pub scale: Option<f64>,
    /// Token t sees the keys up to t + `k_len` - `q_len` [default: as the profile says, or this]
    #[arg(long)]
    pub causal: bool,
    /// Every token sees every key
    #[arg(long, conflicts_with = "causal")]
    pub full: bool,
    /// Tokens of a block, a multiple of 16 [default: that of the profile, or 128]
    #[arg(long, value_parser = block, allow_hyphen_values = true)]
    pub block: Option<usize>,
    /// Tokens of a group of the score; must divide the block [default: that of the profile, or 8]
    #[arg(long, value_parser = count, allow_hyphen_values = true)]
    pub stride: Option<usize>,
    /// Share of the estimated attention mass that the selected blocks of a row must reach [default: 0.9]
    #[arg(long, value_parser = share, allow_hyphen_values = true)]
    pub threshold: Option<f64>,
    /// exact: real lengths, no chunks; reference: as the published code selects, padded to chunks [default: that of the
    /// profile, or exact]
    #[arg(long, value_enum)]
    pub mode: Option<ScoreModeName>,
    /// Chunk of the reference mode in tokens [default: as the published wrapper chooses by length]
    #[arg(long, value_name = "C", value_parser = count, allow_hyphen_values = true)]
    pub chunk: Option<usize>,
    /// Select this many blocks of every row, those that are always selected among them, instead of a share of the mass
    #[arg(long, value_name = "N", value_parser = count, allow_hyphen_values = true, conflicts_with_all = ["threshold", "profile", "calibrate"])]
    pub top_k: Option<usize>,
    /// Logits z of the attention become X tanh(z / X) [default: that of the profile, or off]
    #[arg(long, value_name = "X", value_parser = positive, allow_hyphen_values = true)]
    pub soft_cap: Option<f64>,
    /// Always select the blocks of the first T keys too, in sparse heads [default: as the profile says, or none]
    #[arg(long, value_name = "T", value_parser = count, allow_hyphen_values = true)]
    pub sinks: Option<usize>,
    /// Always select the blocks of the last T keys up to each query too, in sparse heads [default: as the profile says, or none]
    #[arg(long, value_name = "T", value_parser = count, allow_hyphen_values = true)]
    pub window: Option<usize>,
    /// Always select every STEP-th block backwards from that of the query too, COUNT of them, in sparse heads [default: as the
    /// profile says, or none]
    #[arg(long, value_name = "STEPxCOUNT", allow_hyphen_values = true)]
    pub dilated: Option<Dilated>,
    /// What each query head attends to: dense, sparse or streaming:SINKS:RECENT (blocks), comma-separated, or a .json file
    /// with an array of these [default: as the profile says, or all sparse]
    #[arg(long, value_name = "LIST|F", value_parser = HeadKindsOption::parse)]
    pub head_kinds: Option<HeadKindsOption>,
    /// Give each query head a mask of its own, or those that share a key/value head one, selected from the sum of their scores
    /// [default: as the profile says, or query]
    #[arg(long, value_enum)]
    pub mask_heads: Option<MaskHeadsName>,
    /// Attend to every block; the scores are computed and written all the same
    #[arg(long, conflicts_with_all = ["profile", "calibrate", "top_k", "head_kinds", "mask_heads", "sinks", "window", "dilated"])]
    pub dense: bool,
    /// Take dense attention where that is faster: by a cost model, on the device where it depends on the inputs
    #[arg(long, conflicts_with_all = ["dense", "calibrate"])]
    pub auto: bool,
    /// Take the threshold of each head, and the options it was found with, from this profile (JSON)
    #[arg(long, value_name = "F", conflicts_with_all = ["threshold", "calibrate"])]
    pub profile: Option<PathBuf>,
    /// Find for each head the lowest threshold that reaches a target on all the files, write a profile (JSON) to --out
    #[arg(long, requires = "target", conflicts_with_all = ["threshold", "heatmap"])]
    pub calibrate: bool,
    /// Largest |out - dense out| / |dense out| of a head that --calibrate may end with
    #[arg(long, value_name = "E", group = "target", requires = "calibrate", value_parser = positive, allow_hyphen_values = true)]
    pub target_error: Option<f64>,
    /// Least share of the attention mass of a head, mean over its queries, that --calibrate may end with
    #[arg(long, value_name = "M", group = "target", requires = "calibrate", value_parser = share, allow_hyphen_values = true)]
    pub target_mass: Option<f64>,
    /// Draw block scores and mask of each head (.png or .svg)
    #[arg(long, value_name = "F", value_parser = picture)]
    pub heatmap: Option<PathBuf>,
    /// File to write: safetensors, or the profile of --calibrate
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
    /// A table of tiles.
    #[command(flatten)]
    pub tiles: TilesArgs,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
}

/// How XAttention scores and selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreModeName {
    /// Real lengths, means over real pairs, the smallest set of blocks that reaches the threshold.
    Exact,
    /// The behaviour of the published implementation, padding and chunks included.
    Reference,
}

impl From<ScoreModeName> for ScoreMode {
    fn from(name: ScoreModeName) -> Self {
        match name {
            ScoreModeName::Exact => Self::Exact,
            ScoreModeName::Reference => Self::Reference,
        }
    }
}

/// Which heads a mask has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MaskHeadsName {
    /// One per query head.
    Query,
    /// One per key/value head, for all query heads that use it: few queries then read each key once for all of them.
    Key,
}

impl From<MaskHeadsName> for MaskHeads {
    fn from(name: MaskHeadsName) -> Self {
        match name {
            MaskHeadsName::Query => Self::Query,
            MaskHeadsName::Key => Self::Key,
        }
    }
}

#[cfg(test)]
mod tests;
