//! Which key blocks the attention kernels visit.

/// Which key blocks a block of queries visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockWalk {
    /// All: dense attention.
    All,
    /// Those whose bit is set in a row of the block mask.
    Mask,
    /// For each query head, the first ones and the most recent ones.
    Streaming,
    /// For each query head, as `Mask` or as `Streaming`.
    Mixed,
}

impl BlockWalk {
    /// File name in `walks/`, without the ending.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all_blocks",
            Self::Mask => "mask_blocks",
            Self::Streaming => "streaming_blocks",
            Self::Mixed => "mixed_blocks",
        }
    }
}
