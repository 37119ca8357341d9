//! `block_attention.wgsl`: attention over all key blocks or those of a mask.

use serde::Serialize;

use crate::kernel::{ConfigError, Kernel, Storage, require};

/// The largest head dimension that the attention kernels take.
pub const MAX_HEAD_DIM: usize = 256;

/// Which key blocks a block of queries visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockWalk {
    /// All: dense attention.
    All,
    /// Those whose bit is set in a row of the block mask.
    Mask,
}

impl BlockWalk {
    /// File name in `walks/`, without the ending.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all_blocks",
            Self::Mask => "mask_blocks",
        }
    }
}

/// How the queries of a workgroup are divided among its invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttentionTile {
    /// Whole queries in the registers of an invocation; see `block_attention.wgsl`.
    Direct {
        /// Invocations of a workgroup: a power of two, at most 256.
        lanes: usize,
        /// Queries of an invocation: 1, 2 or 4.
        queries: usize,
        /// Keys of a step: 4, 8 or 16.
        keys: usize,
    },
}

impl AttentionTile {
    /// Queries of a workgroup.
    pub const fn queries(self) -> usize {
        match self {
            Self::Direct { lanes, queries, .. } => lanes * queries,
        }
    }

    /// Invocations of a workgroup.
    pub const fn lanes(self) -> usize {
        match self {
            Self::Direct { lanes, .. } => lanes,
        }
    }
}

impl std::fmt::Display for AttentionTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Direct {
                lanes,
                queries,
                keys,
            } => write!(f, "direct-{lanes}x{queries}x{keys}"),
        }
    }
}

/// One attention kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionKernel {
    /// Which key blocks are visited.
    pub walk: BlockWalk,
    /// Elements of a row of q, k, v and out: 1 to [`MAX_HEAD_DIM`].
    pub head_dim: usize,
    /// Tokens of a block of the mask: a multiple of 16.
    pub block: usize,
    /// Whether a query sees no later keys; the sequences end together.
    pub causal: bool,
    /// The division of the work.
    pub tile: AttentionTile,
    /// Storage of q.
    pub q: Storage,
    /// Storage of k.
    pub k: Storage,
    /// Storage of v.
    pub v: Storage,
    /// Storage of the output; half-width only where `head_dim` is even.
    pub out: Storage,
}

impl AttentionKernel {
    /// Whether rows are read as vec4s.
    pub const fn vectors(&self) -> bool {
        self.head_dim.is_multiple_of(4)
    }

    /// Elements that one unit of the kernel's row offsets has.
    pub const fn unit(&self) -> usize {
        if self.vectors() { 4 } else { 1 }
    }
}

impl Serialize for AttentionKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Config {
            head_dim: usize,
            block: usize,
            causal: bool,
            vectors: bool,
            q: Storage,
            k: Storage,
            v: Storage,
            out: Storage,
        }
        #[derive(Serialize)]
        struct Variables {
            walk: &'static str,
            config: Config,
            head_dim: usize,
            causal: bool,
            /// Groups of four elements of a row.
            row4: usize,
            lanes: usize,
            queries: usize,
            keys: usize,
        }
        let AttentionTile::Direct {
            lanes,
            queries,
            keys,
        } = self.tile;
        Variables {
            walk: self.walk.name(),
            config: Config {
                head_dim: self.head_dim,
                block: self.block,
                causal: self.causal,
                vectors: self.vectors(),
                q: self.q,
                k: self.k,
                v: self.v,
                out: self.out,
            },
            head_dim: self.head_dim,
            causal: self.causal,
            row4: self.head_dim.div_ceil(4),
            lanes,
            queries,
            keys,
        }
        .serialize(serializer)
    }
}

impl Kernel for AttentionKernel {
    fn template(&self) -> &'static str {
        match self.tile {
            AttentionTile::Direct { .. } => "block_attention.wgsl",
        }
    }

    fn name(&self) -> String {
        format!(
            "block_attention_{}_{}_block-{}_dim-{}_{}_q-{}_k-{}_v-{}_out-{}",
            self.walk.name(),
            if self.causal { "causal" } else { "full" },
            self.block,
            self.head_dim,
            self.tile,
            self.q.name(),
            self.k.name(),
            self.v.name(),
            self.out.name(),
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let head_dim = (1..=MAX_HEAD_DIM).contains(&self.head_dim);
        require(head_dim, &name, "head_dim", self.head_dim, "1 to 256")?;
        let block = self.block > 0 && self.block.is_multiple_of(16);
        require(block, &name, "block", self.block, "a multiple of 16")?;
        let AttentionTile::Direct {
            lanes,
            queries,
            keys,
        } = self.tile;
        let power = lanes.is_power_of_two() && lanes <= 256;
        require(
            power,
            &name,
            "tile.lanes",
            lanes,
            "a power of two up to 256",
        )?;
        require(
            matches!(queries, 1 | 2 | 4),
            &name,
            "tile.queries",
            queries,
            "1, 2 or 4",
        )?;
        require(
            matches!(keys, 4 | 8 | 16),
            &name,
            "tile.keys",
            keys,
            "4, 8 or 16",
        )?;
        let whole = self.block.is_multiple_of(self.tile.queries());
        require(
            whole,
            &name,
            "queries of the tile",
            self.tile.queries(),
            "a divisor of the block",
        )?;
        let pairs = self.out == Storage::F32 || self.head_dim.is_multiple_of(2);
        require(
            pairs,
            &name,
            "head_dim",
            self.head_dim,
            "even, for half-width results",
        )
    }
}
