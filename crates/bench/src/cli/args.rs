//! The commands and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sparse_core::DType;
use sparse_core::xattention::{
    Mode, ReferenceOptions, Threshold, XAttentionError, XAttentionOptions,
};

use super::values::{count, dtype, finite, share};
use super::{OperationList, Pattern};

/// Measures sparse matmul and block-sparse attention against their dense twins on any wgpu adapter, and checks every
/// result against a CPU reference.
#[derive(Clone, Debug, Parser)]
#[command(name = "sparse-bench", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the adapters of this machine and what each can do
    Adapters(AdaptersArgs),
    /// Run every operation against its dense baseline and report (needs no arguments)
    Compare(CompareArgs),
    /// Prune one weight matrix, multiply, write y, w and x
    Matmul(MatmulArgs),
    /// Run XAttention on q, k, v, write block scores, mask, output and log-sum-exp
    Attention(AttentionArgs),
}

/// Options of `sparse-bench adapters`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: sparse-bench adapters --json")]
pub struct AdaptersArgs {
    /// Print a JSON array instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Options of `sparse-bench compare`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench compare
  sparse-bench compare --ops nm_matmul,bsr_matmul --html report.html
  sparse-bench compare --preset full --adapter llvmpipe --json runs.json --csv runs.csv

Every row is checked against the CPU reference; the exit status is 1 where a row lies outside of its error bound.")]
pub struct CompareArgs {
    /// Which shapes: quick (minutes), full (every model shape that suits the adapter)
    #[arg(long, value_enum, default_value = "quick")]
    pub preset: PresetName,
    /// Operations, comma-separated: `dense_matmul`, `nm_matmul`, `nm_matvec`, `bsr_matmul`, `block_attention`, xattention
    /// [default: all]
    #[arg(long, value_name = "LIST")]
    pub ops: Option<OperationList>,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
    /// Real weights instead of generated ones: the largest matrices of this safetensors file
    #[arg(long, value_name = "F")]
    pub weights: Option<PathBuf>,
    /// Real q, k, v instead of generated ones: a safetensors file with tensors of these names
    #[arg(long, value_name = "F")]
    pub qkv: Option<PathBuf>,
    /// Write the records as a JSON array
    #[arg(long, value_name = "F")]
    pub json: Option<PathBuf>,
    /// Write the records as CSV
    #[arg(long, value_name = "F")]
    pub csv: Option<PathBuf>,
    /// Write one self-contained HTML report
    #[arg(long, value_name = "F")]
    pub html: Option<PathBuf>,
}

/// Sizes of the shapes of `compare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// A few shapes, two to three minutes on a software adapter.
    Quick,
    /// BERT, Llama and `ViT` layers, scaled by adapter class.
    Full,
}

/// Options of `sparse-bench matmul`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench matmul --weights model.safetensors --tensor mlp.up.weight --pattern 2:4 --out y.safetensors
  sparse-bench matmul --weights model.safetensors --tensor mlp.up.weight --pattern bsr:32x32@0.25 \\
      --input acts.safetensors --input-tensor mlp.up.input --bias mlp.up.bias --activation gelu --out y.safetensors

Computes y[t, o] = activation(sum_k x[t, k] w[o, k] + bias[o]) with w pruned by magnitude. Writes y f32 [tokens, n_out],
w f32 [n_out, k] as multiplied, and x. Prints one JSON object on stdout.")]
pub struct MatmulArgs {
    /// Safetensors file with the weights
    #[arg(long, value_name = "F")]
    pub weights: PathBuf,
    /// Name of the weight matrix [`n_out`, k] in that file
    #[arg(long, value_name = "NAME")]
    pub tensor: String,
    /// Safetensors file with the activations [default: generated ones]
    #[arg(long, value_name = "F", requires = "input_tensor", conflicts_with_all = ["tokens", "seed"])]
    pub input: Option<PathBuf>,
    /// Name of the activations [tokens, k] in that file
    #[arg(long, value_name = "NAME", requires = "input")]
    pub input_tensor: Option<String>,
    /// Rows of the generated activations
    #[arg(long, value_name = "T", default_value = "256", value_parser = count)]
    pub tokens: usize,
    /// Seed of the generated activations
    #[arg(long, value_name = "S", default_value = "0")]
    pub seed: u64,
    /// dense, N:M, V:N:M (V rows share one choice) or bsr:BRxBC@DENSITY
    #[arg(long, value_name = "PATTERN")]
    pub pattern: Pattern,
    /// Storage of w and x on the device [default: as the weights are stored]
    #[arg(long, value_parser = dtype())]
    pub dtype: Option<DType>,
    /// Name of a bias, `n_out` numbers, in the file of the weights
    #[arg(long, value_name = "NAME")]
    pub bias: Option<String>,
    /// Function applied to every output [default: none]
    #[arg(long, value_enum)]
    pub activation: Option<ActivationName>,
    /// Safetensors file to write
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
}

