//! `sparse-bench memory`: its options.

use clap::Args;
use sparse_core::DType;

use super::values::{block, count, dtype};

/// Options of `sparse-bench memory`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench memory
  sparse-bench memory --heads 32 --kv-heads 8 --head-dim 128 --dtype f16 --lengths 4096,8192,16384 --json

Plans XAttention at each length, one after the other, and adds up what the plan holds; nothing is computed. Scratch memory
depends on the adapter. A factor is the bytes of a length over those of the one before, per doubling of the length: 2 is
linear growth, 4 quadratic.")]
pub struct MemoryArgs {
    /// Query and key tokens, comma-separated, ascending
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = count, allow_hyphen_values = true,
        default_values = ["2048", "4096", "8192", "16384", "32768", "65536"])]
    pub lengths: Vec<usize>,
    /// Items
    #[arg(long, default_value = "1", value_parser = count, allow_hyphen_values = true)]
    pub batch: usize,
    /// Query heads
    #[arg(long, default_value = "8", value_parser = count, allow_hyphen_values = true)]
    pub heads: usize,
    /// Heads of k and v [default: as many as query heads]
    #[arg(long, value_parser = count, allow_hyphen_values = true)]
    pub kv_heads: Option<usize>,
    /// Numbers of a head
    #[arg(long, default_value = "64", value_parser = count, allow_hyphen_values = true)]
    pub head_dim: usize,
    /// Storage of q, k, v and the output
    #[arg(long, default_value = "f32", value_parser = dtype())]
    pub dtype: DType,
    /// Tokens of a block, a multiple of 16
    #[arg(long, default_value = "128", value_parser = block, allow_hyphen_values = true)]
    pub block: usize,
    /// Tokens of a group of the score; must divide the block
    #[arg(long, default_value = "16", value_parser = count, allow_hyphen_values = true)]
    pub stride: usize,
    /// Every token sees every key
    #[arg(long)]
    pub full: bool,
    /// Print a JSON array instead of a table
    #[arg(long)]
    pub json: bool,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
}
