//! `attention_merge.wgsl`: attention over parts of the keys, put together.

use serde::Serialize;
use serde::ser::Error;

use super::block_attention::MAX_HEAD_DIM;
use crate::config_error::{ConfigError, require};
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::storage::Storage;

/// Puts together what a kernel with [`super::AttentionKernel::in_parts`] has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionMergeKernel {
    /// Elements of a row of the output: 1 to [`MAX_HEAD_DIM`].
    pub head_dim: usize,
    /// Whether the heads of a token lie side by side in the output; otherwise each head is a matrix of its own.
    pub token_major: bool,
    /// Storage of the output; half-width only where `head_dim` is even.
    pub out: Storage,
}

impl AttentionMergeKernel {
    /// Queries of all heads, `rows`, by the workgroups that they take.
    pub const fn groups(&self, rows: usize) -> usize {
        rows.saturating_mul(self.head_dim.div_ceil(4))
            .div_ceil(PLAIN_LANES)
    }
}

impl Serialize for AttentionMergeKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.check().map_err(S::Error::custom)?;
        #[derive(Serialize)]
        struct Config {
            head_dim: usize,
            vectors: bool,
            /// Units of a row.
            row: usize,
            /// Not 0 where the heads of a token lie side by side.
            q_heads: usize,
            out: Storage,
        }
        #[derive(Serialize)]
        struct Variables {
            config: Config,
            head_dim: usize,
            /// Groups of four elements of a row.
            row4: usize,
        }
        let vectors = self.head_dim.is_multiple_of(4);
        Variables {
            config: Config {
                head_dim: self.head_dim,
                vectors,
                row: if vectors {
                    self.head_dim / 4
                } else {
                    self.head_dim
                },
                q_heads: usize::from(self.token_major),
                out: self.out,
            },
            head_dim: self.head_dim,
            row4: self.head_dim.div_ceil(4),
        }
        .serialize(serializer)
    }
}

impl Kernel for AttentionMergeKernel {
    fn template(&self) -> &'static str {
        "attention_merge.wgsl"
    }

    fn name(&self) -> String {
        let layout = if self.token_major { "_token-major" } else { "" };
        let (head_dim, out) = (self.head_dim, self.out.name());
        format!("attention_merge{layout}_dim-{head_dim}_out-{out}")
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let head_dim = (1..=MAX_HEAD_DIM).contains(&self.head_dim);
        require(head_dim, &name, "head_dim", self.head_dim, "1 to 256")?;
        let pairs = self.out == Storage::F32 || self.head_dim.is_multiple_of(2);
        let possible = "even, for half-width results";
        require(pairs, &name, "head_dim", self.head_dim, possible)
    }
}