/// Function applied to every output of a matmul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActivationName {
    /// max(x, 0).
    Relu,
    /// x / 2 * (1 + erf(x / sqrt 2)).
    Gelu,
    /// x / (1 + exp(-x)).
    Silu,
}

/// Options of `sparse-bench attention`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  sparse-bench attention --qkv layer11.safetensors --scale 0.0625 --stride 16 --out o.safetensors
  sparse-bench attention --qkv layer11.safetensors --mode reference --chunk 4096 --out o.safetensors
  sparse-bench attention --qkv layer11.safetensors --full --dense --out dense.safetensors

Reads q [batch, heads, q_len, head_dim] and k, v [batch, kv_heads, k_len, head_dim]. Writes block_scores f32 and mask u8
[batch, heads, q_blocks, k_blocks], out f32 [batch, heads, q_len, head_dim], lse f32 [batch, heads, q_len] (natural log).
Prints one JSON object on stdout.")]
pub struct AttentionArgs {
    /// Safetensors file with tensors q, k and v
    #[arg(long, value_name = "F")]
    pub qkv: PathBuf,
    /// Factor of q k^T before the softmax [default: 1 / `sqrt(head_dim)`]
    #[arg(long, value_name = "X", value_parser = finite, allow_negative_numbers = true)]
    pub scale: Option<f64>,
    /// Token t sees the keys up to t + `k_len` - `q_len` (this is the default)
    #[arg(long)]
    pub causal: bool,
    /// Every token sees every key
    #[arg(long, conflicts_with = "causal")]
    pub full: bool,
    /// Tokens of a block
    #[arg(long, default_value = "128", value_parser = count)]
    pub block: usize,
    /// Tokens of a group of the score; must divide the block
    #[arg(long, default_value = "8", value_parser = count)]
    pub stride: usize,
    /// Share of the estimated attention mass that the selected blocks of a row must reach
    #[arg(long, default_value = "0.9", value_parser = share)]
    pub threshold: f64,
    /// exact: real lengths, no chunks; reference: as the published code selects, padded to chunks
    #[arg(long, value_enum, default_value = "exact")]
    pub mode: ScoreMode,
    /// Chunk of the reference mode in tokens [default: as the published wrapper chooses by length]
    #[arg(long, value_name = "C", value_parser = count)]
    pub chunk: Option<usize>,
    /// Attend to every block; the scores are computed and written all the same
    #[arg(long)]
    pub dense: bool,
    /// Safetensors file to write
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
}

/// How XAttention scores and selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreMode {
    /// Real lengths, means over real pairs, the smallest set of blocks that reaches the threshold.
    Exact,
    /// The behaviour of the published implementation, padding and chunks included.
    Reference,
}

impl AttentionArgs {
    /// Whether the attention is causal: it is unless `--full` was given.
    pub fn is_causal(&self) -> bool {
        !self.full
    }

    /// The options of the scores, the selection and the attention.
    ///
    /// # Errors
    /// One variant per rule between options.
    pub fn options(&self) -> Result<XAttentionOptions, AttentionArgsError> {
        let mode = match (self.mode, self.chunk) {
            (ScoreMode::Exact, Some(chunk)) => {
                return Err(AttentionArgsError::ChunkWithoutReference { chunk });
            }
            (ScoreMode::Exact, None) => Mode::Exact,
            (ScoreMode::Reference, chunk) => Mode::Reference(ReferenceOptions {
                chunk,
                ..ReferenceOptions::default()
            }),
        };
        let options = XAttentionOptions {
            block: self.block,
            stride: self.stride,
            threshold: Threshold::Uniform(self.threshold),
            causal: self.is_causal(),
            scale: self.scale,
            mode,
            ..XAttentionOptions::default()
        };
        options.validate()?;
        Ok(options)
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
    /// A rule of `XAttention` itself.
    #[error(transparent)]
    Options(#[from] XAttentionError),
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(attention("").is_causal() && attention("--causal").is_causal());
        assert!(!attention("--full").is_causal());
    }

    #[test]
    fn rules_between_options_name_the_numbers() {
        let refusal = |options: &str| attention(options).options().unwrap_err().to_string();
        let reference = attention("--mode reference --chunk 4096 --stride 16")
            .options()
            .unwrap();
        assert!(matches!(reference.mode, Mode::Reference(o) if o.chunk == Some(4096)));
        assert!(refusal("--chunk 2048").contains("no meaning in --mode exact"));
        assert!(refusal("--stride 7").contains("7") && refusal("--stride 7").contains("128"));
        assert!(refusal("--mode reference --chunk 200").contains("200"));
        assert!(refusal("--scale -1").contains("-1"));
    }
}
