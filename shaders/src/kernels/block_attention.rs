//! `block_attention.wgsl`: attention over all key blocks or those of a mask.

use serde::Serialize;
use serde::ser::Error;

use crate::attention_tile::{AttentionTile, NEIGHBOURS, PIECE, STEP, few_unroll};
use crate::block_walk::BlockWalk;
use crate::config_error::{ConfigError, require};
use crate::kernel::Kernel;
use crate::storage::Storage;

/// The largest head dimension that the attention kernels take.
pub const MAX_HEAD_DIM: usize = 256;

/// How workgroups find their queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttentionOrder {
    /// By their number.
    Computed,
    /// In a list of rows of blocks.
    Rows,
    /// In a list of tiles of packed items, which have lengths of their own; token-major only.
    Items,
}

impl AttentionOrder {
    const fn name(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Rows => "rows",
            Self::Items => "items",
        }
    }
}

/// Heads that lie side by side in every token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHeads {
    /// Query heads: a multiple of the key/value heads.
    pub q: usize,
    /// Key/value heads.
    pub kv: usize,
}

/// What names of kernels say of query heads that follow one head of the mask.
pub(super) fn mask_group_words(heads: usize) -> String {
    match heads {
        1 => String::new(),
        heads => format!("_mask-of-{heads}"),
    }
}

/// Whether so many query heads can follow one head of the mask.
pub(super) fn check_mask_group(heads: usize, name: &dyn Fn() -> String) -> Result<(), ConfigError> {
    let what = "query heads of a head of the mask";
    require(heads > 0, name, what, heads, "1 or more")
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
    /// Whether scores are capped.
    pub soft_cap: bool,
    /// How workgroups find their queries.
    pub order: AttentionOrder,
    /// The heads of a token where tokens are rows of the tensors (token-major). None: each head is a matrix of its own.
    pub token_heads: Option<TokenHeads>,
    /// The division of the work.
    pub tile: AttentionTile,
    /// Query heads that a workgroup takes together, which share their keys: more than one with [`AttentionTile::Few`] only, and where they visit the same
    /// blocks: with [`BlockWalk::All`], or with [`BlockWalk::Mask`] where they share the mask and all queries of a head lie in the first block of queries.
    pub heads: usize,
    /// Neighbouring query heads that follow one head of the mask.
    pub mask_group: usize,
    /// Whether the keys of a query are divided among workgroups, with [`AttentionTile::Few`] only: each writes the f32 sums of its part, which
    /// [`super::AttentionMergeKernel`] puts together.
    pub in_parts: bool,
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

impl AttentionKernel {
    /// What only the kernel for few queries can do.
    fn check_few(&self, name: &dyn Fn() -> String) -> Result<(), ConfigError> {
        let few = matches!(self.tile, AttentionTile::Few { .. });
        let alike = match self.walk {
            BlockWalk::All => true,
            BlockWalk::Mask => self.mask_group.is_multiple_of(self.heads.max(1)),
            BlockWalk::Streaming | BlockWalk::Mixed => false,
        };
        // A list of rows would have one for each of the heads.
        let listed = self.order == AttentionOrder::Rows;
        let together = self.heads == 1 || (few && alike && !listed);
        let possible = "1, or more with a tile for few queries of heads that visit the same blocks, and no list of rows";
        require(together, name, "heads of a workgroup", self.heads, possible)?;
        let of_token = self
            .token_heads
            .is_none_or(|token| (token.q / token.kv.max(1)).is_multiple_of(self.heads.max(1)));
        let possible = "a divisor of the query heads of a key/value head";
        let shared = self.heads > 0 && of_token;
        require(shared, name, "heads of a workgroup", self.heads, possible)?;
        let parts = !self.in_parts || (few && self.out == Storage::F32);
        let possible = "0, or 1 with a tile for few queries and sums in f32";
        require(parts, name, "in_parts", self.in_parts.into(), possible)
    }
}

impl Serialize for AttentionKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The variables are quotients of numbers that are not 0 then.
        self.check().map_err(S::Error::custom)?;
        #[derive(Serialize)]
        struct Config {
            head_dim: usize,
            block: usize,
            causal: bool,
            soft_cap: bool,
            vectors: bool,
            order: &'static str,
            /// Heads of a token, 0 where each head is a matrix of its own.
            q_heads: usize,
            kv_heads: usize,
            /// Of a workgroup.
            heads: usize,
            mask_group: usize,
            in_parts: bool,
            /// Units of a row, from a token of q to the next, of k.
            row: usize,
            q_step: usize,
            k_step: usize,
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
            /// Of an invocation (direct) or of a workgroup (tiled, few).
            queries: usize,
            /// Of a round of the loop (direct) or of a step.
            keys: usize,
            split: usize,
            piece: usize,
            /// Keys between two rescalings (direct).
            step: usize,
            /// The groups of four elements of a row that each loop takes (direct).
            pieces: Vec<Vec<usize>>,
            /// Groups of four dimensions of the output that an invocation owns (tiled, few).
            outs: usize,
            /// Squares of 4 x 4 that an invocation stages at a time, of q and of k (tiled).
            q_rounds: usize,
            k_rounds: usize,
            /// Invocations side by side along the dimensions, and groups of four dimensions that each owns (few).
            columns: usize,
            shares: usize,
            /// Groups of four dimensions in a round of the scores (few).
            unroll: usize,
            /// Invocations whose maxima are compared in a round (few).
            neighbours: usize,
        }
        let (queries, split, dims) = match self.tile {
            AttentionTile::Direct { queries, dims, .. } => (queries, 1, dims),
            AttentionTile::Tiled { queries, split } => (queries, split, PIECE),
            AttentionTile::Few { queries, .. } => (queries, 1, PIECE),
        };
        let row = self.head_dim / self.unit();
        let row4 = self.head_dim.div_ceil(4);
        let lanes = self.tile.lanes();
        let columns = row4.next_power_of_two().min(lanes);
        Variables {
            walk: self.walk.name(),
            config: Config {
                head_dim: self.head_dim,
                block: self.block,
                causal: self.causal,
                soft_cap: self.soft_cap,
                vectors: self.vectors(),
                order: self.order.name(),
                q_heads: self.token_heads.map_or(0, |heads| heads.q),
                kv_heads: self.token_heads.map_or(0, |heads| heads.kv),
                heads: self.heads,
                mask_group: self.mask_group,
                in_parts: self.in_parts,
                row,
                q_step: row * self.token_heads.map_or(1, |heads| heads.q),
                k_step: row * self.token_heads.map_or(1, |heads| heads.kv),
                q: self.q,
                k: self.k,
                v: self.v,
                out: self.out,
            },
            head_dim: self.head_dim,
            causal: self.causal,
            row4,
            lanes,
            queries,
            keys: self.tile.keys(),
            split,
            piece: PIECE,
            step: STEP,
            pieces: (0..row4)
                .collect::<Vec<_>>()
                .chunks(dims / 4)
                .map(<[_]>::to_vec)
                .collect(),
            outs: row4.div_ceil(match self.tile {
                AttentionTile::Few { .. } => columns,
                _ => split,
            }),
            q_rounds: (queries / 4 * (PIECE / 4)).div_ceil(lanes),
            k_rounds: (split * (PIECE / 4)).div_ceil(lanes),
            columns,
            shares: lanes / columns,
            unroll: few_unroll(self.head_dim),
            neighbours: lanes.min(NEIGHBOURS),
        }
        .serialize(serializer)
    }
}

