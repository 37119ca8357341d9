//! `xattention_pack.wgsl`: token groups of queries or keys, packed.

use serde::Serialize;

use crate::config_error::{ConfigError, require};
use crate::kernel::{Kernel, PLAIN_LANES};
use crate::storage::Storage;

/// Token groups as columns of panels, or as aligned rows; see `xattention_pack.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XAttentionPackKernel {
    /// Storage of the tokens.
    pub input: Storage,
    /// Elements of a token in one head.
    pub head_dim: usize,
    /// Heads that lie side by side in a token; 1 where each is a matrix of its own.
    pub token_heads: usize,
    /// Groups of a panel, a multiple of 4; 0 for rows.
    pub panel: usize,
    /// The tokens of a group in reverse.
    pub reversed: bool,
}

impl XAttentionPackKernel {
    /// Squares of 4 groups by 4 k that a workgroup moves, or runs of 4 k where it packs rows.
    pub const MOVES: usize = PLAIN_LANES;

    /// Whether tokens start at multiples of four elements: they load as vec4 then.
    pub const fn vectors(&self) -> bool {
        self.head_dim.is_multiple_of(4)
    }
}

impl Serialize for XAttentionPackKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            input: Storage,
            head_dim: usize,
            token_heads: usize,
            vectors: bool,
            panel: usize,
            reversed: bool,
        }
        Variables {
            input: self.input,
            head_dim: self.head_dim,
            token_heads: self.token_heads,
            vectors: self.vectors(),
            panel: self.panel,
            reversed: self.reversed,
        }
        .serialize(serializer)
    }
}

impl Kernel for XAttentionPackKernel {
    fn template(&self) -> &'static str {
        "xattention_pack.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "xattention_pack_{}_d{}{}_panel-{}{}",
            self.input.name(),
            self.head_dim,
            match self.token_heads {
                1 => String::new(),
                heads => format!("_token-heads-{heads}"),
            },
            self.panel,
            if self.reversed { "_reversed" } else { "" },
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let ok = self.panel.is_multiple_of(4);
        let name = || self.name();
        require(ok, &name, "panel", self.panel, "a multiple of 4")?;
        let ok = |number| (1..=1 << 30).contains(&number);
        require(
            ok(self.head_dim),
            &name,
            "head_dim",
            self.head_dim,
            "1 to 2^30",
        )?;
        require(
            ok(self.token_heads),
            &name,
            "token_heads",
            self.token_heads,
            "1 to 2^30",
        )
    }
}
