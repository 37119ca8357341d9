//! The commands and their options.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sparse_core::DType;
use sparse_gpu::Tier;

use super::values::{count, dtype, seconds, seed};
use super::{AttentionArgs, MemoryArgs, OperationList, Pattern, TilesArgs, TuneArgs};

/// Measures sparse matmul and block-sparse attention against their dense twins on any wgpu adapter, and checks every
/// result against a CPU reference, large ones at samples.
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
    /// Tell what `XAttention` holds in device memory, length by length
    Memory(MemoryArgs),
    /// Find tiles that are faster than the defaults on this machine, write a table that programs load
    Tune(TuneArgs),
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
  sparse-bench compare --preset peers --peers
  sparse-bench compare --ops nm_matmul --seconds 20 --csv careful.csv
  sparse-bench compare --preset attention --ops xattention --lengths 1024,4096 --qkv layer11.safetensors

Every row and its dense baseline are checked against the CPU reference, large results at samples: a number in each small cell of a product, some queries of every
head, and every number for being finite. The exit status is 1 where one of them lies outside of its error bound.
Ctrl-C ends the row at hand and writes the others, with exit status 130; a second one ends at once. Reports that lack rows, since some
failed or for Ctrl-C, go to a file of their own, to runs.partial.json for runs.json, and a runs.json that is there stays.")]
pub struct CompareArgs {
    /// Which shapes: quick (minutes), full (every model shape that suits the adapter), attention (few queries as in decoding, long ones step
    /// by step, and all lengths), peers (what other libraries can do too)
    #[arg(long, value_enum, default_value = "quick")]
    pub preset: PresetName,
    /// Operations, comma-separated: `dense_matmul`, `nm_matmul`, `nm_matvec`, `bsr_matmul`, `block_attention`, xattention;
    /// in preset full also `bsr_sddmm`, `nm_sddmm`, `varlen_xattention` [default: all]
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
    /// Rows on cooperative matrices too, each against its dense twin there, and that against portable kernels; an error where the device has
    /// none that pass their self-test
    #[arg(long)]
    pub cooperative: bool,
    /// Other libraries on the same adapter, in the same run (needs a build with the feature `peers`)
    #[arg(long)]
    pub peers: bool,
    /// Tokens of the layer that --preset attention runs at many lengths, comma-separated; tensors of --qkv are cut, or repeated
    /// [default: 128 to 8192]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = count, allow_hyphen_values = true)]
    pub lengths: Option<Vec<usize>>,
    /// Only the strategies of other libraries whose name contains one of these texts, comma-separated: to run the best ones again
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "peers", value_parser = NonEmptyStringValueParser::new())]
    pub strategies: Vec<String>,
    /// Time of a row in seconds; it has five rounds at least and 200 at most, and more of them tell more on a machine that others use too
    /// [default: 3, in preset full 1.2]
    #[arg(long, value_name = "S", value_parser = seconds, allow_hyphen_values = true)]
    pub seconds: Option<Duration>,
    /// Write command, version, date and the records as JSON
    #[arg(long, value_name = "F")]
    pub json: Option<PathBuf>,
    /// Write the records as CSV
    #[arg(long, value_name = "F")]
    pub csv: Option<PathBuf>,
    /// Write one self-contained HTML report
    #[arg(long, value_name = "F")]
    pub html: Option<PathBuf>,
    /// A table of tiles.
    #[command(flatten)]
    pub tiles: TilesArgs,
}

/// Sizes of the shapes of `compare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetName {
    /// A few shapes, two to three minutes on a software adapter.
    Quick,
    /// BERT, Llama, `ViT` and Gemma layers, decoding, and packed prompts, scaled by adapter class.
    #[value(
        help = "BERT, Llama, ViT and Gemma layers, decoding, and packed prompts, scaled by adapter class"
    )]
    Full,
    /// Few queries as in decoding, `XAttention` over long sequences step by step, and from 128 to 8192 tokens where it may go dense; that with --qkv on
    /// its tensors.
    #[value(
        help = "Few queries as in decoding, XAttention over long sequences step by step, and from 128 to 8192 tokens where it may go dense; that with --qkv on its tensors"
    )]
    Attention,
    /// What other libraries can do too: the rows to run with --peers.
    Peers,
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
    #[arg(long, value_name = "T", default_value = "256", value_parser = count, allow_hyphen_values = true)]
    pub tokens: usize,
    /// Seed of the generated activations
    #[arg(long, value_name = "S", default_value = "0", value_parser = seed, allow_hyphen_values = true)]
    pub seed: u64,
    /// dense, N:M, V:N:M (V rows share one choice) or bsr:BRxBC@DENSITY
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
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
    /// Which kernels compute it, and the dense product that it is compared with
    #[arg(long, value_enum, default_value = "portable")]
    pub tier: TierName,
    /// Safetensors file to write
    #[arg(long, value_name = "F")]
    pub out: PathBuf,
    /// A table of tiles.
    #[command(flatten)]
    pub tiles: TilesArgs,
    /// The first adapter whose name contains this text [default: `SPARSE_ADAPTER`, else the fastest kind there is]
    #[arg(long, value_name = "SUBSTR")]
    pub adapter: Option<String>,
}

/// Which kernels compute a matmul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TierName {
    /// Those that every WebGPU device runs.
    Portable,
    /// Those on cooperative matrices, f16 times f16, once the device has passed their self-test; an error where it cannot.
    CooperativeMatrix,
    /// Cooperative matrices where the device and the product allow it.
    Best,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Portable => Self::Portable,
            TierName::CooperativeMatrix => Self::CooperativeMatrix,
            TierName::Best => Self::Best,
        }
    }
}

/// Function applied to every output of a matmul.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActivationName {
    /// 0 where x < 0, else x.
    Relu,
    /// x / 2 * (1 + erf(x / sqrt 2)).
    Gelu,
    /// x / (1 + exp(-x)).
    Silu,
}