impl Kernel for AttentionKernel {
    fn template(&self) -> &'static str {
        match self.tile {
            AttentionTile::Direct { .. } => "block_attention.wgsl",
            AttentionTile::Tiled { .. } => "block_attention_tiled.wgsl",
            AttentionTile::Few { .. } => "block_attention_few.wgsl",
        }
    }

    fn name(&self) -> String {
        let order = match self.order {
            AttentionOrder::Computed => "",
            AttentionOrder::Rows => "_ordered",
            AttentionOrder::Items => "_items",
        };
        let heads = self.token_heads.map_or_else(String::new, |heads| {
            format!("_token-major-{}-{}", heads.q, heads.kv)
        });
        let together = match self.heads {
            1 => String::new(),
            heads => format!("_heads-{heads}"),
        };
        let shared = mask_group_words(self.mask_group);
        let parts = if self.in_parts { "_in-parts" } else { "" };
        format!(
            "block_attention_{}_{}{}{order}{heads}{together}{shared}{parts}_block-{}_dim-{}_{}_q-{}_k-{}_v-{}_out-{}",
            self.walk.name(),
            if self.causal { "causal" } else { "full" },
            if self.soft_cap { "_soft-cap" } else { "" },
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
        self.tile.check(self.block, &name)?;
        let heads = self.token_heads.unwrap_or(TokenHeads { q: 1, kv: 1 });
        let shared = heads.kv > 0 && heads.q > 0 && heads.q.is_multiple_of(heads.kv);
        let possible = "a multiple of the key/value heads";
        require(shared, &name, "query heads", heads.q, possible)?;
        let step = self.head_dim.saturating_mul(heads.q);
        let fits = step <= u32::MAX as usize;
        require(fits, &name, "elements of a token", step, "less than 2^32")?;
        if self.order == AttentionOrder::Items {
            let packed = usize::from(self.token_heads.is_some());
            let possible = "1: packed items are token-major";
            require(packed == 1, &name, "token-major", packed, possible)?;
        }
        check_mask_group(self.mask_group, &name)?;
        self.check_few(&name)?;
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

#[cfg(test)]
mod tests {
    use minijinja::value::{Serde, Value, ValueKind};

    use super::*;

    #[test]
    fn kernels_that_cannot_be_expanded_have_no_variables() {
        let direct = |lanes, keys, dims| AttentionTile::Direct {
            lanes,
            queries: 1,
            keys,
            dims,
        };
        let tiled = |queries, split| AttentionTile::Tiled { queries, split };
        let kernel = |tile, block| AttentionKernel {
            walk: BlockWalk::All,
            head_dim: 64,
            block,
            causal: true,
            soft_cap: false,
            order: AttentionOrder::Computed,
            token_heads: None,
            tile,
            heads: 1,
            mask_group: 1,
            in_parts: false,
            q: Storage::F32,
            k: Storage::F32,
            v: Storage::F32,
            out: Storage::F32,
        };
        let kind = |tile, block| Value::from(Serde(kernel(tile, block))).kind();
        assert_eq!(kind(direct(8, 4, 16), 64), ValueKind::Map);
        for (tile, block) in [
            (direct(8, 4, 0), 64),
            (direct(8, 4, 2), 64),
            (direct(0, 4, 16), 64),
            (direct(8, 0, 16), 64),
            (direct(8, 4, 16), 0),
            (tiled(0, 8), 64),
            (tiled(32, 0), 64),
        ] {
            let found = kind(tile, block);
            assert_eq!(found, ValueKind::Invalid, "{tile} in blocks of {block}");
        }
    }
}
